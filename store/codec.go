package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"lockstep/verifier"
)

// format is the first byte of every encoded State. A change of the layout
// below takes a new one, and Decode goes on reading the old ones: formatNoLast ends
// before Last.
const (
	format       = 3
	formatNoLast = 2
)

// ErrDamaged is wrapped by the error about a record that holds no State. It
// concerns that record alone.
var ErrDamaged = errors.New("state is damaged")

// ErrNewer is wrapped, beside ErrDamaged, by the error about a record that a newer
// Lockstep has written.
var ErrNewer = errors.New("written by a newer lockstep")

// The layout, after the format byte and before four bytes of CRC-32C. Numbers are varints of encoding/binary in
// their shortest form, signed ones where they can be negative; lists and
// strings begin with their count.
//
//	State          Floor (signed), Spent, list of Recent, Clock, Former, Far, Failures, list of Sources, Last
//	Spent, Steps   list of steps, each less the one before; Spent begins from Floor, Steps with a plain one (signed)
//	Recent         Step less the Step before it, less Floor at first (signed); At, By
//	Clock          0 for the zero one, else 1, At, Offset, Rate, Since, Start
//	Far            0 for the zero one, else 1, At, Source, Steps
//	Sources        Source, Count, Last, Input (2 bytes, the high one first), Kind
//	Last           0 for the zero one, else 1, From and Server (8 bytes each, the highest first), Input as in Sources
//	Offsets, Rates Low (signed), High less Low
//	time, duration milliseconds (signed), times since 1970

// Encode returns s as bytes. Times and durations are cut to whole milliseconds,
// durations towards 0, and empty lists come back from [Decode] as nil. Encode
// does not judge: where s, so cut, breaks its own rules, such as Spent out of
// order, Decode refuses the result.
func Encode(s verifier.State) []byte {
	b := encode(s)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Without a checksum a flipped bit could make of one State another.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(s verifier.State) []byte {
	b := make([]byte, 0, size(s))
	b = append(b, format)
	b = binary.AppendVarint(b, s.Floor)
	b = binary.AppendUvarint(b, uint64(len(s.Spent)))
	b = appendSteps(b, s.Floor, s.Spent)
	b = appendRecent(b, s.Floor, s.Recent)
	b = appendOptional(b, zeroClock, appendClock(b, s.Clock))
	b = appendOptional(b, zeroClock, appendClock(b, s.Former))
	b = appendOptional(b, zeroFar, appendFar(b, s.Far))
	b = binary.AppendUvarint(b, uint64(s.Failures))
	b = appendSources(b, s.Sources)
	return appendLast(b, s.Last)
}

// size guesses the length of the encoding: enough to allocate once, unless the
// gaps between steps or the bounds of a clock are very wide.
func size(s verifier.State) int {
	n := 128 + 3*len(s.Spent) + 5*len(s.Far.Steps) + len(s.Far.Source)
	for _, r := range s.Recent {
		n += 12 + len(r.By)
	}
	for _, f := range s.Sources {
		n += 16 + len(f.Source)
	}
	return n
}

// appendSteps appends what each of steps is above the one before it. Modulo
// 2^64: a step that does not ascend wraps around, and Decode sees that it did.
func appendSteps(b []byte, last int64, steps []int64) []byte {
	for _, step := range steps {
		gap := uint64(step - last)
		if gap >= 1<<7 && gap < 1<<14 { // as nearly all are: see twoBytes
			b = append(b, byte(gap)|0x80, byte(gap>>7))
		} else {
			b = binary.AppendUvarint(b, gap)
		}
		last = step
	}
	return b
}

func appendRecent(b []byte, last int64, recent []verifier.Spent) []byte {
	b = binary.AppendUvarint(b, uint64(len(recent)))
	for _, r := range recent {
		b = binary.AppendVarint(b, r.Step-last)
		b = appendTime(b, r.At)
		b = appendString(b, r.By)
		last = r.Step
	}
	return b
}

// What the zero values look like without a mark in front.
var (
	zeroClock = string(appendClock(nil, verifier.Clock{})[1:])
	zeroFar   = string(appendFar(nil, verifier.Far{})[1:])
)

// The marks in front of what can be left out.
const (
	absent  = 0
	present = 1
)

// appendOptional returns long, which is b and a marked value, or b and a byte
// if that value is zero. It compares bytes and not values, because two values
// can be one after the cut.
func appendOptional(b []byte, zero string, long []byte) []byte {
	if string(long[len(b)+1:]) == zero {
		return append(b, absent)
	}
	return long
}

func appendClock(b []byte, c verifier.Clock) []byte {
	b = append(b, present)
	b = appendTime(b, c.At)
	b = appendOffsets(b, c.Offset)
	b = appendBounds(b, c.Rate.Low, c.Rate.High)
	b = appendTime(b, c.Since)
	return appendOffsets(b, c.Start)
}

func appendFar(b []byte, f verifier.Far) []byte {
	b = append(b, present)
	b = appendTime(b, f.At)
	b = appendString(b, f.Source)
	b = binary.AppendUvarint(b, uint64(len(f.Steps)))
	if len(f.Steps) == 0 {
		return b
	}
	return appendSteps(binary.AppendVarint(b, f.Steps[0]), f.Steps[0], f.Steps[1:])
}

func appendSources(b []byte, sources []verifier.SourceFailures) []byte {
	b = binary.AppendUvarint(b, uint64(len(sources)))
	for _, f := range sources {
		b = appendString(b, f.Source)
		b = binary.AppendUvarint(b, uint64(f.Count))
		b = appendTime(b, f.Last)
		b = binary.BigEndian.AppendUint16(b, f.Input)
		b = binary.AppendUvarint(b, uint64(f.Kind))
	}
	return b
}

func appendLast(b []byte, l verifier.Login) []byte {
	if l == (verifier.Login{}) {
		return append(b, absent)
	}
	b = binary.BigEndian.AppendUint64(append(b, present), l.From)
	b = binary.BigEndian.AppendUint64(b, l.Server)
	return binary.BigEndian.AppendUint16(b, l.Input)
}

func appendOffsets(b []byte, o verifier.Offsets) []byte {
	return appendBounds(b, o.Low.Milliseconds(), o.High.Milliseconds())
}

// appendBounds wraps around where low is above high, as appendSteps does.
func appendBounds(b []byte, low, high int64) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, low), uint64(high-low))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendVarint(b, t.UnixMilli())
}

// Decode returns the State that b holds. It is strict: there is exactly one
// encoding of each State in each format, and anything else is an error and the
// zero State. A State of formatNoLast has no Last, which is what the zero one means.
// What it allocates is bounded by a multiple of len(b). The State shares
// nothing with b; the strings in it share one copy.
// Errors wrap [ErrDamaged].
func Decode(b []byte) (verifier.State, error) {
	content, err := intact(b)
	if err != nil {
		return verifier.State{}, err
	}
	return decode(content)
}

// Check returns the error that Decode would.
func Check(b []byte) error {
	content, err := intact(b)
	if err != nil {
		return err
	}
	d := lookers.Get().(*decoder)
	defer lookers.Put(d)
	d.record, d.at, d.err = content, 1, nil
	_, err = d.whole()
	d.record = nil
	return err
}

var lookers = sync.Pool{New: func() any { return &decoder{look: true} }}

// intact returns b without its checksum, if that is right and b begins with a
// format that is known.
func intact(b []byte) ([]byte, error) {
	n := len(b) - crc32.Size
	switch {
	case len(b) > MaxRecord:
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrDamaged, len(b), MaxRecord)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: record is empty", ErrDamaged)
	}
	if err := checkFormat(b[0]); err != nil {
		return nil, err
	}
	switch {
	case n <= 0:
		return nil, fmt.Errorf("%w: record ends early", ErrDamaged)
	case binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	return b[:n], nil
}

func checkFormat(f byte) error {
	switch {
	case f > format:
		return fmt.Errorf("%w or %w: it has format %d, this one knows up to %d", ErrDamaged, ErrNewer, f, format)
	case f != format && f != formatNoLast:
		return fmt.Errorf("%w, or of another version: it has format %d, want %d or %d", ErrDamaged, f, formatNoLast, format)
	}
	return nil
}

// decode takes what encode returns, and what it returned in older formats.
func decode(b []byte) (verifier.State, error) {
	if len(b) == 0 {
		return verifier.State{}, fmt.Errorf("%w: record is empty", ErrDamaged)
	}
	if err := checkFormat(b[0]); err != nil {
		return verifier.State{}, err
	}
	d := decoder{record: b, at: 1, text: string(b)}
	return d.whole()
}

// whole returns the State that the record holds behind its format, or the zero one
// and an error.
func (d *decoder) whole() (verifier.State, error) {
	s := d.state(d.record[0])
	if d.err == nil && d.left() > 0 {
		d.fail(fmt.Sprintf("%d bytes follow the state", d.left()))
	}
	if d.err != nil {
		return verifier.State{}, d.err
	}
	return s, nil
}
