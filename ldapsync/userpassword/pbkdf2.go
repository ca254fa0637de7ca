package userpassword

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"regexp"
	"strconv"
)

// maxIterations takes ten seconds or so.
const maxIterations = 10_000_000

func pbkdf2SHA1(rest string) (Hash, error)   { return derived(sha1.New, rest) }
func pbkdf2SHA256(rest string) (Hash, error) { return derived(sha256.New, rest) }
func pbkdf2SHA512(rest string) (Hash, error) { return derived(sha512.New, rest) }

// derivedForm is iterations$salt$key as slapd's pw-pbkdf2 writes it.
var derivedForm = regexp.MustCompile(`^([1-9][0-9]{0,8})\$([A-Za-z0-9./]+)\$([A-Za-z0-9./]+)$`)

// adapted is the base64 of Python's passlib, which pw-pbkdf2 took over: "." in
// the place of "+", and no padding.
var adapted = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding)

func derived(newHash func() hash.Hash, rest string) (Hash, error) {
	parts := derivedForm.FindStringSubmatch(rest)
	if parts == nil {
		return Hash{}, errDamaged
	}
	iterations, _ := strconv.Atoi(parts[1])
	if iterations > maxIterations {
		return Hash{}, errors.New("over 10 million iterations; " + instead)
	}
	salt, saltErr := decode(adapted, parts[2])
	key, keyErr := decode(adapted, parts[3])
	// A key of another length than the hash would be easier to hit.
	if saltErr != nil || keyErr != nil || len(salt) > 64 || len(key) != newHash().Size() {
		return Hash{}, errDamaged
	}
	return Hash{slow: true, match: func(password []byte) (bool, error) {
		got, err := pbkdf2.Key(newHash, string(password), salt, iterations, len(key))
		return err == nil && subtle.ConstantTimeCompare(got, key) == 1, err
	}}, nil
}
