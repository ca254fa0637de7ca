package verifier

import (
	"crypto/subtle"
	"slices"
	"time"
)

// readings returns the ways in which r's input can hold a code.
func readings(r Request, digits int) []split {
	typed := r.Typed.Reveal()
	switch {
	case r.Policy.CodeOnly:
		return alone(typed, digits)
	case r.Answering:
		ways := alone(typed, digits)
		for i := range ways {
			ways[i].password = r.Kept.Reveal()
		}
		return ways
	}
	return splits(typed, digits, r.Policy.Separator)
}

// finding is what the search for a code came to.
type finding struct {
	way    split
	right  []int64   // steps to spend: one, or the two of a resynchronization; none if the code is not right
	at     time.Time // when it was looked at: checking the password takes time, too
	began  time.Time // when the first of the two was typed
	near   bool      // if not right, it would be, but for forward_only
	far    []int64   // if not right, the unspent steps that it fits
	reason Reason    // if not right
}

// search finds the way in which what was typed is a right and unspent code, or
// says why there is none. It changes nothing.
func (a attempt) search(ways []split, s State, now time.Time) finding {
	key := a.account.Key
	if len(ways) == 0 {
		return finding{reason: Reason{Kind: NoCode, Digits: key.Digits}}
	}
	c, typed := newCoder(key), codes(ways)
	if way, step, ok := c.among(s.Acceptable(key, now), typed); ok {
		if a.behind(s, step) {
			return finding{reason: tooEarly(key, s.mark(), step, now), near: true}
		}
		return finding{way: ways[way], right: []int64{step}}
	}
	recent := make([]int64, len(s.Recent))
	for i := range s.Recent {
		recent[i] = s.Recent[i].Step
	}
	if _, step, ok := c.among(recent, typed); ok {
		return finding{reason: replayed(s.details(step), now)}
	}
	return a.searchFar(c, ways, s, now)
}

// among returns the first of steps that one of codes belongs to, and which. It
// looks at all of them.
func (c *coder) among(steps []int64, codes []uint32) (way int, step int64, ok bool) {
	for _, s := range steps {
		if i := c.match(s, codes); i >= 0 && !ok {
			way, step, ok = i, s, true
		}
	}
	return way, step, ok
}

// farthest is how far a device's clock may be off for its codes to be recognised
// (RFC 6238, section 6). With periods under 30 s it is less: farSteps bound what
// a search costs.
const (
	farthest = 24 * time.Hour
	farSteps = int64(farthest / (30 * time.Second))
)

// hit is a step that a code typed in one way belongs to.
type hit struct {
	step int64
	way  int
}

// farHits looks at every step within farthest of now, and returns those that one
// of codes belongs to, ascending. It takes as long whatever was typed.
func (c *coder) farHits(k Key, now time.Time, codes []uint32) []hit {
	var hits []hit
	here, reach := k.Step(now), min(int64(farthest/k.Period), farSteps)
	for step := here - reach; step <= here+reach; step++ {
		code := c.code(step)
		for way := range codes {
			if subtle.ConstantTimeEq(int32(codes[way]), int32(code)) == 1 {
				hits = append(hits, hit{step, way})
			}
		}
	}
	return hits
}

// searchFar says which code it was that is not acceptable, or finds that it
// completes a resynchronization.
func (a attempt) searchFar(c *coder, ways []split, s State, now time.Time) finding {
	if !a.searches.enter() {
		return finding{reason: Reason{Kind: WrongCode, Cause: "or out of step, too busy to look"}}
	}
	defer a.searches.leave()
	hits := c.farHits(a.account.Key, now, codes(ways))
	return a.judge(hits, ways, s, now)
}

func (a attempt) judge(hits []hit, ways []split, s State, now time.Time) finding {
	key, here := a.account.Key, a.account.Key.Step(now)
	f := finding{reason: Reason{Kind: WrongCode}}
	nearest := int64(-1)
	for _, h := range hits {
		distance := max(h.step-here, here-h.step)
		nearer := nearest < 0 || distance < nearest
		switch first, completes := s.Far.completed(key, h.step, now); {
		case s.spent(h.step):
			if f.reason.Kind == WrongCode {
				f.reason = replayed(s.details(h.step), now)
			}
			continue
		case a.behind(s, h.step):
			if f.far == nil && f.right == nil {
				f.reason = tooEarly(key, s.mark(), h.step, now)
			}
			continue
		case completes && (f.right == nil || nearer):
			f.right, f.began, f.way, nearest = []int64{first, h.step}, s.Far.At, ways[h.way], distance
		case f.right == nil && nearer:
			f.way, nearest = ways[h.way], distance
			f.reason = Reason{Kind: OutOfStep, Offset: time.Duration(h.step-here) * key.Period}
		}
		f.far = append(f.far, h.step)
	}
	if f.far = slices.Compact(f.far); f.right != nil {
		f.reason = Reason{}
	}
	return f
}

// behind says whether step is refused for the sake of the order of steps alone.
func (a attempt) behind(s State, step int64) bool { return a.forwardOnly.Load() && step <= s.mark() }

// tooEarly says until when a device that shows the code of step now, or was in
// it, will be refused: until it has passed mark.
func tooEarly(k Key, mark, step int64, now time.Time) Reason {
	ahead := step - k.Step(now)
	if ahead != 0 {
		mark++ // by how much of a step the device is off nobody knows
	}
	return Reason{Kind: TooEarly, Until: k.Start(mark + 1 - ahead)}
}

func replayed(s Spent, now time.Time) Reason {
	r := Reason{Kind: Replayed, Ago: -1, By: s.By}
	if !s.At.IsZero() {
		r.Ago = max(0, now.Sub(s.At))
	}
	return r
}
