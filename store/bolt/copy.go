package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"lockstep/store"
)

// A file into which a copy is under way has copyKey in metaBucket. What Restored
// returns afterwards is where it always is.
var copyKey = []byte("copy")

// What is at copyKey.
const (
	copyIntoEmpty = "empty"
	copyIntoUsed  = "used"
)

// BeginCopy implements [store.Store].
func (s *Store) BeginCopy(_ context.Context, mark store.CopyMark) (store.CopyMark, func(context.Context) error, error) {
	is, err := s.beginCopy(mark)
	if err != nil {
		return is, nil, fmt.Errorf("mark %s for a copy: %w", s.path, err)
	}
	mine := s.copies.Add(1)
	end := func(context.Context) error {
		if err := s.endCopy(mine); err != nil {
			return fmt.Errorf("take the mark of a copy from %s: %w", s.path, err)
		}
		return nil
	}
	return is, end, nil
}

func (s *Store) beginCopy(mark store.CopyMark) (is store.CopyMark, err error) {
	if s.queue.isClosed() {
		return is, store.ErrClosed
	}
	if !mark.Restored.IsZero() {
		if err := s.setRestored(mark.Restored); err != nil {
			return is, err
		}
	}
	err = s.update(func(tx *bbolt.Tx) error {
		is = mark
		meta := tx.Bucket(metaBucket)
		if was := meta.Get(copyKey); was != nil {
			is = store.CopyMark{Empty: string(was) == copyIntoEmpty}.Merge(mark)
		}
		l, err := loadLogInfo(tx)
		if err != nil {
			return err
		}
		// Before put, which tells the format by it.
		return errors.Join(meta.Put(copyKey, copyValue(is)), l.put(tx))
	})
	if err == nil {
		s.half.Store(true)
	}
	return is, err
}

func copyValue(mark store.CopyMark) []byte {
	if mark.Empty {
		return []byte(copyIntoEmpty)
	}
	return []byte(copyIntoUsed)
}

// endCopy takes the mark away, if no copy was begun since.
func (s *Store) endCopy(mine int64) error {
	if s.queue.isClosed() {
		return store.ErrClosed
	}
	err := s.update(func(tx *bbolt.Tx) error {
		if s.copies.Load() != mine {
			return errors.New("another copy was begun meanwhile")
		}
		l, err := loadLogInfo(tx)
		if err != nil {
			return err
		}
		return errors.Join(tx.Bucket(metaBucket).Delete(copyKey), l.put(tx))
	})
	if err == nil {
		s.half.Store(false)
	}
	return err
}
