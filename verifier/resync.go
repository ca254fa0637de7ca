package verifier

import "time"

// farAge is how long a code out of step waits for the next.
const farAge = 5 * time.Minute

// completed says whether the code of step, which arrives now, and the one that f
// remembers come from one clock, this one later: then the clock is what it
// shows. One code alone fits some step within a day with a chance of 1 in 170;
// this one has to fit one of the few that follow f's.
func (f Far) completed(k Key, step int64, now time.Time) (first int64, ok bool) {
	if f.At.IsZero() || between(f.At, now).Abs() > farAge {
		return 0, false
	}
	seen := observation(k, step, now, entryDelay)
	for _, before := range f.Steps {
		if before < step && !observation(k, before, f.At, entryDelay).and(seen).empty() {
			return before, true
		}
	}
	return 0, false
}

// remember returns s with a code out of step remembered. The same code again
// says nothing new, and that it is still shown least of all.
func (s State) remember(f Far) State {
	again := len(f.Steps) == len(s.Far.Steps) && between(s.Far.At, f.At).Abs() <= farAge
	for i := range f.Steps {
		again = again && f.Steps[i] == s.Far.Steps[i]
	}
	if !again {
		s.Far = f
	}
	return s
}

// learn returns s with what a code accepted at t says about the device's clock.
func (s State) learn(k Key, step int64, t time.Time) State {
	seen := observation(k, step, t, entryDelay)
	switch {
	case s.Clock.fits(k, seen, t):
		s.Clock = s.Clock.observe(k, seen, t)
	case s.remembers(k, seen, t):
		s.Clock, s.Former = s.Former.observe(k, seen, t), s.Clock
	default:
		s = s.set(begin(seen, t))
	}
	return s
}

// set returns s with another clock, because the device was set.
func (s State) set(c Clock) State {
	s.Clock, s.Former = c, s.Clock
	return s
}

// resynchronized returns s with the clock that two codes have shown.
func (s State) resynchronized(k Key, first, second int64, began, now time.Time) State {
	c := begin(observation(k, first, began, entryDelay), began)
	return s.set(c.observe(k, observation(k, second, now, entryDelay), now))
}

// moved returns how far the device is from where its clock was expected. Where it
// was before it was set is no surprise.
func (s *State) moved(k Key, step int64, t time.Time) time.Duration {
	seen := observation(k, step, t, entryDelay)
	if s.Clock.fits(k, seen, t) || s.remembers(k, seen, t) {
		return 0
	}
	is, _ := seen.Likely()
	was, _ := s.Clock.at(k, t).Likely()
	return is - was
}

// remembers says whether the device can be where it was before it was set.
func (s *State) remembers(k Key, seen Offsets, t time.Time) bool {
	return s.formerCounts(t) && s.Former.fits(k, seen, t)
}

// recall returns s with the former clock in place of the current one if the code
// of step fits that alone. Nothing is learned by it.
func (s State) recall(k Key, step int64, t time.Time) State {
	if seen := observation(k, step, t, entryDelay); !s.Clock.fits(k, seen, t) && s.remembers(k, seen, t) {
		s.Clock, s.Former = s.Former, s.Clock
	}
	return s
}
