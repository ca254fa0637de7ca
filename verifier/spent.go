package verifier

import (
	"cmp"
	"slices"
	"time"
)

// maxSpent bounds the memory of spent steps. At one login a minute it reaches
// back an hour, far beyond any step that could still be accepted.
const maxSpent = 64

// find returns the record of step and whether the step is spent. What fell off
// the old end has no record of its own.
func (s State) find(step int64) (Spent, bool) {
	i, ok := slices.BinarySearchFunc(s.Spent, step, compareStep)
	if ok {
		return s.Spent[i], true
	}
	return Spent{Step: step}, s.Floor != 0 && step <= s.Floor
}

func compareStep(s Spent, step int64) int { return cmp.Compare(s.Step, step) }

// spend returns s with n spent. Spent steps are a set and not a high-water mark:
// RFC 6238, section 5.2, asks for one-time use and not for monotony, and a mark
// that a fast clock left in the future would refuse everything until time has
// caught up. What falls off the old end counts as spent.
func (s State) spend(n Spent) State {
	i, _ := slices.BinarySearchFunc(s.Spent, n.Step, compareStep)
	s.Spent = slices.Insert(slices.Clone(s.Spent), i, n)
	if over := len(s.Spent) - maxSpent; over > 0 {
		s.Floor = s.Spent[over-1].Step
		s.Spent = s.Spent[over:]
	}
	return s
}

// stamp is t as the store keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
