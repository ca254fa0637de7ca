package verifier

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
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

	// Label names the token for people, as by its serial number. Where it is
	// empty, tokens are numbered from 1.
	Label string
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
	}
	return k.checkPeriod()
}

func (k Key) checkPeriod() error {
	if k.Period < 15*time.Second || k.Period > 120*time.Second || k.Period%time.Second != 0 {
		return fmt.Errorf("period %v, want 15 s to 120 s", k.Period)
	}
	return nil
}

// keyPrefix begins every [Key.ID].
const keyPrefix = "key:"

// ID names k without giving it away; a [Store] keeps its State by it. The number
// of digits is left out on purpose: the last six digits of an eight-digit code
// are the six-digit code, so a step spent under the one must count as spent
// under the other.
func (k Key) ID() string {
	b := append(make([]byte, 0, 128), "lockstep key\x00"...)
	b = append(append(b, k.Algorithm...), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Period))
	sum := sha256.Sum256(append(b, k.padded()...))
	return string(hex.AppendEncode(append(b[:0], keyPrefix...), sum[:16]))
}

// padded returns what HMAC makes of k (RFC 2104, section 2), less the zeros at the
// end: keys that differ and make the same codes are one.
func (k Key) padded() []byte {
	b := k.Bytes.Reveal()
	if h := k.Algorithm.hashing(); len(b) > h.block {
		b = h.sum(nil, b)
	}
	return bytes.TrimRight(b, "\x00")
}

// Step returns the time step that t lies in (T in RFC 6238, section 4.2). Before
// 1970 it is negative, and no code is right.
func (k Key) Step(t time.Time) int64 {
	period := int64(k.Period / time.Second)
	step, rest := t.Unix()/period, t.Unix()%period
	if rest < 0 {
		step--
	}
	return step
}

// Start returns the moment at which step begins.
func (k Key) Start(step int64) time.Time {
	return time.Unix(step*int64(k.Period/time.Second), 0).UTC()
}

// Code returns the code of step. It is for showing and for tests; [Verifier]
// is what decides whether somebody gets in.
func (k Key) Code(step int64) (string, error) {
	opts := hotp.ValidateOpts{Digits: otp.Digits(k.Digits), Algorithm: k.Algorithm.hashing().otp}
	code, err := hotp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(k.Bytes.Reveal()), uint64(step), opts)
	if err != nil {
		// The library's error could quote the key.
		return "", fmt.Errorf("compute the code of step %d: key does not decode", step)
	}
	return code, nil
}

// hashing is what there is of the hash function of an [Algorithm].
type hashing struct {
	otp   otp.Algorithm
	new   func() hash.Hash
	block int // octets that the hash takes at a time
	size  int // of the hash
}

var (
	hashSHA1   = hashing{otp.AlgorithmSHA1, sha1.New, sha1.BlockSize, sha1.Size}
	hashSHA256 = hashing{otp.AlgorithmSHA256, sha256.New, sha256.BlockSize, sha256.Size}
	hashSHA512 = hashing{otp.AlgorithmSHA512, sha512.New, sha512.BlockSize, sha512.Size}
)

// hashing is SHA1's for an algorithm that there is not: see [Key.Check].
func (a Algorithm) hashing() *hashing {
	switch a {
	case SHA256:
		return &hashSHA256
	case SHA512:
		return &hashSHA512
	}
	return &hashSHA1
}

// sum appends the hash of b to dst. It keeps neither, and the compiler can see that:
// what goes through a func or an interface would have to be on the heap.
func (h *hashing) sum(dst, b []byte) []byte {
	switch h.size {
	case sha512.Size:
		sum := sha512.Sum512(b)
		return append(dst, sum[:]...)
	case sha256.Size:
		sum := sha256.Sum256(b)
		return append(dst, sum[:]...)
	}
	sum := sha1.Sum(b)
	return append(dst, sum[:]...)
}
