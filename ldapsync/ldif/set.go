package ldif

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Set makes the changes, in turn, to the record of dn in the file at path. It
// leaves every byte of the file as it was but for the lines of the attributes
// that change: comments, order and folding of all else stay. A new attribute
// goes to the end of its record.
//
// The file is replaced at one stroke, by a new one with the same mode and
// owner, and is on disk when Set returns nil. A symbolic link is followed, and
// stays. Other hard links keep the old content; extended attributes and ACLs
// are not carried over. If nothing changes, nothing is written.
//
// Of several Sets at once, in any number of processes, none loses the change of
// another: each holds an advisory lock (flock) on the file itself, and waits for
// it. Programs that know no such lock are noticed if they write before the
// replacement, which then fails.
//
// After an error the file is as it was, unless the error is about syncing the
// directory: then it may have changed. The error wraps [ErrNoRecord] if there
// is no record of dn, and an [*Error] if the file or the result is at fault.
func Set(path, dn string, changes ...Change) error {
	if err := set(path, dn, changes); err != nil {
		return fmt.Errorf("edit %s: %w", path, err)
	}
	return nil
}

func set(path, dn string, changes []Change) error {
	f, target, err := openLocked(path)
	if err != nil {
		return err
	}
	defer f.Close() // and gives the lock back
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	data, err := readAll(f)
	if err != nil {
		return err
	}
	out, err := edit(data, dn, changes)
	if err != nil {
		return err
	}
	if bytes.Equal(out, data) {
		return nil
	}
	return replace(target, info, out)
}

// openLocked opens the file that path leads to, and locks it.
func openLocked(path string) (f *os.File, target string, err error) {
	for {
		target, err = filepath.EvalSymlinks(path)
		if err != nil {
			return nil, "", err
		}
		// Without O_NONBLOCK a pipe would be waited for.
		f, err = os.OpenFile(target, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, "", err
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, "", fmt.Errorf("lock: %w", err)
		}
		// Whoever held the lock may have put a new file in the place of this
		// one, which is nobody's content any more.
		if unchanged, err := isStill(target, f); err != nil || unchanged {
			if err != nil {
				f.Close()
			}
			return f, target, err
		}
		f.Close()
	}
}

func lock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

func isStill(target string, f *os.File) (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

// replace puts a file with data in the place of target, which was as old says
// when it was read.
func replace(target string, old fs.FileInfo, data []byte) error {
	dir := filepath.Dir(target)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(tmp, old, data), tmp.Close())
	if err == nil {
		err = unchanged(target, old)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), target)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return err
	}
	return syncDir(dir)
}

// unchanged fails if the file is not what old says, as when an editor without
// our lock has saved it.
func unchanged(target string, old fs.FileInfo) error {
	now, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !os.SameFile(now, old) || now.Size() != old.Size() || !now.ModTime().Equal(old.ModTime()) {
		return errors.New("another program has changed the file meanwhile; try again")
	}
	return nil
}

// fill writes data to tmp and gives it the mode and owner of old. The mode comes
// last: until then nobody else can read the file.
func fill(tmp *os.File, old fs.FileInfo, data []byte) error {
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if stat, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := tmp.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return fmt.Errorf("keep the owner: %w", err)
		}
	}
	if err := tmp.Chmod(old.Mode().Perm()); err != nil {
		return err
	}
	return tmp.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
