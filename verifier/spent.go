package verifier

import (
	"slices"
	"time"
)

const (
	// maxSpent bounds the memory of spent steps. At one login a minute it
	// reaches back an hour, far beyond any step that could still be accepted.
	maxSpent = 64

	// maxTokens bounds how many keys an account is remembered by, so that an
	// old key that is put back does not make its spent codes right again.
	maxTokens = 8
)

// token returns what is kept of the key id, the zero TokenState for a key that
// was never used.
func (s *State) token(id TokenID) TokenState {
	for _, t := range s.Tokens {
		if t.ID == id {
			return t
		}
	}
	return TokenState{ID: id}
}

// setToken puts t in front.
func (s *State) setToken(t TokenState) {
	rest := slices.DeleteFunc(slices.Clone(s.Tokens), func(o TokenState) bool { return o.ID == t.ID })
	s.Tokens = append([]TokenState{t}, rest[:min(len(rest), maxTokens-1)]...)
}

// find returns the record of step and whether the step is spent. What fell off
// the old end has no record of its own.
func (t TokenState) find(step int64) (Spent, bool) {
	i, ok := slices.BinarySearchFunc(t.Spent, step, func(s Spent, step int64) int { return int(s.Step - step) })
	if ok {
		return t.Spent[i], true
	}
	return Spent{Step: step}, t.Floor != 0 && step <= t.Floor
}

// spend returns t with s spent. Spent steps are a set and not a high-water
// mark: RFC 6238, section 5.2, asks for one-time use and not for monotony, and
// a mark that a fast clock left in the future would refuse everything until
// time has caught up. What falls off the old end counts as spent.
func (t TokenState) spend(s Spent) TokenState {
	i, _ := slices.BinarySearchFunc(t.Spent, s.Step, func(s Spent, step int64) int { return int(s.Step - step) })
	t.Spent = slices.Insert(slices.Clone(t.Spent), i, s)
	if over := len(t.Spent) - maxSpent; over > 0 {
		t.Floor = t.Spent[over-1].Step
		t.Spent = t.Spent[over:]
	}
	return t
}

// stamp is t as the store keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
