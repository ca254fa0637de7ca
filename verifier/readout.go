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

// Resync sets the clock of a's device to what two codes show that follow one
// another, within a day of the server's, and spends them. The Reason's Kind is
// None if they do, and the Offsets are those of the device then. Failures stay.
func (v *Verifier) Resync(ctx context.Context, a Account, first, second opaque.Bytes) (Reason, Offsets, error) {
	var (
		now    = v.now()
		by     = attempt{Verifier: v, account: a}
		pairs  = inARow(a.Key, first, second, now)
		reason = Reason{Kind: WrongCode, Cause: "not two in a row of this key, within a day of this server's clock"}
		offset Offsets
	)
	err := v.change(ctx, a.Key.ID(), func(s State, _ Version) (State, error) {
		for _, step := range pairs {
			if why, yes := by.taken(finding{right: []int64{step, step + 1}}, s, now); yes {
				reason = why
				continue
			}
			reason = Reason{}
			s = s.spend(a.Key, Spent{step, stamp(now), ByAdmin}).spend(a.Key, Spent{step + 1, stamp(now), ByAdmin})
			if seen := observation(a.Key, step+1, now, readOut); s.Clock.fits(a.Key, seen, now) {
				s.Clock = s.Clock.observe(a.Key, seen, now)
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
