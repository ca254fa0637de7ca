package bolt

import (
	"errors"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// update runs fn in a transaction of the file, and returns nil when that is on
// disk.
func (s *Store) update(fn func(*bbolt.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if s.beforeUpdate != nil {
		if err := s.beforeUpdate(); err != nil {
			return err
		}
	}
	err := s.tryUpdate(fn)
	if errors.Is(err, errPanic) {
		s.health.condemn(err) // bbolt may still hold its locks
	}
	if err != nil {
		// At once, so that readers do not have to wait for the next write. Its
		// error, if any, meets whoever comes next.
		_ = s.reopen()
	}
	return err
}

func (s *Store) tryUpdate(fn func(*bbolt.Tx) error) (err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.unavailable()
	}
	defer panicOnFault()()
	defer guard(&err)
	return s.db.Update(fn)
}

var errCutShort = errors.New("the file was cut short while in use; stop lockstep, and restore it")

// ready makes sure that there is a file, and that it still has its name and
// its size: what is written to a file without a name is gone at the next start.
func (s *Store) ready() error {
	if err := s.health.condemned(); err != nil {
		return err
	}
	if !s.isOpen() {
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
	// bbolt never makes it smaller.
	for seen := s.seen.Load(); is.Size() != seen; seen = s.seen.Load() {
		if is.Size() < seen {
			return errCutShort
		}
		s.seen.CompareAndSwap(seen, is.Size())
	}
	return nil
}

func (s *Store) isOpen() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db != nil
}

// reopen closes the file and opens it again. After a failed transaction what
// bbolt holds in memory, what the kernel holds, and what the disk holds may be
// three things; openFile makes them one again, or fails, and then nobody reads
// or writes until it succeeds.
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

// reopenTimeout is next to nothing: the file is ours, and many wait.
const reopenTimeout = time.Millisecond
