package wire

import (
	"errors"
	"fmt"
)

// Identifier octets (RFC 4511, section 5.1 and appendix B).
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31

	opBindRequest      = 0x60
	opBindResponse     = 0x61
	opEntry            = 0x64
	opDone             = 0x65
	opReference        = 0x73
	opExtendedResponse = 0x78
	opIntermediate     = 0x79
)

// primitive returns the identifier octet of a primitive element that a
// specification calls [n], and constructed that of a constructed one.
func primitive(n byte) byte   { return 0x80 | n }
func constructed(n byte) byte { return 0xa0 | n }

var (
	errCutShort   = errors.New("ends too early")
	errIndefinite = errors.New("indefinite length, which LDAP does not have")
	errLongLength = errors.New("length of more than 4 octets")
	errLongTag    = errors.New("tag of more than one octet")
	errTrailing   = errors.New("octets behind its end")
)

// header reads the identifier and length octets at the front of b, n in all,
// and the size of the content behind them. n is 0 if b ends before they do.
// Lengths may have more octets than they need: OpenLDAP always sends four.
func header(b []byte) (tag byte, n int, size uint64, err error) {
	if len(b) < 2 {
		return 0, 0, 0, nil
	}
	if tag = b[0]; tag&0x1f == 0x1f {
		return 0, 0, 0, errLongTag
	}
	if b[1] < 0x80 {
		return tag, 2, uint64(b[1]), nil
	}
	octets := int(b[1] & 0x7f)
	switch {
	case octets == 0:
		return 0, 0, 0, errIndefinite
	case octets > 4:
		return 0, 0, 0, errLongLength
	case len(b) < 2+octets:
		return 0, 0, 0, nil
	}
	for _, octet := range b[2 : 2+octets] {
		size = size<<8 | uint64(octet)
	}
	return tag, 2 + octets, size, nil
}

// decoder reads the elements of one constructed element in turn. The first
// fault stays, for all decoders that share it, and leaves nothing more to
// read, so that callers need to look at it only once, at the end.
type decoder struct {
	rest  []byte
	fault *error
}

func (d *decoder) fail(what string, err error) {
	if *d.fault == nil {
		*d.fault = fmt.Errorf("%s: %w", what, err)
	}
	d.rest = nil
}

func (d *decoder) more() bool       { return len(d.rest) > 0 && *d.fault == nil }
func (d *decoder) at(tag byte) bool { return d.more() && d.rest[0] == tag }

// any reads an element of whatever kind. Its content is never nil but after a
// fault.
func (d *decoder) any(what string) (tag byte, content []byte) {
	if *d.fault != nil {
		return 0, nil
	}
	tag, n, size, err := header(d.rest)
	if err == nil && (n == 0 || size > uint64(len(d.rest)-n)) {
		err = errCutShort
	}
	if err != nil {
		d.fail(what, err)
		return 0, nil
	}
	end := n + int(size)
	content = d.rest[n:end:end]
	d.rest = d.rest[end:]
	return tag, content
}

func (d *decoder) take(want byte, what string) []byte {
	tag, content := d.any(what)
	if *d.fault == nil && tag != want {
		d.fail(what, fmt.Errorf("tag 0x%02x, want 0x%02x", tag, want))
		return nil
	}
	return content
}

// enter is a decoder of the content of the next element.
func (d *decoder) enter(tag byte, what string) decoder {
	return decoder{d.take(tag, what), d.fault}
}

func (d *decoder) octets(what string) []byte { return d.take(tagOctets, what) }

// number reads an INTEGER or ENUMERATED of 0 to 2147483647, the range of all
// that LDAP has.
func (d *decoder) number(tag byte, what string) (n int) {
	content := d.take(tag, what)
	if *d.fault != nil {
		return 0
	}
	if len(content) == 0 || len(content) > 4 || content[0] >= 0x80 {
		d.fail(what, fmt.Errorf("number of %d octets or negative", len(content)))
		return 0
	}
	for _, octet := range content {
		n = n<<8 | int(octet)
	}
	return n
}

// boolean reads a BOOLEAN that may be absent.
func (d *decoder) boolean(absent bool, what string) bool {
	if !d.at(tagBoolean) {
		return absent
	}
	content := d.take(tagBoolean, what)
	if *d.fault == nil && len(content) != 1 {
		d.fail(what, fmt.Errorf("BOOLEAN of %d octets", len(content)))
	}
	return *d.fault == nil && content[0] != 0
}

// skip passes over what is left, which is for versions to come (RFC 4511,
// section 4).
func (d *decoder) skip(what string) {
	for d.more() {
		d.any(what)
	}
}

// end makes sure that nothing is left.
func (d *decoder) end(what string) {
	if d.more() {
		d.fail(what, errTrailing)
	}
}
