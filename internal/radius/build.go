package radius

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

const maxValue = 253

// ErrTooLong is returned for a packet that would exceed [MaxLen], or an
// attribute that would exceed 253 octets.
var ErrTooLong = errors.New("packet or attribute too long")

// NewReply returns the signed reply to a request: a Message-Authenticator, then
// attributes, then all Proxy-State of the request, unchanged and in order
// (RFC 2865, section 5.33).
//
// The Message-Authenticator is left out of the answer to an Accounting-Request:
// no RFC defines it there, and implementations compute it in different ways.
//
// Where not all fits, attributes are left out from the end, never Proxy-State;
// left is their number. The error is ErrTooLong if an attribute is over 253
// octets or Proxy-State alone does not fit, which no request with a
// Message-Authenticator can cause.
func NewReply(code Code, request Packet, secret []byte, attributes ...Attribute) (reply Packet, left int, err error) {
	authenticator := request.Authenticator()
	proxyState := proxyStateLen(request)
	size := HeaderLen + 2 + macLen + proxyState
	for _, a := range attributes {
		size += 2 + len(a.Value)
	}
	b := begin(code, request.Identifier(), authenticator, min(size, MaxLen)) // servers keep many of them for a while
	if request.Code() != layeh.CodeAccountingRequest {
		b = appendZeroMAC(b)
	}
	room := MaxLen - proxyState
	for i, a := range attributes {
		if len(a.Value) > maxValue {
			return nil, 0, ErrTooLong
		}
		if len(b)+2+len(a.Value) > room {
			left = len(attributes) - i
			break
		}
		b = appendAttribute(b, a)
	}
	if len(b) > room {
		return nil, 0, ErrTooLong
	}
	for t, v := range request.Attributes() {
		if t == rfc2865.ProxyState_Type {
			b = appendAttribute(b, Attribute{t, v})
		}
	}
	p := b.finish()
	p.signMAC(&authenticator, secret)
	p.sum(p[4:], &authenticator, secret)
	return p, left, nil
}

func proxyStateLen(p Packet) (n int) {
	for t, v := range p.Attributes() {
		if t == rfc2865.ProxyState_Type {
			n += 2 + len(v)
		}
	}
	return n
}

// NewRequest returns an Access-Request or Status-Server with a
// Message-Authenticator, a random Identifier and a random Request
// Authenticator. A password that is not nil goes, hidden, before the other
// attributes. Errors are ErrTooLong and those of [HidePassword].
func NewRequest(code Code, secret, password []byte, attributes ...Attribute) (Packet, error) {
	var random [17]byte
	rand.Read(random[:]) // never fails
	authenticator := [16]byte(random[1:])
	b := appendZeroMAC(begin(code, random[0], authenticator, 128))
	if password != nil {
		hidden, err := HidePassword(password, secret, authenticator)
		if err != nil {
			return nil, err
		}
		b = appendAttribute(b, Attribute{rfc2865.UserPassword_Type, hidden})
	}
	for _, a := range attributes {
		if len(a.Value) > maxValue {
			return nil, ErrTooLong
		}
		b = appendAttribute(b, a)
	}
	if len(b) > MaxLen {
		return nil, ErrTooLong
	}
	p := b.finish()
	p.signMAC(&authenticator, secret)
	return p, nil
}

// draft is a packet whose Length and authenticators are not yet right.
type draft []byte

// begin returns a draft with room for so many octets.
func begin(code Code, identifier byte, authenticator [16]byte, room int) draft {
	b := make(draft, 4, room)
	b[0], b[1] = byte(code), identifier
	return append(b, authenticator[:]...)
}

func appendAttribute(b draft, a Attribute) draft {
	b = append(b, byte(a.Type), byte(2+len(a.Value)))
	return append(b, a.Value...)
}

func appendZeroMAC(b draft) draft {
	return appendAttribute(b, Attribute{rfc2869.MessageAuthenticator_Type, noAuthenticator[:]})
}

func (b draft) finish() Packet {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return Packet(b)
}

// signMAC fills in the Message-Authenticator, if the packet has one.
func (p Packet) signMAC(authenticator *[16]byte, secret []byte) {
	if at, err := p.findMAC(); err == nil {
		p.mac(p[at:], at, authenticator, secret)
	}
}
