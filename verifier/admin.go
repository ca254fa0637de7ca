package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/internal/opaque"
)

// Standing is what an admin wants to know about an account.
type Standing struct {
	Failures int       // in a row
	Locked   bool      // until an admin unlocks
	Until    time.Time // the latest until which some source has to wait; zero if none
	Last     Spent     // the step spent last; zero if none
}

// Standing returns how a stands.
func (v *Verifier) Standing(ctx context.Context, a Account) (Standing, error) {
	s, _, err := v.store.Load(ctx, a.Key.ID())
	if err != nil {
		return Standing{}, fmt.Errorf("load state: %w", err)
	}
	st := Standing{Failures: int(s.Failures), Locked: s.Failures >= uint32(v.maxFailures())}
	for _, f := range s.Sources {
		if until, held := f.heldUntil(v.now()); held && until.After(st.Until) {
			st.Until = until
		}
	}
	for _, spent := range s.Spent {
		if spent.At.After(st.Last.At) {
			st.Last = spent
		}
	}
	return st, nil
}

// Unlock forgets a's failures and returns how many there were. Spent steps stay
// spent.
func (v *Verifier) Unlock(ctx context.Context, a Account) (failures int, err error) {
	for id := a.Key.ID(); ; {
		s, version, err := v.store.Load(ctx, id)
		if err != nil {
			return 0, fmt.Errorf("load state: %w", err)
		}
		if s.Failures == 0 && len(s.Sources) == 0 {
			return 0, nil
		}
		failures := int(s.Failures)
		s.Failures, s.Sources = 0, nil
		err = v.store.CompareAndSwap(ctx, id, version, s)
		if !errors.Is(err, ErrConflict) {
			return failures, err
		}
	}
}

// Confirm says whether code is one of k's that is right now, as at enrolment,
// where nothing is spent yet: the Reason's Kind is None if it is.
func Confirm(k Key, code opaque.Bytes, now time.Time) (Reason, error) {
	if err := k.Check(); err != nil {
		return Reason{}, err
	}
	ways := alone(code.Reveal(), k.Digits)
	f, err := attempt{account: Account{Key: k}}.search(ways, State{}, now)
	return f.reason, err
}
