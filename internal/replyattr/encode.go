package replyattr

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is how a value is written and encoded.
type kind int

const (
	text         kind = iota // a string
	class                    // a string, or octets if it begins with 0x
	octets                   // octets in hexadecimal, after 0x
	number                   // 32 bits, by number or name
	ipv4                     // RFC 2865, section 5
	ipv6                     // RFC 3162, section 2.1
	prefix6                  // RFC 3162, section 2.3
	taggedText               // RFC 2868, section 3.3
	taggedNumber             // RFC 2868, section 3.1: 24 bits
)

// spec is one entry of the dictionary.
type spec struct {
	name   string
	vendor uint32 // 0 for the standard
	number byte
	kind   kind
	values map[string]uint32 // of kind number; nil for none
}

func (s spec) tagged() bool { return s.kind == taggedText || s.kind == taggedNumber }

// encode returns the octets of a value, without any vendor's header.
func (s spec) encode(value any, tag byte) ([]byte, error) {
	if s.kind == number || s.kind == taggedNumber {
		return s.encodeNumber(value, tag)
	}
	v, ok := value.(string)
	if !ok {
		return nil, errors.New("want a string, in quotes")
	}
	switch s.kind {
	case octets:
		return hexadecimal(v)
	case ipv4, ipv6:
		return address(v, s.kind)
	case prefix6:
		return ipv6Prefix(v)
	}
	if s.kind == class && strings.HasPrefix(v, "0x") {
		return hexadecimal(v)
	}
	return encodeText(v, s.kind, tag)
}

func encodeText(v string, k kind, tag byte) ([]byte, error) {
	switch {
	case v == "":
		// RFC 2865, section 5: an empty text is not sent.
		return nil, errors.New("want a text that is not empty")
	case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
		return nil, errors.New("want a text in UTF-8 without NUL")
	case k != taggedText || tag == 0 && v[0] > 31:
		return []byte(v), nil
	case tag == 0:
		// RFC 2868, section 3.3: up to 31 it would be taken for a tag.
		return nil, errors.New("want a text that does not begin with a control character")
	}
	return append([]byte{tag}, v...), nil
}

func hexadecimal(v string) ([]byte, error) {
	digits, ok := strings.CutPrefix(v, "0x")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) == 0 {
		return nil, errors.New(`want octets in hexadecimal, such as "0x0a1b"`)
	}
	return b, nil
}

func address(v string, k kind) ([]byte, error) {
	addr, err := netip.ParseAddr(v)
	switch {
	case k == ipv4 && (err != nil || !addr.Is4()):
		return nil, errors.New(`want an IPv4 address, such as "192.0.2.1"`)
	case k == ipv6 && (err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != ""):
		return nil, errors.New(`want an IPv6 address, such as "2001:db8::1"`)
	}
	return addr.AsSlice(), nil
}

// ipv6Prefix leaves out the octets after the prefix, as it may.
func ipv6Prefix(v string) ([]byte, error) {
	p, err := netip.ParsePrefix(v)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() {
		return nil, errors.New(`want an IPv6 network, such as "2001:db8::/64"`)
	}
	b := append([]byte{0, byte(p.Bits())}, p.Addr().AsSlice()...)
	return b[:2+(p.Bits()+7)/8], nil
}

func (s spec) encodeNumber(value any, tag byte) ([]byte, error) {
	most := uint64(math.MaxUint32)
	if s.kind == taggedNumber {
		most = 1<<24 - 1
	}
	n, ok := s.number64(value)
	if !ok || n > most {
		return nil, s.wantNumber(most)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	if s.kind == taggedNumber {
		b[0] = tag
	}
	return b, nil
}

// number64 returns a value given as a number, in digits or by name.
func (s spec) number64(value any) (uint64, bool) {
	switch v := value.(type) {
	case int64:
		return uint64(v), v >= 0
	case string:
		for name, n := range s.values {
			if strings.EqualFold(name, v) {
				return uint64(n), true
			}
		}
		n, err := strconv.ParseUint(v, 10, 32)
		return n, err == nil
	}
	return 0, false
}

func (s spec) wantNumber(most uint64) error {
	want := fmt.Sprintf("want a whole number from 0 to %d", most)
	if len(s.values) == 0 {
		return errors.New(want)
	}
	var names []string
	for name := range s.values {
		names = append(names, strconv.Quote(name))
	}
	slices.SortFunc(names, func(a, b string) int {
		return int(s.values[strings.Trim(a, `"`)]) - int(s.values[strings.Trim(b, `"`)])
	})
	return fmt.Errorf("%s, or one of %s", want, strings.Join(names, ", "))
}
