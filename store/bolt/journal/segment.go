package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Blank is a segment to be: a file full of zeros that has no name in the log
// yet. To make one takes long, and is best done before it is needed.
type Blank struct {
	f    *os.File
	base string
	size int64
}

// NewBlank makes a file of size bytes, rounded up to whole sectors, beside the
// files of the log at base.
func NewBlank(base string, size int64) (*Blank, error) {
	f, err := os.CreateTemp(filepath.Dir(base), blankPrefix(base)+"*")
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	b := &Blank{f: f, base: base, size: int64(sectors(int(size)))}
	if err := fill(f, b.size); err != nil {
		b.Discard()
		return nil, fmt.Errorf("create log: %w", err)
	}
	return b, nil
}

func blankPrefix(base string) string { return "." + filepath.Base(base) + ".log-new-" }

// fill writes zeros, and does not leave it at allocating them: a sync of what
// was only allocated has to change the file's metadata too, and takes longer.
func fill(f *os.File, size int64) error {
	// All or nothing, rather than to take what space there is and then fail.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	piece := make([]byte, min(size, 256<<10))
	for off := int64(0); off < size; off += int64(len(piece)) {
		if _, err := f.WriteAt(piece[:min(int64(len(piece)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// Sync has the zeros reach the disk ahead of Begin, which takes long otherwise.
func (b *Blank) Sync() error { return b.f.Sync() }

// Fits reports whether g would fit in the segment that b can become.
func (b *Blank) Fits(g *Group) bool { return int64(sectorBytes+g.size()) <= b.size }

// SizeFor returns the size of a segment that takes g alone.
func SizeFor(g *Group) int64 { return int64(sectorBytes + g.size()) }

// Discard removes the file.
func (b *Blank) Discard() {
	_ = b.f.Close()
	_ = os.Remove(b.f.Name())
}

// Segment is a file of a log that groups are appended to. Its methods must not
// be called at once.
type Segment struct {
	f        *os.File
	info     os.FileInfo
	path     string
	label    label
	off      int64
	last     Mark
	before   Mark // last, before the last Append
	doubtful bool
}

// Begin makes of b the segment of the given number, whose first group follows
// on after. A file of that name is replaced. When Begin returns nil, the file
// and its name are on disk, and all groups after that Mark in segments before
// it are void. After an error b is gone.
func (b *Blank) Begin(id ID, number uint64, after Mark) (*Segment, error) {
	s := &Segment{f: b.f, path: Path(b.base, number), off: sectorBytes, last: after, before: after,
		label: label{id: id, number: number, size: b.size, after: after}}
	if err := s.begin(); err != nil {
		b.Discard()
		return nil, fmt.Errorf("begin log %s: %w", s.path, err)
	}
	return s, nil
}

func (s *Segment) begin() (err error) {
	if s.info, err = s.f.Stat(); err != nil {
		return err
	}
	if _, err := s.f.WriteAt(s.label.sector(), 0); err != nil {
		return err
	}
	if err := datasync(s.f); err != nil {
		return err
	}
	// Named last: a file with a name is whole, or was damaged.
	if err := os.Rename(s.f.Name(), s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// Path returns the name of a segment.
func Path(base string, number uint64) string { return fmt.Sprintf("%s.log-%016d", base, number) }

// Number returns the number of s.
func (s *Segment) Number() uint64 { return s.label.number }

// Size returns the bytes of the whole file.
func (s *Segment) Size() int64 { return s.label.size }

// Used returns the bytes of it that are taken.
func (s *Segment) Used() int64 { return s.off }

// Last returns the Mark of the last group for which Append returned nil, or
// of the one before the segment.
func (s *Segment) Last() Mark { return s.last }

// Takes reports whether g can be appended: there is room, and no doubt.
func (s *Segment) Takes(g *Group) bool {
	return !s.doubtful && s.off+int64(g.size()) <= s.label.size
}

// Doubtful reports whether an Append has failed, or Disown was called.
func (s *Segment) Doubtful() bool { return s.doubtful }

// Disown takes the last Append for one that has failed.
func (s *Segment) Disown() { s.last, s.doubtful = s.before, true }

// Append writes g, and returns nil once it is on disk. After an error nobody
// can tell whether it is, and every further Append fails: only the Begin of
// another segment after Last settles it.
func (s *Segment) Append(g *Group) error {
	if !s.Takes(g) {
		return fmt.Errorf("append to log %s: %w", s.path, ErrDoubtful)
	}
	b, mark := g.seal(s.label.seed(), s.last)
	if err := s.write(b); err != nil {
		s.doubtful = true
		return fmt.Errorf("append to log %s: %w", s.path, err)
	}
	s.off += int64(len(b))
	s.before, s.last = s.last, mark
	return nil
}

func (s *Segment) write(b []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	if _, err := s.f.WriteAt(b, s.off); err != nil {
		return err
	}
	return datasync(s.f)
}

// check makes sure that the file still has its name and its size: what is
// written to one that has not is gone at the next start.
func (s *Segment) check() error {
	is, err := os.Lstat(s.path)
	switch {
	case err != nil:
		return err
	case !os.SameFile(is, s.info):
		return errors.New("the file was moved or replaced while in use")
	case is.Size() != s.label.size:
		return fmt.Errorf("the file has %d bytes; want %d: it was changed while in use", is.Size(), s.label.size)
	}
	return nil
}

// Close closes the file, and leaves it where it is.
func (s *Segment) Close() error { return s.f.Close() }

func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
