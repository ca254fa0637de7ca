package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"lockstep/internal/opaque"
)

const (
	maxSecret = 64 << 10 // octets of a secret file
	maxPublic = 1 << 20  // octets of any other file
)

// files reads what a configuration refers to.
type files struct {
	secret func(path string) ([]byte, error)
	public func(path string) ([]byte, error)
}

// ReadSecret returns the content of a secret file less one trailing newline; it
// is never empty. A file that others than its owner can change, or that others
// than its owner and group can read, is refused, and so is what is no regular
// file or is larger than 64 KiB. A relative path is relative to the current
// directory.
//
// An error names path only where there is such a file: a name that cannot be
// opened may be the secret itself, given in the place of its file's name.
func ReadSecret(path string) (opaque.Bytes, error) {
	content, err := readSecret(path)
	if err != nil {
		return opaque.Bytes{}, fmt.Errorf("cannot use the secret file: %w", err)
	}
	return opaque.Of(content), nil
}

func readSecret(path string) ([]byte, error) {
	content, err := readFile(path, maxSecret, checkPrivate)
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
func checkPrivate(path string, info fs.FileInfo) error {
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

func readPublic(path string) ([]byte, error) {
	return readFile(path, maxPublic, func(string, fs.FileInfo) error { return nil })
}

// readFile returns the content of the file at path, of limit octets at most,
// once check has had a look at the open file, so that it cannot be exchanged
// in between.
func readFile(path string, limit int64, check func(path string, info fs.FileInfo) error) ([]byte, error) {
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

// secret returns the content of the secret file that key names, empty if it
// names none.
func (t *table) secret(key string) opaque.Bytes {
	path := t.text(key, "")
	if path == "" {
		return opaque.Bytes{}
	}
	content, err := t.doc.files.secret(t.doc.absolute(path))
	if err != nil {
		t.fault(key, "cannot use the secret file: %v", err)
	}
	return opaque.Of(content)
}

// certificates returns the content of the PEM file that key names, nil if it
// names none.
func (t *table) certificates(key string) []byte {
	path := t.text(key, "")
	if path == "" {
		return nil
	}
	pem, err := t.doc.files.public(t.doc.absolute(path))
	if err != nil {
		t.fault(key, "cannot read the file: %v", err)
	} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.fault(key, "no certificate in the file; want PEM, with BEGIN CERTIFICATE")
	}
	return pem
}
