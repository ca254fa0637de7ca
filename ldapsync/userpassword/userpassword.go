// Package userpassword checks passwords against values of the LDAP attribute
// userPassword as OpenLDAP's slapd and slappasswd write them (RFC 2307, section
// 5.3, and the modules pw-sha2, pw-pbkdf2 and argon2).
//
// It takes {SSHA}, {SSHA256}, {SSHA384}, {SSHA512}, {ARGON2}, {PBKDF2} and
// {PBKDF2-SHA1|SHA256|SHA512}, and {CRYPT} with SHA-256 ($5$), SHA-512 ($6$), bcrypt
// ($2a$, $2b$, $2y$) and yescrypt ($y$). Names of schemes are compared without
// case. Clear text, unsalted hashes, MD5 and DES are refused.
//
// # What it promises
//
//   - Matches never returns true beside an error, and never true for an empty
//     password or one that holds NUL.
//   - What a value can cost is capped, so that nobody who may write one can take
//     the machine's memory: 256 MiB, and as many checks at once as GOMAXPROCS.
//   - Comparison takes the same time wherever two digests differ.
//   - No error quotes any part of a value.
//
// It does not hide the time that a check takes, which differs by scheme. Both
// the password, from the network, and the value, from a file, are hostile.
package userpassword

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// maxPassword is the length in octets above which no password matches. A RADIUS
// User-Password holds 128 (RFC 2865, section 5.2).
const maxPassword = 1024

// A Hash is a parsed value. The zero Hash answers every question with an error.
// It may be used by several goroutines at once. It holds no text that prints.
type Hash struct {
	// match is a func so that fmt prints an address, whatever the verb.
	match func(password []byte) (bool, error)
	slow  bool // takes a slot of slots
}

// slots holds a place for each check that may run at once; package-wide, since
// memory is.
var slots = make(chan struct{}, runtime.GOMAXPROCS(0))

// instead tells what to do with a value that is refused.
const instead = "make a new one with: slappasswd -o module-load=argon2 -h '{ARGON2}'"

// schemes has the reader of what follows the scheme in braces.
var schemes = map[string]func(rest string) (Hash, error){
	"ARGON2":        argon,
	"CRYPT":         crypt,
	"PBKDF2":        pbkdf2SHA1,
	"PBKDF2-SHA1":   pbkdf2SHA1,
	"PBKDF2-SHA256": pbkdf2SHA256,
	"PBKDF2-SHA512": pbkdf2SHA512,
	"SSHA":          ssha,
	"SSHA256":       ssha256,
	"SSHA384":       ssha384,
	"SSHA512":       ssha512,
}

// refused has the schemes that are known and not taken, and why.
var refused = map[string]string{
	"CLEARTEXT": "is clear text",
	"MD5":       "is weak and has no salt",
	"SHA":       "has no salt",
	"SHA256":    "has no salt",
	"SHA384":    "has no salt",
	"SHA512":    "has no salt",
	"SMD5":      "is weak",
	"SASL":      "is checked by another program, which this one does not ask",
}

// Parse reads one value of userPassword. An error says why it is not taken, and
// what to use instead; a value that is damaged, weak or too costly is an error.
func Parse(value string) (Hash, error) {
	if value == "" {
		return Hash{}, errors.New("userPassword is empty; " + instead)
	}
	scheme, rest, ok := strings.Cut(value, "}")
	if !ok || scheme == "" || scheme[0] != '{' {
		return Hash{}, errors.New("userPassword is clear text; " + instead)
	}
	scheme = strings.ToUpper(scheme[1:])
	if why, ok := refused[scheme]; ok {
		return Hash{}, fmt.Errorf("userPassword scheme {%s} %s; %s", scheme, why, instead)
	}
	parse, ok := schemes[scheme]
	if !ok {
		// The scheme is not named: it may be a password that begins with a brace.
		return Hash{}, errors.New("userPassword is of no known scheme; " + instead)
	}
	h, err := parse(rest)
	if err != nil {
		return Hash{}, fmt.Errorf("userPassword scheme {%s}: %w", scheme, err)
	}
	return h, nil
}

// Matches reports whether password is the one that h was made from. An empty
// password, one that holds NUL and one over 1024 octets never match; nor does
// one over 72 octets match a bcrypt hash, see {CRYPT} in crypt.go.
//
// An error means that it could not be told: ctx ended while waiting for other
// checks to finish, or h is the zero Hash. A check that runs is not interrupted;
// at the caps of Parse it takes some seconds.
func (h Hash) Matches(ctx context.Context, password []byte) (bool, error) {
	if h.match == nil {
		return false, errors.New("check password: no hash to check it against")
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	if !usable(password) {
		return false, nil
	}
	if h.slow {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return false, fmt.Errorf("check password: wait for other checks: %w", ctx.Err())
		}
	}
	ok, err := h.match(password)
	if err != nil {
		return false, errors.New("check password: the hash cannot be computed")
	}
	return ok, nil
}

// usable reports whether password may match anything. With NUL in it crypt(3)
// would see its beginning only.
func usable(password []byte) bool {
	return len(password) > 0 && len(password) <= maxPassword && !bytes.Contains(password, []byte{0})
}
