package pam

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const maxFile = 64 << 10 // octets

// readSecret returns the content of a secret file less one trailing newline; it
// is never empty. Its errors name path only where there is such a file: a name
// that cannot be opened may be the secret itself, given in the place of its
// file's name.
func readSecret(path string) ([]byte, error) {
	content, err := readFile(path, checkPrivate)
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

// checkPrivate refuses a file whose secret others may know or have chosen.
func checkPrivate(path string, mode fs.FileMode) error {
	if mode.Perm()&0o007 != 0 {
		return fmt.Errorf("others have access to the file; chmod 600 %q", path)
	}
	return checkOwned(path, mode)
}

// checkOwned refuses a file that others may have written.
func checkOwned(path string, mode fs.FileMode) error {
	if mode.Perm()&0o022 != 0 {
		return fmt.Errorf("others than its owner can change the file; chmod go-w %q", path)
	}
	return nil
}

// readFile returns the content of a regular file once check has had a look at
// the mode of the open file, so that it cannot be exchanged in between.
func readFile(path string, check func(path string, mode fs.FileMode) error) ([]byte, error) {
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
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := check(path, info.Mode()); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d KiB", maxFile>>10)
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
