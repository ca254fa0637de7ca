package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"lockstep/verifier"
)

// decoder takes values off a record, from at on. After the first fault it keeps
// err, has nothing left, and gives zeros, so that callers look at err once.
//
// It counts, and does not cut the record shorter: the garbage collector has to hear
// of each new slice, which took a third of the time of Decode.
type decoder struct {
	record []byte
	at     int
	text   string // a copy of record: strings are parts of it
	err    error

	// Where the State is only looked at, there is no text, and the next State has
	// the same lists.
	look     bool
	steps    []int64
	recents  []verifier.Spent
	failures []verifier.SourceFailures
}

// room returns n elements to set: new ones, or, if they are only looked at, those
// of spare.
func room[T any](d *decoder, spare *[]T, n int) []T {
	if !d.look {
		return make([]T, n)
	}
	*spare = slices.Grow((*spare)[:0], n)[:n]
	return *spare
}

func (d *decoder) left() int { return len(d.record) - d.at }

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDamaged, why)
	}
	d.at = len(d.record)
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
// It refuses one that the record cannot hold, before anybody allocates for it.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(d.left()/least) {
		d.fail("list is longer than the record")
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := len(d.bytes(d.uvarint()))
	if d.look {
		return "?"[:min(n, 1)] // all that counts is whether it is empty
	}
	return d.text[d.at-n : d.at]
}

// bytes returns the next n bytes, still part of the record, or nil.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(d.left()) {
		d.fail("record ends early")
		return nil
	}
	d.at += int(n)
	return d.record[d.at-int(n) : d.at]
}

func (d *decoder) uint16() uint16 {
	b := d.bytes(2)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func (d *decoder) uint64() uint64 {
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
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
	v, n := binary.Uvarint(d.record[d.at:])
	d.skipNumber(n)
	if d.err != nil {
		return 0
	}
	return v
}

// twoBytes returns the number at the start of b if it has two bytes, as nearly all
// of a record have: to look for these first takes a third off the time of Decode.
func twoBytes(b []byte) (v uint64, ok bool) {
	if len(b) < 2 || b[0] < 0x80 || b[1] >= 0x80 || b[1] == 0 {
		return 0, false
	}
	return uint64(b[0]&0x7f) | uint64(b[1])<<7, true
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.record[d.at:])
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
	case n > 1 && d.record[d.at+n-1] == 0:
		// encoding/binary reads 0x80 0x00 as 0 too; one State, one encoding.
		d.fail("number is longer than need be")
	default:
		d.at += n
	}
}
