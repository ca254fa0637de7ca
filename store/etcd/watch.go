package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	watchPause = 100 * time.Millisecond // between two watches
	watchGrace = time.Second            // for a new watch to catch up
)

// errAfresh says that the history does not lead on from what is remembered.
var errAfresh = errors.New("the history that is needed is gone")

// follow keeps a watch on everything below the prefix, at one node after
// another.
func (s *Store) follow() {
	afresh := true
	for next := int(s.cluster.favourite.Load()); s.background.Err() == nil; next++ {
		if afresh {
			afresh = s.restart() != nil
		}
		if !afresh {
			err := s.watch(s.cluster.nodes[next%len(s.cluster.nodes)])
			afresh = errors.Is(err, errAfresh)
			s.opts.Log.Debug("watch of etcd ends", "url", s.cluster.nodes[next%len(s.cluster.nodes)].endpoint, "err", err)
		}
		select {
		case <-s.background.Done():
		case <-time.After(watchPause):
		}
	}
}

// restart forgets all that is remembered, and learns from which revision on to
// watch, and which servers there are.
func (s *Store) restart() error {
	ctx, cancel := context.WithTimeout(s.background, groupWait)
	defer cancel()
	reply, err := s.askServers(ctx)
	if err != nil {
		return err
	}
	s.mirror.restart(reply.Header.Revision)
	s.pulse.reach(reply.Header.Revision)
	entries := make(map[string]record)
	for _, kv := range reply.Kvs {
		entries[strings.TrimPrefix(string(kv.Key), s.serverKey(""))] = recordOf(kv)
	}
	s.peers.restart(entries, s.elapsed())
	return nil
}

// watch follows the changes by way of one node, until that fails or is told to
// stop.
func (s *Store) watch(at *node) error {
	ctx, cancel := context.WithCancel(s.background)
	defer cancel()
	s.watching.Store(&watching{at: at, since: s.elapsed(), stop: cancel})
	client, err := at.conn()
	if err != nil {
		return err
	}
	// A node without a leader shall say so, and not just fall silent.
	stream, err := pb.NewWatchClient(client.ActiveConnection()).Watch(clientv3.WithRequireLeader(ctx))
	if err != nil {
		return err
	}
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(s.opts.Prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.opts.Prefix)), StartRevision: s.mirror.position() + 1,
	}}})
	if err != nil {
		return err
	}
	for {
		reply, err := stream.Recv()
		if err != nil {
			return rpctypes.Error(err)
		}
		if err := s.changes(reply); err != nil {
			return err
		}
	}
}

// watching is the watch under way.
type watching struct {
	at    *node
	since time.Duration
	stop  context.CancelFunc
}

// changes takes what the watch reports. etcd reports all changes of a revision at
// once, and the revisions in order; so the last one is how far we are.
func (s *Store) changes(reply *pb.WatchResponse) error {
	switch {
	case !s.cluster.same(reply.Header):
		return errForeign
	case reply.CompactRevision != 0:
		return fmt.Errorf("%w: it begins at revision %d", errAfresh, reply.CompactRevision)
	case reply.Canceled:
		return fmt.Errorf("watch is refused: %s", reply.CancelReason)
	case len(reply.Events) == 0:
		return nil
	}
	live := s.pulse.fresh(s.elapsed())
	events := make([]event, len(reply.Events))
	for i, e := range reply.Events {
		events[i] = event{key: string(e.Kv.Key), rev: e.Kv.ModRevision}
		if e.Type == mvccpb.Event_PUT {
			events[i].is = recordOf(e.Kv)
		}
		if id, ok := strings.CutPrefix(events[i].key, s.serverKey("")); ok {
			s.peers.learn(id, events[i].is, s.elapsed(), live)
		}
	}
	last := events[len(events)-1].rev
	s.mirror.apply(events, last)
	s.pulse.reach(last)
	return nil
}
