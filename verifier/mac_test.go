package verifier

import (
	"bytes"
	"crypto/hmac"
	"testing"
)

// The same as that of the standard library, whatever the lengths are.
func TestMAC(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), 10)
	for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
		for n := range 200 {
			m := newMAC(a.hashing(), text[:n], 8, nil)
			for _, message := range [][]byte{text[n : n+8], text[:n], nil} {
				std := hmac.New(a.hashing().new, text[:n])
				std.Write(message)
				got := m.end(nil, append(m.start(), message...))
				if want := std.Sum(nil); !bytes.Equal(got, want) {
					t.Fatalf("%s, key of %d octets, message of %d: %x, want %x", a, n, len(message), got, want)
				}
			}
		}
	}
}
