package verifier

import (
	"math"
	"slices"
	"time"
)

const (
	keptSpent  = 256            // spent steps that are kept in any case
	keptFor    = 25 * time.Hour // those younger are kept even if they are more: they can be reached by resynchronization
	maxSpent   = 12_000         // more than there are in keptFor, of the shortest period
	keptRecent = 16             // spent steps whose details are kept
)

// spent says whether step is.
func (s *State) spent(step int64) bool {
	_, is := slices.BinarySearch(s.Spent, step)
	return is || s.Floor != 0 && step <= s.Floor
}

// details returns when and by whom a spent step was spent, as far as that is
// known.
func (s *State) details(step int64) Spent {
	for _, recent := range s.Recent {
		if recent.Step == step {
			return recent
		}
	}
	return Spent{Step: step}
}

// spend returns s with n spent. Spent steps are a set and not a high-water mark:
// RFC 6238, section 5.2, asks for one-time use and not for monotony, and a mark
// that a fast clock left in the future would refuse everything until time has
// caught up. What falls off the old end counts as spent.
func (s State) spend(k Key, n Spent) State {
	i, is := slices.BinarySearch(s.Spent, n.Step)
	if is {
		return s
	}
	steps := append(make([]int64, 0, len(s.Spent)+1), s.Spent[:i]...)
	s.Spent = append(append(steps, n.Step), s.Spent[i:]...)
	s = s.note(n, keptRecent-1)
	over := len(s.Spent) - keptSpent
	young, _ := slices.BinarySearch(s.Spent, k.Step(n.At.Add(-keptFor)))
	if over = max(min(over, young), len(s.Spent)-maxSpent); over > 0 {
		s.Floor = s.Spent[over-1]
		s.Spent = s.Spent[over:]
	}
	return s
}

// note returns s with n in front of Recent, of which so many are kept. By whom n
// was spent is for the caller to say.
func (s State) note(n Spent, kept int) State {
	kept = min(kept, len(s.Recent))
	recent := append(make([]Spent, 0, kept+1), n)
	s.Recent, s.Last = append(recent, s.Recent[:kept]...), Login{}
	return s
}

// mark returns the last step that counts as spent.
func (s *State) mark() int64 {
	if n := len(s.Spent); n > 0 { // and if there is a Floor
		return s.Spent[n-1]
	}
	return math.MinInt64
}

// stamp is t as the store keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
