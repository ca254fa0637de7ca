package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is the file of a trail, open for writing by this process alone.
type file struct {
	*os.File
	write   func([]byte) (int, error)
	end     head   // behind the last record that it holds
	unended bool   // no newline is at its end
	torn    []byte // what is at its end and no whole line; nil if nothing
	// damaged is set where the last whole line is no part of a chain: then end says
	// nothing, and whoever verifies the file finds out.
	damaged bool
	owed    uint64 // records that the header at the end says are lost, and no record yet
	partial bool   // a part of a line could not be removed: open it anew
}

var errOther = errors.New("another process writes to it")

// openFile opens or makes the file at path, and looks where its chain ends. A symbolic
// link in its place is not followed, and its directory is looked up once: commands of
// root open it too, and the server's user, who owns the directory, could have root make
// any file, and hand it over.
func openFile(path string) (*file, error) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), filepath.Dir(path))
	defer dir.Close()
	fd, err = unix.Openat(int(dir.Fd()), filepath.Base(path), unix.O_RDWR|unix.O_CREAT|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o640)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: it is a symbolic link; name the file itself", path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	opened := &file{File: f, write: f.Write}
	if err := opened.begin(dir); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return opened, nil
}

func (f *file) begin(dir *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	// Two processes would each continue the chain, and break it.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return errOther
	} else if err != nil {
		return err
	}
	if own, ok := info.Sys().(*syscall.Stat_t); ok && own.Nlink == 1 && info.Size() == 0 && os.Geteuid() == 0 {
		f.belong(dir)
	}
	// Two whole lines, and what is left of more: after power was lost, perhaps many
	// octets of zero.
	const enough = 8 << 20
	b := make([]byte, min(info.Size(), enough))
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return err
	}
	f.look(b, int64(len(b)) == info.Size())
	return nil
}

// belong gives a file that root may just have made, by a command, to whom its
// directory belongs: the server's user, who has to write it.
func (f *file) belong(dir *os.File) {
	if dir, err := dir.Stat(); err == nil {
		if of, ok := dir.Sys().(*syscall.Stat_t); ok {
			f.Chown(int(of.Uid), int(of.Gid)) // or the server says what is wrong
		}
	}
}

// look reads the end b of a file, which may be all of it.
func (f *file) look(b []byte, all bool) {
	whole, fragment := b, []byte(nil)
	if i := bytes.LastIndexByte(b, '\n') + 1; i < len(b) {
		whole, fragment, f.unended = b[:i], b[i:], true
	}
	switch last, before := lastLines(whole); {
	case len(whole) == 0:
		f.damaged = !all // more than any line, and no newline
	case f.take(last, before):
	default:
		f.damaged = true
		return
	}
	last, _ := lastLines(whole)
	if len(fragment) > 0 && !f.take(fragment, last) { // or nothing but the newline is missing
		f.torn = bytes.Clone(fragment)
	}
}

// take moves end behind a line if that is right behind the line before it.
func (f *file) take(text, before []byte) bool {
	l, err := parseLine(text)
	if err != nil {
		return false
	}
	prev := l.at.hash // a header's
	if !l.header {
		p, err := parseLine(before)
		if err != nil {
			return false
		}
		prev = p.at.hash
	}
	if newChain(head{}).over(prev, l.text) != l.hash {
		return false
	}
	f.end, f.owed = l.at, 0
	if l.header {
		f.owed = number(l.text, `,"lost":`)
	}
	return true
}

// lastLines returns the last two of lines, which end in a newline.
func lastLines(lines []byte) (last, before []byte) {
	last, rest := cutLast(bytes.TrimSuffix(lines, []byte("\n")))
	before, _ = cutLast(rest)
	return last, before
}

// cutLast returns the last line of b and what is before its newline.
func cutLast(b []byte) (last, before []byte) {
	i := bytes.LastIndexByte(b, '\n')
	return b[i+1:], b[:max(i, 0)]
}

// tornFacts describe the fragment that a process has left behind.
func (f *file) tornFacts() []slog.Attr {
	if len(f.torn) == 0 {
		return nil
	}
	of := sha256.Sum256(f.torn)
	return []slog.Attr{slog.Int("torn", len(f.torn)), slog.String("torn_sha256", hex.EncodeToString(of[:]))}
}

// append writes whole lines and returns how many octets of them are there to stay,
// which are whole lines, too.
func (f *file) append(lines []byte) (int, error) {
	n, err := f.write(lines)
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if whole == 1 {
		whole = 0 // the end of a fragment, which goes with the header behind it
	}
	if n > whole {
		e := f.takeBack(n - whole)
		f.partial, err = e != nil, errors.Join(err, e)
	}
	if l, e := lastOf(lines[:whole]); e == nil {
		f.end = l.at
	}
	return whole, err
}

func lastOf(lines []byte) (line, error) {
	if len(lines) == 0 {
		return line{}, errNoRecord
	}
	last, _ := cutLast(lines[:len(lines)-1])
	return parseLine(last)
}

// takeBack removes the last octets, a part of a line for which there was no room.
func (f *file) takeBack(octets int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return f.Truncate(info.Size() - int64(octets))
}

// same reports whether path is still this file.
func (f *file) same(path string) bool {
	here, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(here, there)
}
