package ldapsync

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/sealed"
)

// What a key is measured by. RFC 4226 asks for 16 octets and recommends 20;
// authenticators in the field also have 10. HMAC hashes a key over its block,
// 128 octets at most.
const (
	minKey = 10
	maxKey = 128
)

// controlKey returns the key of a FreeRADIUS control attribute such as
//
//	TOTP-Secret := "JBSWY3DPEHPK3PXP"
//
// and whether v is one at all. Quotes are optional; other attributes and other
// operators are not keys.
func controlKey(v string) (string, bool) {
	const name = "TOTP-Secret"
	v = strings.TrimSpace(v)
	if len(v) < len(name) || !strings.EqualFold(v[:len(name)], name) {
		return "", false
	}
	v = strings.TrimLeft(v[len(name):], " \t")
	for _, operator := range []string{":=", "+=", "="} {
		key, ok := strings.CutPrefix(v, operator)
		if !ok {
			continue
		}
		if key != "" && strings.ContainsRune("=~*", rune(key[0])) {
			return "", false // ==, =~ and =* compare
		}
		key = strings.TrimSpace(key)
		if n := len(key); n >= 2 && (key[0] == '"' || key[0] == '\'') && key[n-1] == key[0] {
			key = key[1 : n-1]
		}
		return key, true
	}
	return "", false
}

// errPlain is why a key that is not sealed is not taken.
var errPlain = errors.New("key in clear, which directory.plaintext_keys = false forbids: enrol anew, or seal it by \"lockstep user rewrap\"")

// decodeKey returns the octets of a value that is not sealed. Errors quote
// nothing of it.
func (s *schema) decodeKey(v string) (opaque.Bytes, error) {
	// Its text would pass for a raw key.
	if sealed.Sealed(v) {
		return opaque.Bytes{}, errors.New("sealed key")
	}
	if s.encoding != "base32" {
		return opaque.Text(v), checkKey(len(v))
	}
	key, err := decodeBase32(v)
	if err != nil {
		return opaque.Bytes{}, err
	}
	return opaque.Of(key), checkKey(len(key))
}

func checkKey(octets int) error {
	if octets < minKey || octets > maxKey {
		return fmt.Errorf("key of %d octets: want %d to %d", octets, minKey, maxKey)
	}
	return nil
}

var unpadded = base32.StdEncoding.WithPadding(base32.NoPadding)

// errBase32 does not tell where, which would be a hint to the key.
var errBase32 = errors.New("key is not base32")

// decodeBase32 takes base32 as people type and copy it: in any case, in
// groups, with or without padding. All else is refused, also a length that no
// number of octets has. All in one look: this is done at each login.
func decodeBase32(v string) ([]byte, error) {
	key := make([]byte, 0, len(v)*5/8)
	var bits uint64 // of the characters so far, the last ones
	n, padded := 0, false
	for i := range len(v) {
		c := v[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c -= 'A'
		case 'a' <= c && c <= 'z':
			c -= 'a'
		case '2' <= c && c <= '7':
			c = c - '2' + 26
		case c == '=':
			padded = true
			continue
		case strings.IndexByte(" -\t\r\n", c) >= 0:
			continue
		default:
			return nil, errBase32
		}
		if padded {
			return nil, errBase32
		}
		bits = bits<<5 | uint64(c)
		if n++; n*5/8 > len(key) {
			key = append(key, byte(bits>>(n*5%8)))
		}
	}
	if r := n % 8; r == 1 || r == 3 || r == 6 {
		return nil, errBase32
	}
	return key, nil
}

// encodeKey returns the value to be written for a key in clear.
func (s *schema) encodeKey(key opaque.Bytes) string {
	if s.encoding == "base32" {
		return s.notation(unpadded.EncodeToString(key.Reveal()))
	}
	return string(key.Reveal())
}

// notation returns value as the attribute has it.
func (s *schema) notation(value string) string {
	if s.control {
		return `TOTP-Secret := "` + value + `"`
	}
	return value
}
