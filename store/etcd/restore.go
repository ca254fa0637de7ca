package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"lockstep/store"
	"lockstep/verifier"
)

// ErrNotEmpty is returned by [Store.Restore] where there are States already.
var ErrNotEmpty = errors.New("there is state already; give store.prefix another value, or remove what is below it")

// ErrHalfRestored is wrapped by what [Store.Restored] returns while a restore is under
// way, and after one that did not come to its end.
var ErrHalfRestored = errors.New("it is being restored, or that was cut short: restore it again")

// The record of a restore is a head and when it was, in milliseconds since 1970; 0
// while it is under way. Its key is not below that of the States. While a copy is
// under way it is another record, see encodeCopy.
func (s *Store) restoredKey() string { return s.opts.Prefix + "restored" }

func encodeRestored(at time.Time) []byte {
	ms := int64(0)
	if !at.IsZero() {
		ms = max(at.UnixMilli(), 1)
	}
	return seal(binary.BigEndian.AppendUint64(nil, uint64(ms)))
}

// decodeRestored returns the zero time for a restore under way.
func decodeRestored(value []byte) (time.Time, error) {
	content, err := unseal(value)
	switch {
	case err != nil:
		return time.Time{}, err
	case len(content) != 8:
		return time.Time{}, fmt.Errorf("%w: it does not say when it was restored", store.ErrDamaged)
	}
	if ms := int64(binary.BigEndian.Uint64(content)); ms != 0 {
		return time.UnixMilli(ms).UTC(), nil
	}
	return time.Time{}, nil
}

// Restored implements [store.Store]. It is cheap, for the record comes with the watch.
func (s *Store) Restored(ctx context.Context) (time.Time, error) {
	at, _, err := s.restored(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the state was restored: %w", err)
	}
	return at, nil
}

func (s *Store) restored(ctx context.Context) (time.Time, record, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return time.Time{}, record{}, err
	}
	is, err := s.get(ctx, s.restoredKey())
	if err != nil || is.rev == 0 {
		return time.Time{}, is, err
	}
	if mark, _, ok := decodeCopy(is.value); ok {
		return mark.Restored, is, store.ErrHalfCopied
	}
	at, err := decodeRestored(is.value)
	if err == nil && at.IsZero() {
		err = ErrHalfRestored
	}
	return at, is, err
}

// MarkRestored implements [store.Store].
func (s *Store) MarkRestored(ctx context.Context, at time.Time) error {
	for {
		was, is, err := s.restored(ctx)
		if err == nil && !at.After(was) {
			return nil
		}
		if err == nil {
			err = s.swap(ctx, s.restoredKey(), is.rev, encodeRestored(at))
		}
		if !errors.Is(err, verifier.ErrConflict) {
			if err != nil {
				err = fmt.Errorf("write when the state was restored: %w", err)
			}
			return err
		}
	}
}

// restorers is how many records are written at once: they go in groups.
const restorers = 64

// Restore writes what is in backup where there are no States, and no servers that
// run. at is what Restored returns afterwards; step is told how many records are
// done, by one goroutine at a time, nil for nobody.
//
// From its beginning to its end Restored is an error, so that no server lets anybody
// in by half of it. If it is cut short, Restore it again: that begins anew.
func (s *Store) Restore(ctx context.Context, backup *store.BackupReader, at time.Time, step func(done int)) error {
	begun, err := s.beginRestore(ctx)
	if err == nil {
		err = s.writeAll(ctx, backup, step)
	}
	if err == nil {
		err = s.swap(ctx, s.restoredKey(), begun, encodeRestored(at))
	}
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	return nil
}

// beginRestore writes that a restore is under way, if there are no States but those of
// one that was cut short, which it removes. It returns the revision of that.
func (s *Store) beginRestore(ctx context.Context) (int64, error) {
	_, is, err := s.restored(ctx)
	again := errors.Is(err, ErrHalfRestored)
	if err != nil && !again {
		return 0, err
	}
	states, end := []byte(s.key("")), []byte(clientv3.GetPrefixRangeEnd(s.key("")))
	request := &pb.TxnRequest{Compare: []*pb.Compare{{
		Key: []byte(s.restoredKey()), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_ModRevision{ModRevision: is.rev},
	}}}
	if !again {
		// No key at all: what is there has a version of 1 at least.
		request.Compare = append(request.Compare, &pb.Compare{
			Key: states, RangeEnd: end, Target: pb.Compare_VERSION, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Version{Version: 0},
		})
	}
	mine := encodeRestored(time.Time{})
	request.Success = []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(s.restoredKey()), Value: mine}}},
		{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: states, RangeEnd: end}}},
	}
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	reply, _, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.TxnResponse, error) { return to.txn(ctx, request) })
	if err != nil {
		return 0, err
	}
	s.mirror.forget(s.restoredKey())
	if reply.Succeeded {
		return reply.Header.Revision, nil
	}
	// An earlier try, whose answer was lost, may have done it.
	if is, err = s.fetch(ctx, s.restoredKey()); err == nil && !ours(is.value, mine) {
		err = ErrNotEmpty
	}
	return is.rev, err
}

// writeAll writes the records of backup.
func (s *Store) writeAll(ctx context.Context, backup *store.BackupReader, step func(done int)) error {
	type job struct {
		id    string
		state verifier.State
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan job)
	var all sync.WaitGroup
	for range restorers {
		all.Go(func() {
			for j := range work {
				if err := s.CompareAndSwap(ctx, j.id, 0, j.state); err != nil {
					cancel(err)
				}
			}
		})
	}
	done := 0
	for context.Cause(ctx) == nil {
		id, state, err := backup.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			cancel(err)
			break
		}
		work <- job{id, state}
		if done++; step != nil {
			step(done)
		}
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}
