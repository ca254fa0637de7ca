package verifier

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockstep/internal/opaque"
)

// Confirmed is what a code at enrolment has shown.
type Confirmed struct {
	Reason Reason // Kind None: that the device has the key
	Step   int64  // then: what [Verifier.Seed] wants
	Far    Far    // otherwise: what the next Confirm wants
}

// confirmWindow is how far off a device may be for one code to do at enrolment,
// where the key is what is in question, and nobody can log in by it.
const confirmWindow = 10 * time.Minute

// Confirm says whether code is one of k's, as at enrolment, where nothing is
// spent yet: one within 10 minutes, or the second of two within a day. The zero
// Far is before the first.
func Confirm(k Key, before Far, code opaque.Bytes, now time.Time) (Confirmed, error) {
	if err := k.Check(); err != nil {
		return Confirmed{}, err
	}
	ways := alone(code.Reveal(), k.Digits)
	if len(ways) == 0 {
		return Confirmed{Reason: Reason{Kind: NoCode, Digits: k.Digits}, Far: before}, nil
	}
	l := look{kept: &kept{token: token{key: k}, State: State{Far: before}}, ways: ways}
	f, far := l.judge(newCoder(k).farHits(k, now, codes(ways)), now)
	switch {
	case f.right != nil:
		return Confirmed{Step: f.right[len(f.right)-1]}, nil
	case f.reason.Kind == OutOfStep && f.reason.Offset.Abs() <= confirmWindow:
		return Confirmed{Step: k.Step(now) + int64(f.reason.Offset/k.Period)}, nil
	case far != nil:
		return Confirmed{Reason: f.reason, Far: Far{At: now, Steps: far}}, nil
	}
	return Confirmed{Reason: f.reason, Far: before}, nil
}

// Seed learns where the clock of a new device is, whose key has this [Key.ID]
// and period, from the code of the step that was [Confirmed] at that time. The
// code stays good for a login. A key that was used before is left as it is.
func (v *Verifier) Seed(ctx context.Context, keyID string, period time.Duration, step int64, at time.Time) error {
	k := Key{Period: period}
	if !strings.HasPrefix(keyID, keyPrefix) || k.checkPeriod() != nil {
		return fmt.Errorf("seed %q with a period of %v: no such key", keyID, period)
	}
	if between(at, k.Start(step)).Abs() > farthest+time.Hour {
		return fmt.Errorf("seed %q with step %d at %v: too far off", keyID, step, at)
	}
	return v.change(ctx, keyID, func(s State, version Version) (State, error) {
		if version != 0 {
			return s, errNoChange
		}
		s.Clock = begin(observation(k, step, at, entryDelay), at)
		return s, nil
	})
}
