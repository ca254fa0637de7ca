package bolt

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store/bolt/journal"
)

// limits are those of the log. Tests have smaller ones.
type limits struct {
	first   int64 // bytes of the first segment
	segment int64 // of the largest
	table   int   // of a table in memory: two at most, and what the file needs to take one
	chunk   int   // ids that go into the file in one transaction
}

var defaultLimits = limits{first: 64 << 10, segment: 16 << 20, table: 12 << 20, chunk: 128}

// after returns the size of the segment after one of the given size.
func (l limits) after(size int64) int64 { return min(16*size, l.segment) }

// keeper is the goroutine that puts sealed tables into the file.
type keeper struct {
	work    chan errand
	rush    chan struct{} // holds one: the fold under way is waited for
	stopped chan struct{}

	mu    sync.Mutex // guards what follows; never held across a call
	err   error      // of the last try, nil if it succeeded
	tried time.Time
}

// errand is to fold, and before that to make a blank of the given size unless
// it is 0.
type errand struct {
	blank int64
	done  chan<- error // nil if nobody waits; holds one
}

func (s *Store) keep() {
	defer close(s.keeper.stopped)
	for e := range s.keeper.work {
		if e.blank > 0 && s.blank.Load() == nil {
			s.prepare(e.blank)
		}
		err := s.fold(e.done != nil)
		s.keeper.calm()
		if e.done != nil {
			e.done <- err
		}
	}
}

// prepare makes the blank for the next segment. If that fails, it will be made
// when it is needed, and its error matters then.
func (s *Store) prepare(size int64) {
	b, err := journal.NewBlank(s.path, size)
	if err != nil {
		return
	}
	if err := b.Sync(); err != nil {
		b.Discard()
		return
	}
	s.blank.Store(b)
}

// tend has a table that was just sealed folded in the background. Nothing is
// under way then, so the channel has room.
func (s *Store) tend(size int64) {
	s.keeper.work <- errand{blank: s.opts.limits.after(size)}
}

// foldNow returns when there is no sealed table any more, or an error.
func (s *Store) foldNow() error {
	done := make(chan error, 1)
	s.keeper.hasten()
	s.keeper.work <- errand{done: done}
	return <-done
}

// foldAgain tries anew, at most once a second, what has failed: the next
// segment should find the way free.
func (s *Store) foldAgain() {
	s.keeper.mu.Lock()
	since := s.opts.Now().Sub(s.keeper.tried)
	again := s.keeper.err != nil && (since < 0 || since >= probeEvery)
	s.keeper.mu.Unlock()
	if again {
		select {
		case s.keeper.work <- errand{}:
		default: // is being tried
		}
	}
}

// fold puts the sealed table into the file, and removes the segments that hold
// nothing else, with pauses unless it is in a hurry. If it fails it can be done
// again, by a later process as well.
func (s *Store) fold(hurry bool) error {
	t := s.tables.pending()
	if t == nil {
		return nil
	}
	err := s.foldTable(t, hurry)
	if err != nil {
		// It may be the space that the file needs.
		if b := s.blank.Swap(nil); b != nil {
			b.Discard()
		}
	}
	s.keeper.mu.Lock()
	turned := (err == nil) != (s.keeper.err == nil)
	s.keeper.err, s.keeper.tried = err, s.opts.Now()
	s.keeper.mu.Unlock()
	if turned && err == nil {
		s.opts.Log.Info("log can be put into the state file again", "path", s.path)
	} else if turned {
		s.opts.Log.Error("log cannot be put into the state file", "path", s.path, "err", err)
	}
	return err
}

func (s *Store) foldTable(t *table, hurry bool) error {
	ids := slices.Sorted(maps.Keys(t.changes))
	pause := breath{store: s, hurry: hurry, chunks: len(ids)/s.opts.limits.chunk + 1}
	for len(ids) > s.opts.limits.chunk {
		began := s.opts.Now()
		var chunk []string
		chunk, ids = ids[:s.opts.limits.chunk], ids[s.opts.limits.chunk:]
		if err := s.update(func(tx *bbolt.Tx) error {
			return errors.Join(putChanges(tx, chunk, t.changes), s.note(tx, t, false))
		}); err != nil {
			return err
		}
		if s.opts.afterChunk != nil {
			s.opts.afterChunk()
		}
		pause.take(s.opts.Now().Sub(began))
	}
	if err := s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(recordsBucket)
		if t.last > b.Sequence() {
			if err := b.SetSequence(t.last); err != nil {
				return err
			}
		}
		return errors.Join(putChanges(tx, ids, t.changes), s.note(tx, t, true))
	}); err != nil {
		return err
	}
	if s.opts.afterChunk != nil {
		s.opts.afterChunk()
	}
	// The file has all of it. Whoever does not find it in the table now finds
	// it there.
	if err := journal.Remove(s.path, t.through); err != nil {
		return err
	}
	s.tables.drop()
	s.remember(t.last)
	return nil
}

func putChanges(tx *bbolt.Tx, ids []string, changes map[string]change) error {
	b := tx.Bucket(recordsBucket)
	for _, id := range ids {
		c := changes[id]
		if c.deleted {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
			continue
		}
		value := make([]byte, 0, versionBytes+len(c.record))
		value = append(binary.BigEndian.AppendUint64(value, c.version), c.record...)
		if err := b.Put([]byte(id), value); err != nil {
			return err
		}
	}
	return nil
}

// note writes into the file how far it has the log, and which files of the log
// have to be there. t is what the transaction is from, nil for nothing, and
// done whether it leaves nothing of t out.
func (s *Store) note(tx *bbolt.Tx, t *table, done bool) error {
	l, err := loadLogInfo(tx)
	if err != nil {
		return err
	}
	l.id = s.id
	active := s.active.Load()
	l.newest = max(l.newest, active)
	if t != nil {
		l.newest = max(l.newest, t.through)
	}
	if done {
		l.applied = t.mark
	}
	// Where no segment is in use, the file is all there is, once done.
	l.needed = active != 0 || !done
	return l.put(tx)
}
