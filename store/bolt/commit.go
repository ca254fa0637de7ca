package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/verifier"
)

// maxWaiting bounds the writes that wait for the disk. A disk that hangs then
// leads to quick errors, and not to memory that grows.
const maxWaiting = 4096

// reopenTimeout is next to nothing: the file is ours, and many wait.
const reopenTimeout = time.Millisecond

// request is one change that waits for the disk.
type request struct {
	// apply makes the change and reports whether there was one. Its error is
	// for this request alone; a broken transaction shows in the commit.
	apply func(*bbolt.Tx) (changed bool, err error)
	err   error // of apply

	// taken is set once: by the committer, when the outcome becomes its
	// concern, or by the caller, who has given up.
	taken  atomic.Bool
	answer chan error // holds one, so that the committer never waits
}

// do has apply committed, and returns nil when that is on disk.
func (s *Store) do(ctx context.Context, apply func(*bbolt.Tx) (bool, error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write state: not begun: %w", err)
	}
	r, err := s.enqueue(apply)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	select {
	case err = <-r.answer:
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return fmt.Errorf("write state: not begun: %w", ctx.Err())
		}
		err = <-r.answer
	}
	if err != nil {
		return fmt.Errorf("write state to %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) enqueue(apply func(*bbolt.Tx) (bool, error)) (*request, error) {
	r := &request{apply: apply, answer: make(chan error, 1)}
	s.queueMu.RLock()
	defer s.queueMu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	select {
	case s.queue <- r:
		return r, nil
	default:
		return nil, store.ErrBusy
	}
}

// run is the committer: the one goroutine that writes. It never waits for more
// to come. What comes while the disk is busy makes the next commit.
func (s *Store) run() {
	defer close(s.stopped)
	var batch []*request
	for first := range s.queue {
		batch = s.take(append(batch[:0], first))
		if len(batch) > 0 {
			s.commit(batch)
		}
		clear(batch) // or the States of the last commit live on till the next
	}
}

// take adds all that waits to batch, and leaves out those who have given up.
func (s *Store) take(batch []*request) []*request {
	if s.opts.beforeCommit != nil {
		s.opts.beforeCommit()
	}
	for n := len(s.queue); n > 0; n-- {
		batch = append(batch, <-s.queue)
	}
	live := batch[:0]
	for _, r := range batch {
		if r.taken.CompareAndSwap(false, true) {
			live = append(live, r)
		}
	}
	return live
}

// commit writes batch in one transaction and answers each request. If the
// transaction fails, nobody can tell which of them is on disk, so all fail,
// those with a conflict too: it may be with a change that was never written.
func (s *Store) commit(batch []*request) {
	s.health.begin(s.opts.Now())
	changed, err := s.transact(batch)
	if errors.Is(err, errPanic) {
		s.health.condemn(err) // bbolt may still hold its locks
	}
	if turned := s.health.end(changed, err); turned && err == nil {
		s.opts.Log.Info("state file can be written again", "path", s.path)
	} else if turned {
		s.opts.Log.Error("state file cannot be written", "path", s.path, "err", err)
	}
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		r.answer <- r.err
	}
	if err != nil {
		// At once, so that readers do not have to wait for the next write.
		// Its error, if any, meets whoever comes next.
		_ = s.reopen()
	}
}

var errNoChange = errors.New("nothing to write")

// transact applies batch and reports whether anything was written.
func (s *Store) transact(batch []*request) (changed bool, err error) {
	defer panicOnFault()()
	defer guard(&err)
	if err := s.ready(); err != nil {
		return false, err
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		s.last = max(s.last, tx.Bucket(recordsBucket).Sequence())
		for _, r := range batch {
			var did bool
			did, r.err = r.apply(tx)
			changed = changed || did
		}
		if !changed {
			return errNoChange
		}
		return nil
	})
	if errors.Is(err, errNoChange) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.commits.Add(1)
	if s.opts.afterCommit != nil {
		return true, s.opts.afterCommit()
	}
	return true, nil
}

// ready makes sure that there is a file to write to, and that it still has its
// name: what is written to a file without one is gone at the next start.
func (s *Store) ready() error {
	if err := s.health.condemned(); err != nil {
		return err
	}
	if s.db == nil {
		if err := s.reopen(); err != nil {
			return err
		}
	}
	is, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if !os.SameFile(is, s.info) {
		return errReplaced
	}
	return nil
}

// reopen closes the file and opens it again. After a failed commit what bbolt
// holds in memory, what the kernel holds, and what the disk holds may be three
// things; openFile makes them one again, or fails, and then nobody reads or
// writes until it succeeds.
func (s *Store) reopen() error {
	if err := s.health.condemned(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.closeFile() // its lock or descriptor may be what has failed
	db, _, err := openFile(s.path, reopenTimeout, s.info)
	if errors.Is(err, errPanic) {
		s.health.condemn(err)
	}
	if err != nil {
		return err
	}
	s.db = db
	return nil
}

// closeFile closes db if it is open; s.mu is held for writing.
func (s *Store) closeFile() error {
	db := s.db
	s.db = nil
	if db == nil || s.health.condemned() != nil {
		return nil // a condemned db may never return from Close
	}
	return db.Close()
}

// swap is the change of CompareAndSwap.
func (s *Store) swap(tx *bbolt.Tx, id []byte, old verifier.Version, record []byte) (bool, error) {
	b := tx.Bucket(recordsBucket)
	var is verifier.Version
	if raw := b.Get(id); raw != nil {
		var err error
		if is, err = recordVersion(raw); err != nil {
			return false, err
		}
	}
	if is != old {
		return false, verifier.ErrConflict
	}
	// s.last never goes back, also when a commit fails: somebody may have
	// loaded a Version from it that the disk then forgot.
	s.last++
	value := append(binary.BigEndian.AppendUint64(make([]byte, 0, versionBytes+len(record)), s.last), record...)
	if err := b.SetSequence(s.last); err != nil {
		return false, err
	}
	return true, b.Put(id, value)
}
