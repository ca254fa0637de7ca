package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"lockstep/store/bolt/journal"
)

// logInfo is what the file says about its log.
type logInfo struct {
	id      journal.ID   // zero in a file from before there were logs
	applied journal.Mark // the file has the groups up to this one
	newest  uint64       // the highest number that a segment is known to have had
	needed  bool         // without the log, with a segment newest or later, the file is not complete
}

const logInfoBytes = 16 + 8 + 4 + 8

func newID() (id journal.ID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

func (l logInfo) put(tx *bbolt.Tx) error {
	b := make([]byte, 0, logInfoBytes)
	b = append(b, l.id[:]...)
	b = binary.BigEndian.AppendUint64(b, l.applied.Group)
	b = binary.BigEndian.AppendUint32(b, l.applied.Sum)
	b = binary.BigEndian.AppendUint64(b, l.newest)
	format := formatAlone
	if l.needed {
		format = formatWithLog
	}
	meta := tx.Bucket(metaBucket)
	if meta.Get(restoredKey) != nil {
		format += formatRestored
	}
	if meta.Get(copyKey) != nil {
		format += formatHalf
	}
	return errors.Join(meta.Put(logKey, b), meta.Put(formatKey, []byte(strconv.Itoa(format))))
}

func loadLogInfo(tx *bbolt.Tx) (l logInfo, err error) {
	meta := tx.Bucket(metaBucket)
	format, err := loadFormat(meta)
	if err != nil {
		return logInfo{}, err
	}
	l.needed = format%formatWithLog == 0 // what is added is even
	b := meta.Get(logKey)
	if b == nil && !l.needed {
		return l, nil
	}
	if len(b) != logInfoBytes {
		return logInfo{}, errors.New("the file is damaged: it does not say how far it has its log")
	}
	copy(l.id[:], b)
	l.applied.Group = binary.BigEndian.Uint64(b[16:])
	l.applied.Sum = binary.BigEndian.Uint32(b[24:])
	l.newest = binary.BigEndian.Uint64(b[28:])
	return l, nil
}

// recover reads the log that a process has left which did not end with Close.
// What it holds is in memory then, sealed, and still in the log.
func (s *Store) recover() error {
	var info logInfo
	var restored, void uint64
	var half bool
	if err := s.view(func(tx *bbolt.Tx) (err error) {
		s.last = tx.Bucket(recordsBucket).Sequence()
		info, err = loadLogInfo(tx)
		restored, err = orNumber(tx, restoredKey, err)
		void, err = orNumber(tx, voidKey, err)
		half = tx.Bucket(metaBucket).Get(copyKey) != nil
		return err
	}); err != nil {
		return err
	}
	s.restored.Store(int64(restored))
	s.half.Store(half)
	if void > 0 { // by a restore that was killed at its end
		if err := journal.Remove(s.path, void); err != nil {
			return err
		}
	}
	numbers, err := journal.Files(s.path)
	if err != nil {
		return err
	}
	journal.RemoveBlanks(s.path)
	s.id, s.mark, s.number = info.id, info.applied, info.newest
	if len(numbers) == 0 && !info.needed {
		return nil
	}
	needs := uint64(0)
	if info.needed {
		needs = info.newest
	}
	t := newTable()
	if s.mark, err = journal.Recover(s.path, s.id, info.applied, needs, func(r journal.Record) {
		t.put(r.ID, change{version: r.Version, deleted: r.Deleted, record: r.Value})
	}); err != nil {
		return err
	}
	s.last = max(s.last, t.last)
	s.number = max(s.number, numbers[len(numbers)-1])
	s.tables.active = t
	s.tables.seal(s.number, s.mark)
	return nil
}

// identify gives an id to a file from before there were logs.
func (s *Store) identify() error {
	if s.id != (journal.ID{}) {
		return nil
	}
	id := newID()
	if err := s.update(func(tx *bbolt.Tx) error {
		l, err := loadLogInfo(tx)
		if err != nil {
			return err
		}
		l.id = id
		return l.put(tx)
	}); err != nil {
		return fmt.Errorf("begin a log: %w", err)
	}
	s.id = id
	return nil
}

// announce writes into the file, before the first group of this process, that
// from now on it goes with a log.
func (s *Store) announce() error {
	if s.announced {
		return nil
	}
	if err := s.update(func(tx *bbolt.Tx) error { return s.note(tx, nil, false) }); err != nil {
		return fmt.Errorf("begin a log: %w", err)
	}
	s.announced = true
	return nil
}
