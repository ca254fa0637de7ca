package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"lockstep/verifier"
)

// pageLength is the number of records that List asks for at a time.
const pageLength = 256

// List implements [store.Store]. It shows one revision, as long as etcd
// remembers that; the rest then is of a later one.
func (s *Store) List(ctx context.Context, each func(id string, state verifier.State) error) error {
	return s.list(ctx, each, false)
}

// Snapshot is List of one revision, or an error where etcd does not remember that
// until the end: it is forgotten after a minute or two.
func (s *Store) Snapshot(ctx context.Context, each func(id string, state verifier.State) error) error {
	return s.list(ctx, each, true)
}

func (s *Store) list(ctx context.Context, each func(id string, state verifier.State) error, one bool) error {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return fmt.Errorf("list states: %w", err)
	}
	var damaged error
	page := &pb.RangeRequest{Key: []byte(s.key("")), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.key(""))), Limit: pageLength}
	for more := true; more; {
		reply, err := s.page(ctx, page, one)
		if err != nil {
			return fmt.Errorf("list states: %w", err)
		}
		for _, kv := range reply.Kvs {
			id := strings.TrimPrefix(string(kv.Key), s.key(""))
			state, err := decodeRecord(kv.Value)
			if err != nil {
				if damaged == nil { // the first will do: there may be a million
					damaged = fmt.Errorf("list states: state %q: %w", id, err)
				}
				continue
			}
			if err := each(id, state); err != nil {
				return err
			}
		}
		if more = reply.More && len(reply.Kvs) > 0; more {
			page.Key = append(reply.Kvs[len(reply.Kvs)-1].Key, 0)
		}
	}
	return damaged
}

// page fetches one, and stays at its revision for the next: if that is forgotten
// meanwhile, at a later one, unless there is to be one for all.
func (s *Store) page(ctx context.Context, page *pb.RangeRequest, one bool) (*pb.RangeResponse, error) {
	for {
		if err := s.usable(); err != nil {
			return nil, err
		}
		reply, _, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.RangeResponse, error) { return to.get(ctx, page) })
		switch {
		case err == nil && page.Revision == 0:
			page.Revision = reply.Header.Revision
			return reply, nil
		case isCompacted(err) && page.Revision != 0 && !one:
			page.Revision = 0
		default:
			return reply, err
		}
	}
}

// isCompacted reports whether err says that a revision is no longer known.
func isCompacted(err error) bool {
	return err != nil && strings.Contains(err.Error(), rpctypes.ErrCompacted.Error())
}
