package verifier

import (
	"context"
	"fmt"
	"time"
)

// miss decides a request in which no right code was found.
func (a *attempt) miss(ctx context.Context, r *Request, reason Reason) (Decision, error) {
	d := r.otherwise(reason)
	var err error
	// A password alone is no guess at a code, and nothing at all is none either.
	if reason.Kind != NoCode || d.Outcome == Refused && r.Typed.Len() > 0 {
		d, err = a.count(ctx, r, d, nil)
	}
	d.Asked = stamp(a.now()) // not before the failure
	return d, err
}

// countTime is how long the store may take to count a failure.
const countTime = 5 * time.Second

// count adds a failure to the account, on each of its tokens, and what was out of
// step, by token, if there is such. The same input from the same source within a
// minute is not counted again: appliances try again by themselves.
//
// What was looked at is counted also if the request has run out of time.
func (a *attempt) count(ctx context.Context, r *Request, d Decision, far [][]int64) (Decision, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTime)
	defer cancel()
	now := stamp(a.now()) // one for all tokens, which held compares
	for i, t := range a.tokens {
		f := Far{At: now, Source: sourceName(r.Source)}
		if far != nil {
			f.Steps = far[i]
		}
		if err := a.countOn(ctx, r, t, d.Reason.Kind, f); err != nil {
			return Decision{}, err
		}
	}
	return d, nil
}

// countOn adds a failure to t at f.At, and f if it has steps.
func (a *attempt) countOn(ctx context.Context, r *Request, t token, kind Kind, f Far) error {
	for {
		s, version, err := a.store.Load(ctx, t.id)
		if err != nil {
			return fmt.Errorf("load state: %w", err)
		}
		next, changed := a.failed(s, r, t.key, kind, f)
		if !changed {
			return nil
		}
		err = a.store.CompareAndSwap(ctx, t.id, version, next)
		if err == nil {
			return nil
		}
		if err = retry(ctx, err); err != nil {
			return fmt.Errorf("count failure: %w", err)
		}
	}
}

// failed returns s, of the token with key k, with one more failure, and whether
// it differs from s.
func (a *attempt) failed(s State, r *Request, k Key, kind Kind, f Far) (State, bool) {
	if was, again := a.repeated(r, k, s, f.At); again {
		// A code that was out of step may have come to be right since, and the
		// password has been refused; or it was not looked for at first.
		next := s.restated(r.Source, kind)
		if f.Steps != nil {
			next = next.remember(f)
		}
		return next, was != kind || !next.Far.At.Equal(s.Far.At)
	}
	s = s.failed(SourceFailures{Source: f.Source, Last: f.At, Input: a.input(r, k), Kind: kind})
	if f.Steps != nil {
		s = s.remember(f)
	}
	return s, true
}
