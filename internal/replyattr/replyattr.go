// Package replyattr turns what an administrator writes about the attributes of
// an Access-Accept into the octets of RADIUS attributes (RFC 2865, section 5):
//
//	Filter-Id                   "admins"
//	Tunnel-Private-Group-Id:1   "20"
//	Service-Type                "Administrative-User", or 6
//	Cisco-AVPair                "shell:priv-lvl=15"
//	Attr-26.9.1                 "0x7368656c6c"
//
// It knows the attributes of the standard that say something about a session,
// and those of common vendors, under the names that FreeRADIUS gives them, in
// any case. All others can be given by number, in octets.
//
// # What it promises
//
//   - What [Parse] returns is one well-formed attribute of 3 to 255 octets.
//   - It is never one that the server itself owns or that carries a key:
//     passwords, State, Proxy-State, Message-Authenticator, those of CHAP,
//     MS-CHAP, MPPE and EAP. That holds for names and for numbers.
//   - No error quotes a value.
//
// It does not know which attribute an appliance obeys. Names and values come
// from the configuration and are trusted to be meant, not to be right.
package replyattr

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Attribute is one attribute, ready for a packet.
type Attribute struct {
	Name  string // as in the dictionary, without a tag; for people
	Type  byte   // RFC 2865, section 5; never 0
	Value []byte // 1 to 253 octets
}

// Len returns the octets that a takes in a packet.
func (a Attribute) Len() int { return 2 + len(a.Value) }

// ErrUnknown is returned by [Parse] for a name that it does not know.
var ErrUnknown = errors.New("no such attribute")

// The numbers that mean something here.
const (
	vendorSpecific = 26
	maxValue       = 253 // RFC 2865, section 5
	maxVendor      = 1<<24 - 1
)

// Parse returns the attribute of that name with a value, a string or an int64.
// A name may end in a tag (RFC 2868, section 3), such as ":1". An error is
// [ErrUnknown] or says what is wanted.
func Parse(name string, value any) (Attribute, error) {
	base, tag, err := cutTag(name)
	if err != nil {
		return Attribute{}, err
	}
	s, err := find(base)
	if err != nil {
		return Attribute{}, err
	}
	if why := owned(s.vendor, s.number); why != "" {
		return Attribute{}, errors.New(why)
	}
	if tag != 0 && !s.tagged() {
		return Attribute{}, errors.New("has no tag: want the name without a colon")
	}
	octets, err := s.encode(value, tag)
	if err != nil {
		return Attribute{}, err
	}
	return s.wrap(octets)
}

// cutTag returns a name without its tag, and the tag, 0 for none.
func cutTag(name string) (base string, tag byte, err error) {
	base, text, there := strings.Cut(name, ":")
	if !there {
		return name, 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n < 1 || n > 31 { // RFC 2868, section 3.1
		return "", 0, errors.New("want a tag from 1 to 31 after the colon")
	}
	return base, byte(n), nil
}

// find returns what is known of a name, in any case, or of a number.
func find(name string) (spec, error) {
	if at, ok := byName[strings.ToLower(name)]; ok {
		return known[at], nil
	}
	const prefix = "attr-"
	if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return spec{}, ErrUnknown
	}
	return numbered(name, strings.Split(name[len(prefix):], "."))
}

// numbered is find for Attr-TYPE and Attr-26.VENDOR.TYPE.
func numbered(name string, parts []string) (spec, error) {
	const want = `want "Attr-TYPE", or "Attr-26.VENDOR.TYPE", in decimal`
	var numbers []uint64
	for _, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || n == 0 {
			return spec{}, errors.New(want)
		}
		numbers = append(numbers, n)
	}
	last := numbers[len(numbers)-1]
	s := spec{name: name, number: byte(last), kind: octets}
	switch {
	case last > 255:
		return spec{}, errors.New("want a type from 1 to 255")
	case len(numbers) == 1 && last != vendorSpecific:
	case len(numbers) == 3 && numbers[0] == vendorSpecific && numbers[1] <= maxVendor:
		s.vendor = uint32(numbers[1])
	default:
		return spec{}, errors.New(want)
	}
	return s, nil
}

// wrap puts octets into an attribute: a vendor's one into Vendor-Specific, as
// RFC 2865, section 5.26, recommends it.
func (s spec) wrap(octets []byte) (Attribute, error) {
	a := Attribute{Name: s.name, Type: s.number, Value: octets}
	if s.vendor != 0 {
		head := []byte{0, byte(s.vendor >> 16), byte(s.vendor >> 8), byte(s.vendor), s.number, byte(2 + len(octets))}
		a.Type, a.Value = vendorSpecific, append(head, octets...)
	}
	if over := len(a.Value) - maxValue; over > 0 {
		return Attribute{}, fmt.Errorf("want %d octets at most", len(octets)-over)
	}
	return a, nil
}

// owned says why an attribute is not for a rule to give, or "".
func owned(vendor uint32, number byte) string {
	const (
		microsoft = 311
		key       = "carries a password or a key, which rules cannot give"
		server    = "is the server's own: it sets it itself"
	)
	switch vendor {
	case 0:
		switch number {
		case 24, 33, 80: // State, Proxy-State, Message-Authenticator
			return server
		case 2, 3, 60, 69, 70, 79, 84: // User-Password, CHAP-*, Tunnel-Password, ARAP-*, EAP-Message
			return key
		}
	case microsoft: // RFC 2548: MS-CHAP-*, MS-MPPE-*-Key
		if slices.Contains([]byte{1, 2, 3, 4, 5, 6, 10, 11, 12, 16, 17, 19, 20, 25, 26, 27}, number) {
			return key
		}
	}
	return ""
}

// Names returns the names of the dictionary, sorted.
func Names() []string {
	var names []string
	for _, s := range known {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}
