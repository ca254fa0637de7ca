// Package secretfile reads files that hold secrets, and others that a service
// depends on, and refuses those that the wrong people can read or change.
//
// A file is looked at after it has been opened, so that it cannot be exchanged in
// between. Errors say what to do. They name a path only where there is such a
// file: a name that cannot be opened may be the secret itself, given in the place
// of its file's name.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const maxSecret = 64 << 10 // octets

// Read returns the content of a secret file less one trailing newline; it is
// never empty. A file that others than its owner can change, or that others than
// its owner and group can read, is refused, and so is what is no regular file or
// is larger than 64 KiB.
func Read(path string) ([]byte, error) {
	content, err := Content(path, maxSecret, private)
	if err != nil {
		return nil, err
	}
	content, found := bytes.CutSuffix(content, []byte("\n"))
	if found {
		content, _ = bytes.CutSuffix(content, []byte("\r"))
	}
	if len(content) == 0 {
		return nil, errors.New("the file is empty; put the secret in it")
	}
	return content, nil
}

// private refuses a file whose secret others may know or have chosen.
func private(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return errors.New("not a regular file")
	case mode.Perm()&0o007 != 0:
		return fmt.Errorf("others have access to the file; chmod 640 %q", path)
	case mode.Perm()&0o020 != 0:
		return fmt.Errorf("the file's group can change it; chmod 640 %q", path)
	}
	return nil
}

// Owned refuses what is no regular file, and one that others than its owner may
// have written.
func Owned(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return errors.New("not a regular file")
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("others than its owner can change the file; chmod go-w %q", path)
	}
	return nil
}

// Anything refuses no file.
func Anything(string, fs.FileInfo) error { return nil }

// Content returns the content of the file at path, of limit octets at most, once
// check has had a look at it.
func Content(path string, limit int64, check func(path string, info fs.FileInfo) error) ([]byte, error) {
	// Non-blocking, or a FIFO would wait for a writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("the file is larger than %d KiB", limit>>10)
	}
	return content, nil
}

// cause returns what the system said, without the path.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
