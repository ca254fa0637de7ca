package verifier

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"lockstep/internal/opaque"
)

// Algorithm is the hash function of a key, by the name that otpauth URIs use.
type Algorithm string

// The algorithms of RFC 6238, section 1.2.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// Key is a TOTP key with the parameters that its codes are made with.
type Key struct {
	Bytes     opaque.Bytes  // at least 10 octets
	Algorithm Algorithm     // SHA1, SHA256 or SHA512
	Digits    int           // 6 or 8
	Period    time.Duration // whole seconds, 15 s to 120 s; X in RFC 6238
}

// Check says what is wrong with k, or nil. The text holds nothing of the key.
func (k Key) Check() error {
	switch {
	case k.Bytes.Len() < 10:
		return fmt.Errorf("key is %d octets long, want at least 10", k.Bytes.Len())
	case k.Algorithm != SHA1 && k.Algorithm != SHA256 && k.Algorithm != SHA512:
		return fmt.Errorf("algorithm %q, want SHA1, SHA256 or SHA512", k.Algorithm)
	case k.Digits != 6 && k.Digits != 8:
		return fmt.Errorf("%d digits, want 6 or 8", k.Digits)
	case k.Period < 15*time.Second || k.Period > 120*time.Second || k.Period%time.Second != 0:
		return fmt.Errorf("period %v, want 15 s to 120 s", k.Period)
	}
	return nil
}

// ID names k without giving it away; a [Store] keeps its State by it. The number
// of digits is left out on purpose: the last six digits of an eight-digit code
// are the six-digit code, so a step spent under the one must count as spent
// under the other.
func (k Key) ID() string {
	h := sha256.New()
	h.Write([]byte("lockstep key\x00" + k.Algorithm + "\x00"))
	binary.Write(h, binary.BigEndian, int64(k.Period))
	h.Write(k.Bytes.Reveal())
	return "key:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// Step returns the time step that t lies in (T in RFC 6238, section 4.2).
func (k Key) Step(t time.Time) int64 {
	return t.Unix() / int64(k.Period/time.Second)
}

// Start returns the moment at which step begins.
func (k Key) Start(step int64) time.Time {
	return time.Unix(step*int64(k.Period/time.Second), 0).UTC()
}

// Code returns the code of step. It is for showing and for tests; [Verifier]
// is what decides whether somebody gets in.
func (k Key) Code(step int64) (string, error) {
	return newCoder(k).code(step)
}

// coder makes the codes of one key. It keeps the key in the base32 text that
// pquerna/otp wants, so that many codes cost one encoding.
type coder struct {
	base32 string
	opts   hotp.ValidateOpts
}

func newCoder(k Key) coder {
	c := coder{base32: base32.StdEncoding.EncodeToString(k.Bytes.Reveal())}
	c.opts.Digits = otp.Digits(k.Digits)
	switch k.Algorithm {
	case SHA256:
		c.opts.Algorithm = otp.AlgorithmSHA256
	case SHA512:
		c.opts.Algorithm = otp.AlgorithmSHA512
	default:
		c.opts.Algorithm = otp.AlgorithmSHA1
	}
	return c
}

func (c coder) code(step int64) (string, error) {
	code, err := hotp.GenerateCodeCustom(c.base32, uint64(step), c.opts)
	if err != nil {
		// The library's error could quote the key.
		return "", fmt.Errorf("compute the code of step %d: key does not decode", step)
	}
	return code, nil
}

// match returns the index in codes of the one that is step's, or -1. It looks
// at all of them, in constant time.
func (c coder) match(step int64, codes [][]byte) (int, error) {
	if step < 0 {
		return -1, nil
	}
	want, err := c.code(step)
	if err != nil {
		return -1, err
	}
	found := -1
	for i := len(codes) - 1; i >= 0; i-- {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(codes[i], []byte(want)), i, found)
	}
	return found, nil
}
