package ldapsync

import (
	"bytes"
	"encoding/base32"
	"strings"
	"testing"
)

// A key is what the library reads of its text without what people put between, and what
// the library would pass over in silence is no key.
func FuzzDecodeBase32(f *testing.F) {
	for _, v := range []string{"", "=", "A", "AA", "ME", "me======", "A=A", "GEZD GNBV-gy3t\tqojq\r\n", "ME= = =\n", "ME====== x", "ABC", "ABCDEF", "ABCDEFG",
		"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "\u017fAAAAAA", "1234567", "A\x00", "\xff", "ZZ", "7777777"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		text := strings.TrimRight(strings.NewReplacer(" ", "", "-", "", "\t", "", "\r", "", "\n", "").Replace(v), "=")
		want, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(text))
		n := len(text) % 8
		bad := err != nil || n == 1 || n == 3 || n == 6 || strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
		got, err := decodeBase32(v)
		if (err != nil) != bad || !bad && !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v, want %x, an error: %v", v, got, err, want, bad)
		}
	})
}
