package userpassword

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
)

var errDamaged = errors.New("the hash is damaged; copy it again, or " + instead)

func ssha(rest string) (Hash, error)    { return salted(sha1.New, rest) }
func ssha256(rest string) (Hash, error) { return salted(sha256.New, rest) }
func ssha384(rest string) (Hash, error) { return salted(sha512.New384, rest) }
func ssha512(rest string) (Hash, error) { return salted(sha512.New, rest) }

// salted reads base64(H(password, salt), salt). Salts are 4 to 64 octets:
// slapd writes 4 (before 2.4.27), 8 or 16.
func salted(newHash func() hash.Hash, rest string) (Hash, error) {
	raw, err := decode(base64.StdEncoding, rest)
	size := newHash().Size()
	if err != nil || len(raw) < size+4 || len(raw) > size+64 {
		return Hash{}, errDamaged
	}
	digest, salt := raw[:size], raw[size:]
	return Hash{match: func(password []byte) (bool, error) {
		h := newHash()
		h.Write(password)
		h.Write(salt)
		return subtle.ConstantTimeCompare(h.Sum(nil), digest) == 1, nil
	}}, nil
}

// decode reads base64 in its one proper form: the library would skip line
// endings and ignore bits left over.
func decode(e *base64.Encoding, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errDamaged
	}
	return e.Strict().DecodeString(s)
}
