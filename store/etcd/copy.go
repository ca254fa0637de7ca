package etcd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"lockstep/store"
	"lockstep/verifier"
)

// While a copy is under way the record of a restore is a head, what comes back in its
// place, whether there was nothing before, and which copy it is. It is longer than any
// other, so that programs that know nothing of it take it for damaged, and let nobody
// in.
const (
	copyIntoUsed  = 0
	copyIntoEmpty = 1
	copyBytes     = 8 + 1 + len(copyID{})
)

// copyID tells one copy from another, also from one that it goes on with.
type copyID [8]byte

func encodeCopy(mark store.CopyMark, id copyID) []byte {
	ms, into := int64(0), byte(copyIntoUsed)
	if !mark.Restored.IsZero() {
		ms = max(mark.Restored.UnixMilli(), 1)
	}
	if mark.Empty {
		into = copyIntoEmpty
	}
	content := append(binary.BigEndian.AppendUint64(nil, uint64(ms)), into)
	return seal(append(content, id[:]...))
}

// decodeCopy reports whether value is the mark of a copy.
func decodeCopy(value []byte) (mark store.CopyMark, id copyID, ok bool) {
	content, err := unseal(value)
	if err != nil || len(content) != copyBytes || content[8] > copyIntoEmpty {
		return mark, id, false
	}
	if ms := int64(binary.BigEndian.Uint64(content)); ms != 0 {
		mark.Restored = time.UnixMilli(ms).UTC()
	}
	mark.Empty = content[8] == copyIntoEmpty
	return mark, copyID(content[9:]), true
}

// BeginCopy implements [store.Store].
func (s *Store) BeginCopy(ctx context.Context, mark store.CopyMark) (store.CopyMark, func(context.Context) error, error) {
	var id copyID
	rand.Read(id[:])
	is, err := s.beginCopy(ctx, mark, id)
	if err != nil {
		return is, nil, fmt.Errorf("mark the state for a copy: %w", err)
	}
	end := func(ctx context.Context) error {
		if err := s.endCopy(ctx, id); err != nil {
			return fmt.Errorf("take the mark of a copy from the state: %w", err)
		}
		return nil
	}
	return is, end, nil
}

func (s *Store) beginCopy(ctx context.Context, mark store.CopyMark, id copyID) (store.CopyMark, error) {
	for {
		at, there, err := s.restored(ctx)
		was, _, again := decodeCopy(there.value)
		if err != nil && !(again && errors.Is(err, store.ErrHalfCopied)) {
			return mark, err
		}
		if !again {
			was = store.CopyMark{Restored: at, Empty: mark.Empty}
		}
		is := was.Merge(mark)
		err = s.swap(ctx, s.restoredKey(), there.rev, encodeCopy(is, id))
		if !errors.Is(err, verifier.ErrConflict) {
			return is, err
		}
	}
}

// endCopy takes the mark away, if it is that of the copy id.
func (s *Store) endCopy(ctx context.Context, id copyID) error {
	for {
		_, there, err := s.restored(ctx)
		mark, whose, _ := decodeCopy(there.value)
		switch {
		case err != nil && !errors.Is(err, store.ErrHalfCopied):
			return err
		case whose != id:
			return errors.New("another copy was begun meanwhile")
		case mark.Restored.IsZero():
			err = s.remove(ctx, s.restoredKey(), there.rev)
		default:
			err = s.swap(ctx, s.restoredKey(), there.rev, encodeRestored(mark.Restored))
		}
		if !errors.Is(err, verifier.ErrConflict) {
			return err
		}
	}
}

// remove deletes what is at key, if that has revision old.
func (s *Store) remove(ctx context.Context, key string, old int64) error {
	o := s.writes.do(ctx, &request{key: key, old: old})
	switch {
	case o.err != nil:
		// Who loads next shall see what has become of it.
		s.mirror.forget(key)
		return o.err
	case o.done, o.resent && o.is.rev == 0: // or by an earlier try
		return nil
	}
	return verifier.ErrConflict
}
