package config

import (
	"crypto/x509"
	"fmt"

	"lockstep/internal/opaque"
	"lockstep/internal/secretfile"
)

const maxPublic = 1 << 20 // octets of what is no secret file

// files reads what a configuration refers to.
type files struct {
	secret func(path string) ([]byte, error)
	public func(path string) ([]byte, error)

	clientless bool // a file that names no RADIUS client is whole
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
	content, err := secretfile.Read(path)
	if err != nil {
		return opaque.Bytes{}, fmt.Errorf("cannot use the secret file: %w", err)
	}
	return opaque.Of(content), nil
}

func readPublic(path string) ([]byte, error) {
	return secretfile.Content(path, maxPublic, secretfile.Anything)
}

// secret returns the content of the secret file that key names, empty if it
// names none.
func (t *table) secret(key string) opaque.Bytes {
	path := t.text(key, "")
	if path == "" {
		return opaque.Bytes{}
	}
	path, err := t.doc.secretPath(path)
	if err != nil {
		t.fault(key, "cannot use the credential: %v", err)
		return opaque.Bytes{}
	}
	t.doc.secrets = append(t.doc.secrets, path)
	content, err := t.doc.files.secret(path)
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
