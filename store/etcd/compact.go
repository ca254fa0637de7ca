package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"lockstep/verifier"
)

// Every login adds a revision. etcd keeps them all, and takes no more writes
// when they fill its quota, unless it is told to forget the old ones.
const (
	compactEvery = 30 * time.Second
	keepHistory  = time.Minute // at least; settle and List need some
)

// compact has etcd forget old revisions. The servers take no turns and hold no
// election: whoever finds that nobody has done it since it last looked does it,
// if it is the one whose note of that is taken.
func (s *Store) compact() {
	every := s.opts.compactEvery
	tick := time.NewTicker(every)
	defer tick.Stop()
	var history []mark // what was known, and when, the oldest first
	var seen int64     // of the note, when we looked last
	for {
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
		}
		rev, _ := s.cluster.known()
		history = append(history, mark{s.elapsed(), rev})
		var old int64
		for len(history) > 0 && s.elapsed()-history[0].at >= s.opts.keepHistory {
			old, history = history[0].rev, history[1:]
		}
		if old > 0 {
			seen = s.compactTo(old, seen)
		}
	}
}

// compactTo has etcd forget what is before rev, unless somebody has done so
// since the note had the revision seen. It returns the present one.
func (s *Store) compactTo(rev, seen int64) int64 {
	ctx, cancel := context.WithTimeout(s.background, groupWait)
	defer cancel()
	note := s.opts.Prefix + "compacted"
	is, err := s.fetch(ctx, note)
	if err != nil {
		return seen
	}
	if is.rev != seen {
		return is.rev
	}
	err = s.swap(ctx, note, is.rev, seal(binary.BigEndian.AppendUint64(nil, uint64(rev))))
	if err != nil {
		if !errors.Is(err, verifier.ErrConflict) {
			s.opts.Log.Warn("history of etcd is not compacted", "err", err)
		}
		return seen
	}
	if is, err := s.fetch(ctx, note); err == nil {
		seen = is.rev
	}
	_, _, err = ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.CompactionResponse, error) { return to.compact(ctx, rev) })
	if err != nil && !isCompacted(err) {
		s.opts.Log.Warn("history of etcd is not compacted", "err", err)
	}
	return seen
}
