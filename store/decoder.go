package store

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"lockstep/verifier"
)

// decoder takes values off the front of rest. After the first fault it keeps
// err, has nothing left, and gives zeros, so that callers look at err once.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = errors.New("state is damaged: " + why)
	}
	d.rest = nil
}

func (d *decoder) state() (s verifier.State) {
	s.Floor = d.varint()
	s.Spent = d.spent(s.Floor)
	s.Failures = d.uint32()
	if n := d.count(minSource); n > 0 {
		s.Sources = make([]verifier.SourceFailures, n)
	}
	for i := range s.Sources {
		s.Sources[i] = verifier.SourceFailures{Source: d.string(), Count: d.uint32(), Last: d.time()}
	}
	return s
}

// spent returns the steps above floor.
func (d *decoder) spent(floor int64) (spent []verifier.Spent) {
	if n := d.count(minSpent); n > 0 {
		spent = make([]verifier.Spent, n)
	}
	last := floor
	for i := range spent {
		spent[i] = verifier.Spent{Step: d.stepAfter(last), At: d.time(), By: d.string()}
		last = spent[i].Step
	}
	return spent
}

// stepAfter returns a step above last.
func (d *decoder) stepAfter(last int64) int64 {
	step := int64(uint64(last) + d.uvarint())
	if step <= last {
		d.fail("spent steps are not in ascending order")
	}
	return step
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

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

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

func (d *decoder) uint32() uint32 {
	n := d.uvarint()
	if n > math.MaxUint32 {
		d.fail("counter is out of range")
		return 0
	}
	return uint32(n)
}

func (d *decoder) uvarint() uint64 {
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
