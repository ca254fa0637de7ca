// Package opaque holds byte strings that do not print: keys, codes, passwords
// and shared secrets.
//
// A [Bytes] shows as "[redacted]" under every verb of fmt, in slog and
// JSON, also inside other structs and behind unexported fields. It promises
// nothing about memory: the bytes live in the ordinary heap until collected.
package opaque

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Bytes is a byte string that does not print. The zero Bytes is empty. It may
// be copied and used by several goroutines at once, as long as none of them
// writes to what Reveal returns.
type Bytes struct {
	// reveal is a func and not a slice because fmt calls no methods on
	// unexported fields: %+v of a struct that holds a Bytes in one would print
	// a slice byte by byte. A func prints as an address. It also keeps == from
	// compiling, which would not be constant-time.
	reveal func() []byte
}

// Of returns b as Bytes. It keeps b and does not copy it; the caller must not
// change b afterwards.
func Of(b []byte) Bytes {
	if len(b) == 0 {
		return Bytes{}
	}
	return Bytes{reveal: func() []byte { return b }}
}

// Text returns s as Bytes.
func Text(s string) Bytes { return Of([]byte(s)) }

// Reveal returns the bytes themselves, nil if there are none. The caller must
// not change them, and must not print them.
func (b Bytes) Reveal() []byte {
	if b.reveal == nil {
		return nil
	}
	return b.reveal()
}

// Len returns the number of bytes.
func (b Bytes) Len() int { return len(b.Reveal()) }

// Format implements [fmt.Formatter], so that no verb, not even %#v, prints b.
func (Bytes) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue implements [slog.LogValuer].
func (Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], which JSON uses.
func (Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }
