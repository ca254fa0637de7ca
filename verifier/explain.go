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
	Other  Key           // WrongCode, NoCode: with these parameters it would be right; no Bytes; zero for none
	Locked bool          // in any case, until an admin unlocks

	// Key has the label and the parameters of the token that the code is of, or
	// that Other is about, and no Bytes. It is zero where that is none of several.
	Key Key
	Of  int // how many tokens there are; 0 of a Delegated account
}

// Explain says what a code of a's is, and changes nothing. Of the codes that the
// directory checks nothing can be said: the Reason is Unusable then.
func (v *Verifier) Explain(ctx context.Context, a Account, code opaque.Bytes) (Explanation, error) {
	by, err := v.attempt(a)
	if err != nil {
		return Explanation{}, err
	}
	all, err := by.load(ctx)
	if err != nil {
		return Explanation{}, err
	}
	now := v.now()
	e := Explanation{Locked: failures(all) >= v.maxFailures(), Of: len(all)}
	if a.Delegated {
		e.Of, e.Reason = 0, elsewhere
		return e, nil
	}
	f := by.search(all, func(digits int) []split { return alone(code.Reveal(), digits) }, now)
	t := &all[f.token]
	if f.rank() > 0 || len(all) == 1 {
		e.Key = t.key.public()
	}
	e.Reason = f.reason
	switch f.reason.Kind {
	case None:
		e.Offset = time.Duration(f.right[len(f.right)-1]-t.key.Step(now)) * t.key.Period
	case OutOfStep:
		e.Offset = f.reason.Offset
	case Replayed:
		e.Spent = Spent{At: now.Add(-f.reason.Ago), By: f.reason.By}
		if f.reason.Ago < 0 {
			e.Spent.At = time.Time{}
		}
	case WrongCode, NoCode:
		e.guess(all, code, now)
	}
	return e, nil
}

// guess looks for the parameters with which code would be one of all's.
func (e *Explanation) guess(all []kept, code opaque.Bytes, now time.Time) {
	for _, t := range all {
		if o := other(t.key, code, now); o.Period != 0 {
			e.Key, e.Other = t.key.public(), o
			return
		}
	}
}

// public returns k without what is secret.
func (k Key) public() Key {
	k.Bytes = opaque.Bytes{}
	return k
}

// otherWindow is how far off a device may be for its parameters to be guessed.
const otherWindow = 10 * time.Minute

// other returns the parameters with which code is one of k's, or none.
func other(k Key, code opaque.Bytes, now time.Time) Key {
	for _, algorithm := range []Algorithm{k.Algorithm, SHA1, SHA256, SHA512} {
		for _, digits := range []int{k.Digits, 6, 8} {
			for _, period := range []time.Duration{k.Period, 30 * time.Second, 60 * time.Second} {
				o := Key{Bytes: k.Bytes, Algorithm: algorithm, Digits: digits, Period: period}
				if o.has(code, now) {
					return o.public()
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
