package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// decoder takes values off the front of rest. After the first fault it keeps
// err, has nothing left, and gives zeros, so that callers look at err once.
type decoder struct {
	rest []byte
	text string // the whole record: rest is its end, and strings are parts of it
	err  error
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDamaged, why)
	}
	d.rest = nil
}

// The times that can be stored: what JSON can show, and the zero time.
var (
	minMilli = time.Time{}.UnixMilli()
	maxMilli = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
)

func (d *decoder) time() time.Time {
	ms := d.varint()
	if ms < minMilli || ms > maxMilli {
		d.fail("time is out of range")
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// bounds returns two numbers of which low is not above high, and neither is
// further from 0 than most.
func (d *decoder) bounds(most int64) (low, high int64) {
	low = d.varint()
	high = low + int64(d.uvarint())
	switch {
	case high < low:
		d.fail("low bound is above the high one")
	case low < -most || high > most:
		d.fail("bound is out of range")
	default:
		return low, high
	}
	return 0, 0
}

// present says whether a value follows that can be left out where it is zero.
func (d *decoder) present() bool {
	mark := d.uvarint()
	if mark > present {
		d.fail("mark is out of range")
	}
	return mark == present
}

// count returns the length of a list whose elements have least bytes or more.
// It refuses one that rest cannot hold, before anybody allocates for it.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/least) {
		d.fail("list is longer than the record")
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := len(d.bytes(d.uvarint()))
	end := len(d.text) - len(d.rest)
	return d.text[end-n : end]
}

// bytes returns the next n bytes, still part of the record, or nil.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail("record ends early")
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint16() uint16 {
	b := d.bytes(2)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func (d *decoder) uint32() uint32 {
	n := d.uvarint()
	if n > math.MaxUint32 {
		d.fail("counter is out of range")
		return 0
	}
	return uint32(n)
}

func (d *decoder) uvarint() uint64 {
	// Nearly all numbers of a record are gaps of two bytes, and this takes a
	// quarter off the time of Decode or more.
	if b := d.rest; len(b) >= 2 && b[0] >= 0x80 && b[1] < 0x80 && b[1] > 0 {
		d.rest = b[2:]
		return uint64(b[0]&0x7f) | uint64(b[1])<<7
	}
	v, n := binary.Uvarint(d.rest)
	d.skipNumber(n)
	if d.err != nil {
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skipNumber(n)
	if d.err != nil {
		return 0
	}
	return v
}

// skipNumber drops the n bytes of a varint, n as encoding/binary reports it.
func (d *decoder) skipNumber(n int) {
	switch {
	case n == 0:
		d.fail("record ends early")
	case n < 0:
		d.fail("number is out of range")
	case n > 1 && d.rest[n-1] == 0:
		// encoding/binary reads 0x80 0x00 as 0 too; one State, one encoding.
		d.fail("number is longer than need be")
	default:
		d.rest = d.rest[n:]
	}
}
