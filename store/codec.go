package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"lockstep/verifier"
)

// format is the first byte of every encoded State. A change of the layout
// below takes a new one, and Decode goes on reading the old ones.
const format = 1

// The layout, after the format byte. Numbers are varints of encoding/binary in
// their shortest form, signed ones where they can be negative; lists and
// strings begin with their count.
//
//	State          Floor (signed), list of Spent, Failures, list of SourceFailures
//	Spent          Step less the Step before it (less Floor at first), At, By
//	SourceFailures Source, Count, Last
//	time           milliseconds since 1970 (signed)

// Bytes that an element of each list has at least. They bound what a count
// can make Decode allocate.
const (
	minSpent  = 1 + 1 + 1
	minSource = 1 + 1 + 1
)

// Encode returns s as bytes. Times are cut to whole milliseconds, and empty
// lists come back from [Decode] as nil. Encode does not judge: where s breaks
// its own rules, such as Spent out of order, Decode refuses the result.
func Encode(s verifier.State) []byte {
	b := make([]byte, 0, size(s))
	b = append(b, format)
	b = binary.AppendVarint(b, s.Floor)
	b = appendSpent(b, s.Floor, s.Spent)
	b = binary.AppendUvarint(b, uint64(s.Failures))
	b = binary.AppendUvarint(b, uint64(len(s.Sources)))
	for _, f := range s.Sources {
		b = appendString(b, f.Source)
		b = binary.AppendUvarint(b, uint64(f.Count))
		b = appendTime(b, f.Last)
	}
	return b
}

// size guesses the length of the encoding: exact enough to allocate once.
func size(s verifier.State) int {
	n := 32
	for _, sp := range s.Spent {
		n += 12 + len(sp.By)
	}
	for _, f := range s.Sources {
		n += 16 + len(f.Source)
	}
	return n
}

func appendSpent(b []byte, floor int64, spent []verifier.Spent) []byte {
	b = binary.AppendUvarint(b, uint64(len(spent)))
	last := floor
	for _, sp := range spent {
		// Modulo 2^64: a step that does not ascend wraps around, and Decode
		// sees that it did.
		b = binary.AppendUvarint(b, uint64(sp.Step)-uint64(last))
		b = appendTime(b, sp.At)
		b = appendString(b, sp.By)
		last = sp.Step
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendVarint(b, t.UnixMilli())
}

// Decode returns the State that b holds. It is strict: there is exactly one
// encoding of each State, and anything else is an error and the zero State.
// What it allocates is bounded by a multiple of len(b). The State shares
// nothing with b.
func Decode(b []byte) (verifier.State, error) {
	if len(b) > MaxRecord {
		return verifier.State{}, fmt.Errorf("state has %d bytes, more than %d", len(b), MaxRecord)
	}
	if len(b) == 0 {
		return verifier.State{}, errors.New("state is empty")
	}
	if b[0] != format {
		return verifier.State{}, fmt.Errorf("state has format %d, want %d", b[0], format)
	}
	d := decoder{rest: b[1:]}
	s := d.state()
	if d.err == nil && len(d.rest) > 0 {
		d.fail(fmt.Sprintf("%d bytes follow the state", len(d.rest)))
	}
	if d.err != nil {
		return verifier.State{}, d.err
	}
	return s, nil
}
