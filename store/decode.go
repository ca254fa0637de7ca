package store

import (
	"time"

	"lockstep/verifier"
)

// Bytes that an element of each list has at least. They bound what a count
// can make Decode allocate.
const (
	minStep   = 1
	minRecent = 1 + 1 + 1
	minSource = 1 + 1 + 1 + 2 + 1
)

func (d *decoder) state(format byte) (s verifier.State) {
	s.Floor = d.varint()
	s.Spent = d.spent(s.Floor)
	s.Recent = d.recent(s.Floor)
	s.Clock = d.clock()
	s.Former = d.clock()
	s.Far = d.far()
	s.Failures = d.uint32()
	s.Sources = d.sources()
	if format != formatNoLast {
		s.Last = d.last()
	}
	return s
}

func (d *decoder) spent(floor int64) []int64 {
	n := d.count(minStep)
	if n == 0 {
		return nil
	}
	steps := room(d, &d.steps, n)
	d.ascend(floor, steps)
	return steps
}

// ascend sets steps to as many as that, each above the one before it, and the
// first above last.
func (d *decoder) ascend(last int64, steps []int64) {
	for i := range steps {
		gap, short := twoBytes(d.record[d.at:])
		if short {
			d.at += 2
		} else {
			gap = d.uvarint()
		}
		step := last + int64(gap)
		if step <= last {
			d.fail("steps are not in ascending order")
			return
		}
		steps[i], last = step, step
	}
}

func (d *decoder) recent(last int64) (recent []verifier.Spent) {
	if n := d.count(minRecent); n > 0 {
		recent = room(d, &d.recents, n)
	}
	for i := range recent {
		last += d.varint()
		recent[i] = verifier.Spent{Step: last, At: d.time(), By: d.string()}
	}
	return recent
}

func (d *decoder) clock() (c verifier.Clock) {
	if !d.present() {
		return c
	}
	c.At = d.time()
	c.Offset = d.offsets()
	c.Rate.Low, c.Rate.High = d.bounds(maxRate)
	c.Since = d.time()
	c.Start = d.offsets()
	switch {
	case c.At.IsZero():
		d.fail("clock that was never observed is not zero")
	case c.Since.After(c.At):
		d.fail("clock was observed before learning began")
	}
	return c
}

// What a Clock can have come to, and a little more. From far beyond it the steps
// could not be counted.
const (
	maxOffset = 11 * 365 * 24 * 3600 * 1000 // milliseconds
	maxRate   = 100_000                     // parts per billion
)

func (d *decoder) offsets() verifier.Offsets {
	low, high := d.bounds(maxOffset)
	return verifier.Offsets{Low: time.Duration(low) * time.Millisecond, High: time.Duration(high) * time.Millisecond}
}

func (d *decoder) far() (f verifier.Far) {
	if !d.present() {
		return f
	}
	f.At = d.time()
	f.Source = d.string()
	if n := d.count(minStep); n > 0 {
		f.Steps = room(d, &d.steps, n)
		f.Steps[0] = d.varint()
		d.ascend(f.Steps[0], f.Steps[1:])
	}
	if f.At.IsZero() && f.Source == "" && f.Steps == nil {
		d.fail("far code is longer than need be")
	}
	return f
}

func (d *decoder) sources() (sources []verifier.SourceFailures) {
	if n := d.count(minSource); n > 0 {
		sources = room(d, &d.failures, n)
	}
	for i := range sources {
		sources[i] = verifier.SourceFailures{
			Source: d.string(), Count: d.uint32(), Last: d.time(), Input: d.uint16(), Kind: d.kind(),
		}
	}
	return sources
}

func (d *decoder) last() (l verifier.Login) {
	if !d.present() {
		return l
	}
	l.From, l.Server, l.Input = d.uint64(), d.uint64(), d.uint16()
	if l == (verifier.Login{}) {
		d.fail("last login is longer than need be")
	}
	return l
}

// lastKind is the last one that there is. A later one would be from a later
// program, and has no name here.
const lastKind = verifier.Denied

func (d *decoder) kind() verifier.Kind {
	n := d.uvarint()
	if n > uint64(lastKind) {
		d.fail("kind is out of range")
		return 0
	}
	return verifier.Kind(n)
}
