package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/store/bolt/journal"
)

// What a file that was restored has in metaBucket beside the rest, each a uint64,
// the high byte first.
var (
	restoredKey = []byte("restored") // when, in milliseconds since 1970
	voidKey     = []byte("void")     // segments up to this number are of the file that it has replaced
)

func loadNumber(tx *bbolt.Tx, key []byte) (uint64, error) {
	switch b := tx.Bucket(metaBucket).Get(key); len(b) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("the file is damaged: its %q is no number", key)
}

// orNumber is loadNumber unless there is an error already.
func orNumber(tx *bbolt.Tx, key []byte, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	return loadNumber(tx, key)
}

func putNumber(tx *bbolt.Tx, key []byte, n uint64) error {
	return tx.Bucket(metaBucket).Put(key, binary.BigEndian.AppendUint64(nil, n))
}

// Restored implements [store.Store].
func (s *Store) Restored(context.Context) (time.Time, error) {
	if s.queue.isClosed() {
		return time.Time{}, fmt.Errorf("read state from %s: %w", s.path, store.ErrClosed)
	}
	if s.half.Load() {
		return time.Time{}, fmt.Errorf("read state from %s: %w", s.path, store.ErrHalfCopied)
	}
	if at := s.restored.Load(); at != 0 {
		return time.UnixMilli(at).UTC(), nil
	}
	return time.Time{}, nil
}

// MarkRestored implements [store.Store].
func (s *Store) MarkRestored(_ context.Context, at time.Time) error {
	if s.queue.isClosed() {
		return fmt.Errorf("write state to %s: %w", s.path, store.ErrClosed)
	}
	if s.half.Load() {
		return fmt.Errorf("write state to %s: %w", s.path, store.ErrHalfCopied)
	}
	if err := s.setRestored(at); err != nil {
		return fmt.Errorf("write state to %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) setRestored(at time.Time) error {
	ms := max(at.UnixMilli(), s.restored.Load(), 1)
	err := s.update(func(tx *bbolt.Tx) error {
		l, err := loadLogInfo(tx)
		if err != nil {
			return err
		}
		return errors.Join(putNumber(tx, restoredKey, uint64(ms)), l.put(tx))
	})
	if err == nil {
		s.restored.Store(ms)
	}
	return err
}

// The lock beside the state file remembers which file it was that was used last, and
// how far. So a copy that somebody puts back by hand is noticed, where the lock stays
// as it is: that is a restore that nobody has announced.
type memo struct {
	id   journal.ID
	last uint64 // a Version that was given, and is on disk
}

const (
	memoMagic = "\xe7Lkmemo1"
	memoBytes = len(memoMagic) + 16 + 8 + crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m memo) bytes() []byte {
	b := append([]byte(memoMagic), m.id[:]...)
	b = binary.BigEndian.AppendUint64(b, m.last)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readMemo returns what lock remembers, if anything. What cannot be read is
// nothing: it helps against mistakes, and is no part of the state.
func readMemo(lock *os.File) (m memo, ok bool) {
	b := make([]byte, memoBytes)
	if n, _ := lock.ReadAt(b, 0); n != memoBytes || !bytes.HasPrefix(b, []byte(memoMagic)) {
		return memo{}, false
	}
	m.id = journal.ID(b[len(memoMagic):])
	m.last = binary.BigEndian.Uint64(b[len(memoMagic)+16:])
	return m, bytes.Equal(b, m.bytes())
}

// remember notes that last is on disk. Without a sync: after a power cut it may be
// an older one.
func (s *Store) remember(last uint64) {
	s.noted.Store(max(last, s.noted.Load()))
	if s.id == (journal.ID{}) {
		return
	}
	_, _ = s.lock.WriteAt(memo{s.id, s.noted.Load()}.bytes(), 0)
}

// recall notices a file that was put back.
func (s *Store) recall() error {
	m, ok := readMemo(s.lock)
	if ok && (m.id != s.id || m.last > s.last) {
		now := s.opts.Now()
		s.opts.Log.Error("state file is not the one that was used here last, or older than it was: somebody has put it back. "+
			"All codes up to now count as spent", "path", s.path, "has", s.last, "had", m.last, "hint", "\"lockstep store restore\" does it with less doubt")
		if err := s.setRestored(now); err != nil {
			return err
		}
	}
	s.remember(s.last)
	return nil
}
