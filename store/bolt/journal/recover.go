package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Recover reads the log at base, which must have segments, of the owner id.
// It calls each, in order, for the records of all groups after the Mark
// applied, which says how much of the log its owner has elsewhere. Recover
// returns the Mark of the last group. When it returns nil, all of that is on
// disk, also what a process that was killed may have left in memory alone.
// Before, nothing of what each was told may be relied on.
//
// A log that begins later than applied, ends before it, or has no segment of
// the number newest or higher is an error.
func Recover(base string, id ID, applied Mark, newest uint64, each func(Record)) (Mark, error) {
	numbers, err := Files(base)
	if err != nil {
		return Mark{}, err
	}
	files := make([]file, len(numbers))
	for i, n := range numbers {
		if files[i], err = readFile(Path(base, n)); err != nil {
			return Mark{}, fmt.Errorf("read log: %w", err)
		}
		if err := files[i].parse(id, n); err != nil {
			return Mark{}, fmt.Errorf("read log %s: %w", files[i].path, err)
		}
	}
	if len(numbers) == 0 || numbers[len(numbers)-1] < newest {
		return Mark{}, fmt.Errorf("%s is missing; put it back, with the state file that was with it", Path(base, newest))
	}
	end, err := replay(files, applied, each)
	if err != nil {
		return Mark{}, err
	}
	if err := settle(files); err != nil {
		return Mark{}, fmt.Errorf("settle the log of %s: %w", base, err)
	}
	return end, nil
}

// file is a segment as it was found.
type file struct {
	path  string
	data  []byte
	label label

	// Where replay found the last group, if it found one.
	begun, ended int
}

// readFile follows no link: nobody but the owner of the log names these files.
func readFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	is, err := f.Stat()
	if err != nil {
		return file{}, err
	}
	if !is.Mode().IsRegular() || is.Size() > maxSize {
		return file{}, fmt.Errorf("%s is not a log", path)
	}
	data := make([]byte, is.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return file{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return file{path: path, data: data}, nil
}

func (f *file) parse(id ID, number uint64) (err error) {
	f.label, err = parseLabel(f.data)
	switch {
	case err != nil:
		return err
	case f.label.id != id:
		return fmt.Errorf("%w: it is the log of another state file", errMismatch)
	case f.label.number != number:
		return damaged("it is file %d of the log, renamed", f.label.number)
	case f.label.size != int64(len(f.data)):
		return damaged("it has %d bytes; want %d", len(f.data), f.label.size)
	}
	return nil
}

var errMismatch = errors.New("the log and the state file do not belong together, as after one was restored without the other;" +
	" put back both from the same time, or move the log away to lose what it holds")

// replay reads files, of which all but the last must go up to the beginning of
// the next.
func replay(files []file, applied Mark, each func(Record)) (end Mark, err error) {
	// Those before the one that goes on from applied are leftovers of a
	// removal, and need not be complete.
	for len(files) > 1 && files[1].label.after.Group <= applied.Group {
		files = files[1:]
	}
	switch after := files[0].label.after; {
	case after.Group > applied.Group:
		return Mark{}, fmt.Errorf("read log: %w: it begins with group %d, and the state file ends with %d", errMismatch, after.Group+1, applied.Group)
	case after.Group == applied.Group && after != applied:
		return Mark{}, fmt.Errorf("read log: %w: they have another group %d", errMismatch, applied.Group)
	}
	for i := range files {
		f := &files[i]
		s := newScanner(f.data, f.label)
		if i+1 < len(files) {
			err = s.replayTo(files[i+1].label.after, applied, each)
		} else if err = s.replayAll(applied, each); err == nil {
			err = s.end()
		}
		if err != nil {
			return Mark{}, fmt.Errorf("read log %s: %w", f.path, err)
		}
		f.begun, f.ended = s.begun, s.off
		end = s.last
	}
	if end.Group < applied.Group {
		return Mark{}, fmt.Errorf("read log: %w: it ends with group %d, and the state file with %d", errMismatch, end.Group, applied.Group)
	}
	return end, nil
}

// replayTo reads the groups up to the one of the Mark end. What follows it has
// failed, and was left behind.
func (s *scanner) replayTo(end, applied Mark, each func(Record)) error {
	for s.last.Group < end.Group {
		found, err := s.step(applied, each)
		if err != nil {
			return err
		}
		if !found {
			return damaged("group %d, at byte %d, is not whole, and others follow in the next file", s.last.Group+1, s.off)
		}
	}
	if s.last != end {
		return damaged("group %d does not lead to the next file", s.last.Group)
	}
	return nil
}

func (s *scanner) replayAll(applied Mark, each func(Record)) error {
	for {
		if found, err := s.step(applied, each); err != nil || !found {
			return err
		}
	}
}

// step reads the next group, if there is one, and calls each for its records if
// it is after applied.
func (s *scanner) step(applied Mark, each func(Record)) (found bool, err error) {
	records, ok := s.next()
	if !ok {
		return false, nil
	}
	if s.last.Group == applied.Group && s.last.Sum != applied.Sum {
		return false, fmt.Errorf("%w: they have another group %d", errMismatch, applied.Group)
	}
	if s.last.Group <= applied.Group {
		return true, nil
	}
	return true, parseRecords(records, func(r Record) {
		r.Value = bytes.Clone(r.Value) // or it keeps the whole file in memory
		each(r)
	})
}

// settle writes the last group again as it is, and syncs it. If its writer was
// killed before its sync, or its sync failed, it may be in the page cache
// alone, and the kernel may even take it for clean, and never write it.
func settle(files []file) error {
	for i := len(files) - 1; i >= 0; i-- {
		if f := files[i]; f.begun < f.ended {
			if err := f.rewrite(); err != nil {
				return err
			}
			break
		}
	}
	return syncDir(filepath.Dir(files[0].path))
}

func (f *file) rewrite() error {
	w, err := os.OpenFile(f.path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = w.WriteAt(f.data[f.begun:f.ended], int64(f.begun))
	if err == nil {
		err = datasync(w)
	}
	return errors.Join(err, w.Close())
}
