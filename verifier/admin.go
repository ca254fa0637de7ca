package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Standing is what an admin wants to know about an account.
type Standing struct {
	Failures int             // in a row
	Locked   bool            // until an admin unlocks
	Waiting  []Wait          // sources that are held up now
	Tokens   []TokenStanding // as the account has them, one at least; of a Delegated one a nameless one that has Recent alone
}

// TokenStanding is what an admin wants to know about a token.
type TokenStanding struct {
	Key    Key       // label and parameters, no Bytes
	Recent []Spent   // the steps spent last, the latest first
	Clock  Clock     // of the device, as it was seen last
	Offset Offsets   // of the device now
	Far    Far       // a code out of step that may still be completed; zero for none
	Until  time.Time // until when a device that is right is refused by forward_only; zero if it is not
}

// Wait is a source that has to wait.
type Wait struct {
	Source   string
	Failures int // in a row
	Until    time.Time
}

// Standing returns how a stands.
func (v *Verifier) Standing(ctx context.Context, a Account) (Standing, error) {
	by, err := v.attempt(a)
	if err != nil {
		return Standing{}, err
	}
	all, err := by.load(ctx)
	if err != nil {
		return Standing{}, err
	}
	now := v.now()
	st := Standing{Failures: failures(all), Locked: failures(all) >= v.maxFailures(), Waiting: waiting(all, now)}
	for i := range all {
		t := &all[i]
		if a.Delegated {
			st.Tokens = []TokenStanding{{Recent: t.Recent}}
			break
		}
		st.Tokens = append(st.Tokens, t.standing(v.forwardOnly.Load(), now))
	}
	return st, nil
}

func (t *kept) standing(forwardOnly bool, now time.Time) TokenStanding {
	st := TokenStanding{Key: t.key.public(), Recent: t.Recent, Clock: t.Clock, Offset: t.Clock.at(t.key, now)}
	if mark := t.mark(); forwardOnly && mark >= t.key.Step(now) {
		st.Until = t.key.Start(mark + 1)
	}
	if !t.Far.At.IsZero() && between(t.Far.At, now).Abs() <= farAge {
		st.Far = t.Far
	}
	return st
}

// waiting returns each source that any of all says has to wait, the ones seen
// last first, and until when the last of them says so.
func waiting(all []kept, now time.Time) []Wait {
	var waits []Wait
	for _, t := range all {
		for _, f := range t.Sources {
			until, held := f.heldUntil(now)
			w := Wait{Source: f.Source, Failures: int(f.Count), Until: until}
			i := slices.IndexFunc(waits, func(other Wait) bool { return other.Source == f.Source })
			switch {
			case !held:
			case i < 0:
				waits = append(waits, w)
			case waits[i].Until.Before(until):
				waits[i] = w
			}
		}
	}
	return waits
}

// Unlock forgets a's failures and returns how many there were. Spent steps stay
// spent.
func (v *Verifier) Unlock(ctx context.Context, a Account) (failures int, err error) {
	by, err := v.attempt(a)
	if err != nil {
		return 0, err
	}
	for _, t := range by.tokens {
		err := v.change(ctx, t.id, func(s State, _ Version) (State, error) {
			failures = max(failures, int(s.Failures))
			if s.Failures == 0 && len(s.Sources) == 0 {
				return s, errNoChange
			}
			s.Failures, s.Sources = 0, nil
			return s, nil
		})
		if err != nil {
			return failures, err
		}
	}
	return failures, nil
}

// ResetClock forgets what was learned of the clocks of a's devices. They are taken
// to be right from now on, as new ones are. Spent steps stay spent.
func (v *Verifier) ResetClock(ctx context.Context, a Account) error {
	if a.Delegated {
		return errors.New(elsewhere.Cause)
	}
	by, err := v.attempt(a)
	if err != nil {
		return err
	}
	for _, t := range by.tokens {
		err := v.change(ctx, t.id, func(s State, _ Version) (State, error) {
			s.Clock, s.Former, s.Far = Clock{}, Clock{}, Far{}
			return s, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
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
		if err == nil {
			return nil
		}
		if err = retry(ctx, err); err != nil {
			return err
		}
	}
}
