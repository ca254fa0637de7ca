package verifier

import (
	"runtime"
	"sync/atomic"
)

// maxSearching is how many may look, or wait to look, for a code among the
// thousands of steps where it could be from.
const maxSearching = 32

// searches keeps those who look for codes that are out of step from taking all
// the processors, and the patience of everybody who waits behind them: whoever
// sends wrong codes for many names must not hold up right logins. Make it with
// newSearches.
type searches struct {
	inside atomic.Int64
	slots  chan struct{}
}

func newSearches() *searches {
	return &searches{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// enter waits until it is the caller's turn, who calls leave then. It returns
// false at once where too many wait.
func (s *searches) enter() bool {
	if s.inside.Add(1) > maxSearching {
		s.inside.Add(-1)
		return false
	}
	s.slots <- struct{}{}
	return true
}

func (s *searches) leave() {
	<-s.slots
	s.inside.Add(-1)
}
