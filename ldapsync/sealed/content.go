package sealed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// Content is what is sealed: a TOTP key and how its codes are made.
type Content struct {
	Key       opaque.Bytes  // 10 to 128 octets
	Algorithm string        // "SHA1", "SHA256" or "SHA512"
	Digits    int           // 6 or 8
	Period    time.Duration // 15 s to 120 s, whole seconds
	Created   time.Time     // when it was sealed, 1970 to 9999; kept to the second, in UTC
}

// The octets of a Content, in network byte order: version 1, algorithm 2 (its place
// in algorithms), digits 1, period in seconds 2, time of creation in seconds since
// 1970 8; the rest is the key.
const (
	contentVersion = 1
	header         = 1 + 1 + 1 + 2 + 8
	minKey         = 10
	maxKey         = 128
	maxCreated     = 253402300799 // the last second of the year 9999
)

// algorithms begins with a name that none has, so that an octet of zero is none.
var algorithms = []string{"", "SHA1", "SHA256", "SHA512"}

func (c Content) check() error {
	switch n := c.Key.Len(); {
	case n < minKey || n > maxKey:
		return fmt.Errorf("key of %d octets: want %d to %d", n, minKey, maxKey)
	case slices.Index(algorithms, c.Algorithm) < 1:
		return fmt.Errorf("algorithm %.20q: want SHA1, SHA256 or SHA512", c.Algorithm)
	case c.Digits != 6 && c.Digits != 8:
		return fmt.Errorf("%d digits: want 6 or 8", c.Digits)
	case c.Period < 15*time.Second || c.Period > 2*time.Minute || c.Period%time.Second != 0:
		return fmt.Errorf("period %s: want 15 s to 120 s, whole seconds", c.Period)
	case c.Created.Unix() < 0 || c.Created.Unix() > maxCreated:
		return errors.New("time of creation: want a time from 1970 to 9999")
	}
	return nil
}

// encode returns the octets of c, which must have been checked.
func (c Content) encode() []byte {
	out := []byte{contentVersion, byte(slices.Index(algorithms, c.Algorithm)), byte(c.Digits)}
	out = binary.BigEndian.AppendUint16(out, uint16(c.Period/time.Second))
	out = binary.BigEndian.AppendUint64(out, uint64(c.Created.Unix()))
	return append(out, c.Key.Reveal()...)
}

// decodeContent is the reverse of encode, for octets that may be anything. It keeps
// b.
func decodeContent(b []byte) (Content, error) {
	if len(b) < header {
		return Content{}, fmt.Errorf("%w: it holds %d octets", ErrMalformed, len(b))
	}
	if b[0] != contentVersion {
		return Content{}, fmt.Errorf("%w, 1.%d", ErrVersion, b[0])
	}
	c := Content{
		Key:     opaque.Of(b[header:]),
		Digits:  int(b[2]),
		Period:  time.Duration(binary.BigEndian.Uint16(b[3:])) * time.Second,
		Created: time.Unix(int64(binary.BigEndian.Uint64(b[5:])), 0).UTC(), // too great for an int64 comes out before 1970
	}
	if n := int(b[1]); n < len(algorithms) {
		c.Algorithm = algorithms[n]
	}
	if err := c.check(); err != nil {
		return Content{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}
