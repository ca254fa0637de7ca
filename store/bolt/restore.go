package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"lockstep/store"
	"lockstep/store/bolt/journal"
)

// restoreChunk is how many records go into the new file in one transaction.
const restoreChunk = 4096

// Restore puts what is in backup in the place of the state file at path, or where
// there is none, and of its log. at is what the new file's Restored returns; step is
// told how many records are done, nil for nobody. The error wraps ErrInUse while a
// process has the file.
//
// The new file gets its name when it is whole and on disk. Until then, and so after
// an error, a kill -9 or a power cut, the old one and its log are as they were.
func Restore(ctx context.Context, path string, backup *store.BackupReader, at time.Time, step func(done int)) error {
	if err := restore(ctx, path, backup, at, step); err != nil {
		return fmt.Errorf("restore state file %s: %w", path, err)
	}
	return nil
}

func restore(ctx context.Context, path string, backup *store.BackupReader, at time.Time, step func(done int)) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	held, err := lock(path, openTimeout)
	if err != nil {
		return err
	}
	defer held.Close()
	old, err := lockOld(path)
	if err != nil {
		return err
	}
	defer old.Close()
	numbers, err := journal.Files(path)
	if err != nil {
		return err
	}
	l := logInfo{id: newID()}
	if len(numbers) > 0 {
		l.newest = numbers[len(numbers)-1]
	}
	removeHalfRestored(path)
	tmp, err := os.CreateTemp(dir, halfRestored(path)+"*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	n, err := build(ctx, tmp.Name(), backup, l, at, step)
	if err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(ownAs(tmp, dir, old), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := errors.Join(os.Rename(tmp.Name(), path), syncDir(dir)); err != nil {
		return err
	}
	// From here on the new file counts, which says itself that what is left of the
	// old log is void.
	_ = ownAs(held, dir, nil)
	_, _ = held.WriteAt(memo{l.id, n}.bytes(), 0)
	_ = journal.Remove(path, l.newest)
	return nil
}

// lockOld locks the state file as bbolt does, which all of its users do, also those
// from before there was another lock. It returns nil where there is none.
func lockOld(path string) (*os.File, error) {
	is, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !is.Mode().IsRegular():
		return nil, errors.New("it is no regular file; name the file itself")
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(ErrInUse, f.Close())
	} else if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func halfRestored(path string) string { return "." + filepath.Base(path) + ".restore-" }

// removeHalfRestored removes what a restore that was killed has left. The lock is
// held.
func removeHalfRestored(path string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), halfRestored(path)) {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

// build fills the file at path, and returns how many records it has.
func build(ctx context.Context, path string, backup *store.BackupReader, l logInfo, at time.Time, step func(int)) (n uint64, err error) {
	o := options(openTimeout)
	o.NoSync, o.NoFreelistSync = true, false
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Update(func(tx *bbolt.Tx) error { return begin(tx, l, at) }); err != nil {
		return 0, err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := db.Update(func(tx *bbolt.Tx) (err error) {
			n, more, err = putRecords(tx, backup, n)
			return err
		}); err != nil {
			return 0, err
		}
		if step != nil {
			step(int(n))
		}
	}
	return n, db.Sync()
}

func begin(tx *bbolt.Tx, l logInfo, at time.Time) error {
	for _, name := range [][]byte{metaBucket, recordsBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return errors.Join(putNumber(tx, restoredKey, uint64(max(at.UnixMilli(), 1))), putNumber(tx, voidKey, l.newest), l.put(tx))
}

// putRecords puts the next records of backup, the nth first, and reports whether
// there may be more.
func putRecords(tx *bbolt.Tx, backup *store.BackupReader, n uint64) (uint64, bool, error) {
	b := tx.Bucket(recordsBucket)
	b.FillPercent = 0.9 // they come in order
	for range restoreChunk {
		id, state, err := backup.Next()
		if err == io.EOF {
			return n, false, b.SetSequence(n)
		}
		if err != nil {
			return 0, false, err
		}
		n++
		value := append(binary.BigEndian.AppendUint64(nil, n), store.Encode(state)...)
		if err := b.Put([]byte(id), value); err != nil {
			return 0, false, err
		}
	}
	return n, true, nil
}

// ownAs gives f the owner of old, or of dir if old is nil: root restores what another
// user's server is to open. Who is not root keeps it.
func ownAs(f *os.File, dir string, old *os.File) error {
	is, err := os.Stat(dir)
	if old != nil {
		is, err = old.Stat()
	}
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := is.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
