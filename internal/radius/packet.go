// Package radius handles RADIUS packets as bytes (RFC 2865, RFC 2869): it
// checks their structure, verifies and computes their authenticators, hides
// and reveals passwords, builds requests and replies, and asks a server as an
// appliance would.
//
// # What it promises
//
//   - [Check] takes any bytes. What it lets through is one packet, without
//     padding, whose attributes fill it exactly.
//   - Every MAC covers the octets that the Length field counts and no others,
//     and is compared in constant time.
//   - A Message-Authenticator is the first attribute of every packet that is
//     built here (CVE-2024-3596).
//   - [Client] believes no reply that does not verify.
//
// # What it does not
//
// It opens no sockets but those of [Client], knows nothing of clients and
// their secrets, duplicates or State, and does not look into the values of
// attributes other than User-Password and Message-Authenticator. A packet that
// passes Check is well formed, and not yet to be trusted.
//
// Codes, attribute types and the types of values are those of
// layeh.com/radius and its dictionaries.
package radius

import (
	"encoding/binary"
	"errors"
	"iter"

	layeh "layeh.com/radius"
)

// Sizes of RFC 2865, section 3, in octets.
const (
	HeaderLen = 20
	MaxLen    = 4096
)

// maxAttributes limits the work that one packet can cause. Packets of real
// clients have about ten attributes, those of a chain of proxies some dozens.
const maxAttributes = 255

// ErrMalformed is wrapped by what [Check] returns: the bytes are no packet.
// RFC 2865, section 3, wants such bytes silently discarded.
var ErrMalformed = errors.New("malformed packet")

var (
	errShort      = malformed("shorter than its header or its Length")
	errLength     = malformed("Length out of range")
	errAttribute  = malformed("attribute length out of range")
	errType       = malformed("attribute type 0")
	errAttributes = malformed("too many attributes")
)

type malformed string

func (m malformed) Error() string { return ErrMalformed.Error() + ": " + string(m) }
func (m malformed) Unwrap() error { return ErrMalformed }

// Code is the first octet of a packet.
type Code = layeh.Code

// Type is the type of an attribute, 1 to 255.
type Type = layeh.Type

// Attribute is one attribute of a packet to be built.
type Attribute struct {
	Type  Type
	Value []byte // 0 to 253 octets
}

// Packet is a packet that has passed [Check]. Its methods do not allocate, and
// what they return points into it.
type Packet []byte

// Check returns the packet at the start of a datagram. Octets after its Length
// are padding and left out (RFC 2865, section 3). The Packet shares the
// datagram's memory. Errors wrap [ErrMalformed].
func Check(datagram []byte) (Packet, error) {
	if len(datagram) < HeaderLen {
		return nil, errShort
	}
	length := int(binary.BigEndian.Uint16(datagram[2:]))
	switch {
	case length < HeaderLen || length > MaxLen:
		return nil, errLength
	case length > len(datagram):
		return nil, errShort
	}
	p := Packet(datagram[:length:length])
	return p, checkAttributes(p[HeaderLen:])
}

func checkAttributes(b []byte) error {
	for n := 0; len(b) > 0; n++ {
		switch {
		case n == maxAttributes:
			return errAttributes
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			return errAttribute
		case b[0] == 0:
			return errType
		}
		b = b[b[1]:]
	}
	return nil
}

// Code returns the packet's code, of which Check allows any.
func (p Packet) Code() Code { return Code(p[0]) }

// Identifier returns what matches a reply to its request.
func (p Packet) Identifier() byte { return p[1] }

// Authenticator returns the Request or Response Authenticator.
func (p Packet) Authenticator() [16]byte { return [16]byte(p[4:HeaderLen]) }

// Attributes yields the type and value of each attribute, in order.
func (p Packet) Attributes() iter.Seq2[Type, []byte] {
	return func(yield func(Type, []byte) bool) {
		for b := p[HeaderLen:]; len(b) > 0; b = b[b[1]:] {
			if !yield(Type(b[0]), b[2:b[1]:b[1]]) {
				return
			}
		}
	}
}

// Lookup returns the value of the first attribute of a type. It is empty and
// ok is true where the attribute is there without a value.
func (p Packet) Lookup(want Type) (value []byte, ok bool) {
	for t, v := range p.Attributes() {
		if t == want {
			return v, true
		}
	}
	return nil, false
}

// Has reports whether the packet has an attribute of a type.
func (p Packet) Has(want Type) bool {
	_, ok := p.Lookup(want)
	return ok
}
