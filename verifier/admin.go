package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Standing is what an admin wants to know about an account.
type Standing struct {
	Failures int       // in a row
	Locked   bool      // until an admin unlocks
	Waiting  []Wait    // sources that are held up now
	Recent   []Spent   // the steps spent last, the latest first
	Clock    Clock     // of the device, as it was seen last
	Offset   Offsets   // of the device now
	Far      Far       // a code out of step that may still be completed; zero for none
	Until    time.Time // until when a device that is right is refused by forward_only; zero if it is not
}

// Wait is a source that has to wait.
type Wait struct {
	Source   string
	Failures int // in a row
	Until    time.Time
}

// Standing returns how a stands.
func (v *Verifier) Standing(ctx context.Context, a Account) (Standing, error) {
	s, _, err := v.store.Load(ctx, a.Key.ID())
	if err != nil {
		return Standing{}, fmt.Errorf("load state: %w", err)
	}
	now := v.now()
	st := Standing{
		Failures: int(s.Failures),
		Locked:   s.Failures >= uint32(v.maxFailures()),
		Recent:   s.Recent,
		Clock:    s.Clock,
		Offset:   s.Clock.at(a.Key, now),
	}
	if mark := s.mark(); v.forwardOnly.Load() && mark >= a.Key.Step(now) {
		st.Until = a.Key.Start(mark + 1)
	}
	for _, f := range s.Sources {
		if until, held := f.heldUntil(now); held {
			st.Waiting = append(st.Waiting, Wait{Source: f.Source, Failures: int(f.Count), Until: until})
		}
	}
	if !s.Far.At.IsZero() && between(s.Far.At, now).Abs() <= farAge {
		st.Far = s.Far
	}
	return st, nil
}

// Unlock forgets a's failures and returns how many there were. Spent steps stay
// spent.
func (v *Verifier) Unlock(ctx context.Context, a Account) (failures int, err error) {
	err = v.change(ctx, a.Key.ID(), func(s State, _ Version) (State, error) {
		if failures = int(s.Failures); failures == 0 && len(s.Sources) == 0 {
			return s, errNoChange
		}
		s.Failures, s.Sources = 0, nil
		return s, nil
	})
	return failures, err
}

// ResetClock forgets what was learned of the clock of a's device. It is taken to
// be right from now on, as a new one's. Spent steps stay spent.
func (v *Verifier) ResetClock(ctx context.Context, a Account) error {
	return v.change(ctx, a.Key.ID(), func(s State, _ Version) (State, error) {
		s.Clock, s.Former, s.Far = Clock{}, Clock{}, Far{}
		return s, nil
	})
}

// errNoChange ends a change without one.
var errNoChange = errors.New("no change")

// change writes what f makes of the State of id. An error of f ends it.
func (v *Verifier) change(ctx context.Context, id string, f func(State, Version) (State, error)) error {
	for {
		s, version, err := v.store.Load(ctx, id)
		if err != nil {
			return fmt.Errorf("load state: %w", err)
		}
		next, err := f(s, version)
		if errors.Is(err, errNoChange) {
			return nil
		}
		if err != nil {
			return err
		}
		err = v.store.CompareAndSwap(ctx, id, version, next)
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
