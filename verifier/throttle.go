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
	until := f.Last.Add(delay(f.Count))
	// A last failure far in the future comes from a clock that was put back
	// since, and must not hold anybody up until the clock is there again.
	if f.Count == 0 || !now.Before(until) || f.Last.Sub(now) > maxDelay {
		return Reason{}, false
	}
	return Reason{Kind: Locked, Until: until, Failures: int(f.Count)}, true
}

func (s *State) source(name string) SourceFailures {
	name = name[:min(len(name), maxSource)]
	for _, f := range s.Sources {
		if f.Source == name {
			return f
		}
	}
	return SourceFailures{Source: name}
}

// failed returns s with one more failure from source.
func (s State) failed(source string, now time.Time) State {
	f := s.source(source)
	f.Count++
	f.Last = stamp(now)
	s.forgive(source)
	s.Sources = append([]SourceFailures{f}, s.Sources[:min(len(s.Sources), maxSources-1)]...)
	if s.Failures < math.MaxUint32 {
		s.Failures++
	}
	return s
}

// forgive drops source from s, and leaves the others: a login from home must
// not speed up somebody who is guessing elsewhere.
func (s *State) forgive(source string) {
	name := s.source(source).Source
	s.Sources = slices.DeleteFunc(slices.Clone(s.Sources), func(f SourceFailures) bool { return f.Source == name })
}

// Chance returns the probability that somebody who knows the password, but has
// no device, gets in before the account locks for good: maxFailures guesses at
// codes of so many digits, with as many right ones at a time as are accepted.
func Chance(maxFailures, digits int) float64 {
	right := float64(len(candidates(Key{Period: 30 * time.Second}, time.Unix(1<<30, 0))))
	return -math.Expm1(float64(maxFailures) * math.Log1p(-right/math.Pow10(digits)))
}
