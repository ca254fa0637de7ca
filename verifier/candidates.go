package verifier

import (
	"slices"
	"time"
)

const (
	maxWidth  = 4 * time.Minute    // of the offsets of one clock that steps come from
	formerAge = 7 * 24 * time.Hour // how long the clock before the current one counts
)

// Acceptable returns the steps whose codes are right at t, no step twice: those
// of the server's own clock, T and T-1 (RFC 6238, section 5.2), those that the
// device's clock can have reached, and for a week those of its former clock,
// since what was set wrong is set back; less the spent ones. There are 4 mostly
// and 24 at most with a period of 30 s; 13 where no former clock counts.
func (s State) Acceptable(k Key, t time.Time) []int64 {
	return s.acceptable(make([]int64, 0, 16), k, t)
}

// acceptable appends to none, which has room for them perhaps.
func (s *State) acceptable(none []int64, k Key, t time.Time) []int64 {
	now := k.Step(t)
	steps := append(none, now, now-1)
	steps = reached(steps, k, t, s.Clock.at(k, t))
	if s.formerCounts(t) {
		steps = reached(steps, k, t, s.Former.at(k, t))
	}
	return slices.DeleteFunc(steps, s.spent)
}

// reached adds the steps to which belongs what a device with such an offset
// showed at t or up to entryDelay before. Where little is known any more, the
// middle of it has to do.
func reached(steps []int64, k Key, t time.Time, o Offsets) []int64 {
	if o.High-o.Low > maxWidth {
		middle := o.Low + (o.High-o.Low)/2
		o = Offsets{middle - maxWidth/2, middle + maxWidth/2}
	}
	first, last := k.Step(t.Add(o.Low-entryDelay)), k.Step(t.Add(o.High))
	for step := first; step <= last; step++ {
		if !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	return steps
}

// formerCounts says whether the clock before the current one is to be reckoned
// with at t.
func (s *State) formerCounts(t time.Time) bool { return between(s.Former.At, t).Abs() < formerAge }
