package verifier

import (
	"context"
	"time"

	"lockstep/internal/opaque"
)

// Explanation says what a code is.
type Explanation struct {
	Reason Reason        // why it would not let anybody in now; Kind None if it would, with the password
	Offset time.Duration // how far the device that shows it is ahead; 0 where that is not known
	Spent  Spent         // Replayed: when and by whom, as far as that is known; no Step
	Other  Key           // WrongCode: with these parameters it would be right; no Bytes; zero for none
	Locked bool          // in any case, until an admin unlocks
}

// Explain says what a code of a's is, and changes nothing.
func (v *Verifier) Explain(ctx context.Context, a Account, code opaque.Bytes) (Explanation, error) {
	s, _, err := v.store.Load(ctx, a.Key.ID())
	if err != nil {
		return Explanation{}, err
	}
	now := v.now()
	e := Explanation{Locked: s.Failures >= uint32(v.maxFailures())}
	f := attempt{Verifier: v, account: a}.search(alone(code.Reveal(), a.Key.Digits), s, now)
	e.Reason = f.reason
	switch f.reason.Kind {
	case None:
		e.Reason = Reason{}
		e.Offset = time.Duration(f.right[len(f.right)-1]-a.Key.Step(now)) * a.Key.Period
	case OutOfStep:
		e.Offset = f.reason.Offset
	case Replayed:
		e.Spent = Spent{At: now.Add(-f.reason.Ago), By: f.reason.By}
		if f.reason.Ago < 0 {
			e.Spent.At = time.Time{}
		}
	case WrongCode, NoCode:
		e.Other = other(a.Key, code, now)
	}
	return e, nil
}

// otherWindow is how far off a device may be for its parameters to be guessed.
const otherWindow = 10 * time.Minute

// other returns the parameters with which code is one of k's, or none.
func other(k Key, code opaque.Bytes, now time.Time) Key {
	for _, algorithm := range []Algorithm{k.Algorithm, SHA1, SHA256, SHA512} {
		for _, digits := range []int{k.Digits, 6, 8} {
			for _, period := range []time.Duration{k.Period, 30 * time.Second, 60 * time.Second} {
				o := Key{k.Bytes, algorithm, digits, period}
				if o.has(code, now) {
					o.Bytes = opaque.Bytes{}
					return o
				}
			}
		}
	}
	return Key{}
}

// has says whether code is one of k's around now.
func (k Key) has(code opaque.Bytes, now time.Time) bool {
	ways := alone(code.Reveal(), k.Digits)
	if len(ways) == 0 {
		return false
	}
	var steps []int64
	for step := k.Step(now.Add(-otherWindow)); step <= k.Step(now.Add(otherWindow)); step++ {
		steps = append(steps, step)
	}
	_, _, ok := newCoder(k).among(steps, codes(ways))
	return ok
}
