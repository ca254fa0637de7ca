package verifier

import (
	"context"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// ByAdmin stands in [Spent].By for codes that an admin has read out to them.
const ByAdmin = "admin"

// readOut is the longest that two codes read out on the phone are taken to have
// been on their way.
const readOut = 3 * time.Minute

// Resynced is what two codes that were read out have come to.
type Resynced struct {
	Reason Reason  // why nothing was learned; Kind None if it was
	Offset Offsets // then: of the device, when they arrived
	Token  string  // then: its label, if the account has several
}

// Resync sets the clock of one of a's devices to what two codes show that follow
// one another, within a day of the server's, and spends them. Failures stay.
func (v *Verifier) Resync(ctx context.Context, a Account, first, second opaque.Bytes) (Resynced, error) {
	if a.Delegated {
		return Resynced{Reason: elsewhere}, nil
	}
	r := Resynced{Reason: Reason{Kind: WrongCode, Cause: "not two in a row of this key, within a day of this server's clock"}}
	by, err := v.attempt(a)
	if err != nil {
		return Resynced{}, err
	}
	for _, t := range by.tokens {
		reason, offset, err := by.resync(ctx, t, first, second)
		if err != nil {
			return Resynced{}, err
		}
		switch {
		case reason.Kind == None && len(by.tokens) > 1:
			return Resynced{Offset: offset, Token: t.key.Label}, nil
		case reason.Kind == None:
			return Resynced{Offset: offset}, nil
		case reason.Kind != WrongCode:
			r.Reason = reason
		}
	}
	return r, nil
}

// resync is Resync for one token.
func (a *attempt) resync(ctx context.Context, t token, first, second opaque.Bytes) (reason Reason, offset Offsets, err error) {
	now, key := a.now(), t.key
	was := kept{token: t}
	pairs := inARow(key, first, second, now)
	err = a.change(ctx, t.id, func(s State, _ Version) (State, error) {
		reason.Kind = WrongCode
		was.State = s
		for _, step := range pairs {
			if why, yes := a.taken(&finding{right: []int64{step, step + 1}}, &was, now); yes {
				reason = why
				continue
			}
			reason = Reason{}
			s = s.spend(key, Spent{step, stamp(now), ByAdmin}).spend(key, Spent{step + 1, stamp(now), ByAdmin})
			if seen := observation(key, step+1, now, readOut); s.Clock.fits(key, seen, now) {
				s.Clock = s.Clock.observe(key, seen, now)
			} else {
				s = s.set(begin(seen, now))
			}
			s.Far, offset = Far{}, s.Clock.Offset
			return s, nil
		}
		return s, errNoChange
	})
	return reason, offset, err
}

// inARow returns the steps whose code is first while second is the next one's, the
// nearest to now first.
func inARow(k Key, first, second opaque.Bytes, now time.Time) []int64 {
	ways := slices.Concat(alone(first.Reveal(), k.Digits), alone(second.Reveal(), k.Digits))
	if len(ways) != 2 {
		return nil
	}
	var steps []int64
	hits := newCoder(k).farHits(k, now, codes(ways))
	for _, h := range hits {
		if h.way == 0 && slices.Contains(hits, hit{h.step + 1, 1}) {
			steps = append(steps, h.step)
		}
	}
	here := k.Step(now)
	slices.SortStableFunc(steps, func(a, b int64) int { return int(max(a-here, here-a) - max(b-here, here-b)) })
	return steps
}
