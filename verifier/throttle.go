package verifier

import (
	"math"
	"slices"
	"time"
)

// DefaultMaxFailures is the number of failures in a row after which only an
// admin can unlock an account (NIST SP 800-63B, section 5.2.2).
const DefaultMaxFailures = 100

const (
	freeFailures = 3 // from one source before it has to wait
	maxDelay     = 5 * time.Minute
	maxSources   = 16 // remembered by an account; all others still count in Failures
	maxSource    = 64 // octets of a source's name
)

// delay returns how long a source has to wait after so many failures in a row:
// nothing at first, for typing errors, then 1 s, 2 s, 4 s up to maxDelay.
func delay(failures uint32) time.Duration {
	if failures < freeFailures {
		return 0
	}
	return min(time.Second<<min(failures-freeFailures, 30), maxDelay)
}

// throttled says whether an attempt from source has to be refused unseen.
func (s *State) throttled(source string, maxFailures int, now time.Time) (Reason, bool) {
	if s.Failures >= uint32(maxFailures) {
		return Reason{Kind: Locked, Failures: int(s.Failures)}, true
	}
	f := s.source(source)
	until, held := f.heldUntil(now)
	if !held {
		return Reason{}, false
	}
	return Reason{Kind: Locked, Until: until, Failures: int(f.Count)}, true
}

// heldUntil says whether the source has to wait, and until when. A last failure
// far in the future comes from a clock that was put back since, and must not
// hold anybody up until the clock is there again.
func (f SourceFailures) heldUntil(now time.Time) (until time.Time, held bool) {
	until = f.Last.Add(delay(f.Count))
	return until, f.Count > 0 && now.Before(until) && f.Last.Sub(now) <= maxDelay
}

func sourceName(s string) string { return s[:min(len(s), maxSource)] }

func (s *State) source(name string) SourceFailures {
	name = sourceName(name)
	for _, f := range s.Sources {
		if f.Source == name {
			return f
		}
	}
	return SourceFailures{Source: name}
}

// failed returns s with one more failure, f but for its count.
func (s State) failed(f SourceFailures) State {
	f.Count = s.source(f.Source).Count
	if f.Count < math.MaxUint32 {
		f.Count++
	}
	s.forgive(f.Source)
	s.Sources = append([]SourceFailures{f}, s.Sources[:min(len(s.Sources), maxSources-1)]...)
	if s.Failures < math.MaxUint32 {
		s.Failures++
	}
	return s
}

// forgiven returns s without its failures in a row and those of source, and
// whether there were any.
func (s State) forgiven(source string) (State, bool) {
	some := s.Failures > 0 || s.source(source).Count > 0
	s.Failures = 0
	s.forgive(source)
	return s, some
}

// forgive drops source from s, and leaves the others: a login from home must
// not speed up somebody who is guessing elsewhere.
func (s *State) forgive(source string) {
	name := sourceName(source)
	s.Sources = slices.DeleteFunc(slices.Clone(s.Sources), func(f SourceFailures) bool { return f.Source == name })
}
