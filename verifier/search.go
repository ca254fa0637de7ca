package verifier

import (
	"crypto/subtle"
	"slices"
	"time"
)

// readings returns the ways in which r's input can hold a code.
func readings(r *Request, digits int) []split {
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
	token  int // whose code it is, if it is any's
	way    split
	right  []int64   // steps to spend: one, or the two of a resynchronization; none if the code is not right
	spent  int64     // if not right, the step that it is the code of, where that was spent lately
	again  bool      // it was spent by the same login, right holds it, and nothing is to be spent
	at     time.Time // when it was looked at: checking the password takes time, too
	began  time.Time // when the first of the two was typed
	near   bool      // if not right, it would be, but for forward_only
	far    [][]int64 // if not right, the unspent steps that it fits, by token; nil if it fits none
	reason Reason    // if not right, or again
}

// rank orders findings of several tokens: what is right under one of them is
// right, whatever it is under others.
func (f *finding) rank() int {
	switch {
	case f.right != nil:
		return 4
	case f.reason.Kind == OutOfStep:
		return 3
	case f.reason.Kind == Replayed:
		return 2
	case f.reason.Kind == TooEarly:
		return 1
	}
	return 0
}

// before says whether f counts and not g, of an earlier token.
func (f *finding) before(g *finding) bool {
	nearer := f.reason.Kind == OutOfStep && f.reason.Offset.Abs() < g.reason.Offset.Abs()
	return f.rank() > g.rank() || f.rank() == g.rank() && nearer
}

// search finds the way in which what was typed is a right and unspent code of
// any token, or says why there is none. It changes nothing. read returns the ways
// to read a code of so many digits in it.
func (a *attempt) search(all []kept, read func(digits int) []split, now time.Time) finding {
	looks := a.looks(all, read)
	if len(looks) == 0 {
		return finding{reason: codeless(all)}
	}
	for _, find := range []func(look, time.Time) finding{look.current, look.recent, look.doubtful} {
		if f := first(looks, find, now); f.rank() > 0 {
			return f
		}
	}
	return a.searchFar(looks, len(all), now)
}

// codeless says that there was no code, and of how many digits those of all are.
func codeless(all []kept) Reason {
	r := Reason{Kind: NoCode, Digits: all[0].key.Digits}
	for _, t := range all {
		if t.key.Digits != r.Digits {
			r.Digits = 0
		}
	}
	return r
}

// look is the search for a code of one token.
type look struct {
	*kept
	at      int // its place among the tokens
	coder   *coder
	ways    []split
	typed   []uint32 // the codes of ways
	forward bool     // only, as SetForwardOnly says
}

// looks returns one for each token whose codes what was typed can hold.
func (a *attempt) looks(all []kept, read func(digits int) []split) []look {
	looks := make([]look, 0, len(all))
	for i := range all {
		t := &all[i]
		if ways := read(t.key.Digits); len(ways) > 0 {
			looks = append(looks, look{t, i, newCoder(t.key), ways, codes(ways), a.forwardOnly.Load()})
		}
	}
	return looks
}

// first returns what find comes to, of the first token if it comes to as much
// with several. It goes through all of them: whose code it was does not show in
// the time.
func first(looks []look, find func(look, time.Time) finding, now time.Time) finding {
	var best finding
	for _, l := range looks {
		if f := find(l, now); f.before(&best) {
			best, best.token, best.at = f, l.at, now
		}
	}
	return best
}

// current looks among the codes that let in.
func (l look) current(now time.Time) finding {
	var room [24]int64
	steps := l.acceptable(room[:0], l.key, now)
	if l.restored != nil {
		steps = slices.DeleteFunc(steps, func(step int64) bool { return l.unsure(step, now) })
	}
	way, step, ok := l.coder.among(steps, l.typed)
	switch {
	case !ok:
		return finding{}
	case l.forward && l.behind(step):
		return finding{reason: tooEarly(l.key, l.mark(), step, now), near: true}
	}
	return finding{way: l.ways[way], right: []int64{step}}
}

// recent looks among those that were used last.
func (l look) recent(now time.Time) finding {
	steps := make([]int64, len(l.Recent))
	for i := range l.Recent {
		steps[i] = l.Recent[i].Step
	}
	if way, step, ok := l.coder.among(steps, l.typed); ok {
		return finding{way: l.ways[way], spent: step, reason: replayed(l.details(step), now)}
	}
	return finding{}
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
	c.forMany(k)
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
func (a *attempt) searchFar(looks []look, tokens int, now time.Time) finding {
	if !a.searches.enter() {
		return finding{reason: Reason{Kind: WrongCode, Cause: "or out of step, too busy to look"}}
	}
	defer a.searches.leave()
	// One code can fit steps of several tokens by chance. Each remembers its own,
	// or the one whose code it is would have to wait for the next but one.
	far := make([][]int64, tokens)
	f := first(looks, func(l look, now time.Time) finding {
		f, steps := l.judge(l.coder.farHits(l.key, now, l.typed), now)
		far[l.at] = steps
		return f
	}, now)
	if f.rank() == 0 {
		return finding{reason: Reason{Kind: WrongCode}}
	}
	if slices.ContainsFunc(far, func(steps []int64) bool { return steps != nil }) {
		f.far = far
	}
	return f
}

// judge says what hits come to, and which of them are not spent.
func (l look) judge(hits []hit, now time.Time) (f finding, far []int64) {
	f.reason.Kind = WrongCode
	here, nearest := l.key.Step(now), int64(-1)
	for _, h := range hits {
		distance := max(h.step-here, here-h.step)
		nearer := nearest < 0 || distance < nearest
		switch first, completes := l.Far.completed(l.key, h.step, now); {
		case l.spent(h.step):
			if f.reason.Kind == WrongCode {
				f.reason = replayed(l.details(h.step), now)
			}
			continue
		case l.unsureFar(h.step, now):
			if f.reason.Kind == WrongCode {
				f.reason = l.mayBeSpent()
			}
			continue
		case l.forward && l.behind(h.step):
			if far == nil && f.right == nil {
				f.reason = tooEarly(l.key, l.mark(), h.step, now)
			}
			continue
		case completes && (f.right == nil || nearer):
			f.right, f.began, f.way, nearest = []int64{first, h.step}, l.Far.At, l.ways[h.way], distance
		case f.right == nil && nearer:
			f.way, nearest = l.ways[h.way], distance
			f.reason = Reason{Kind: OutOfStep, Offset: time.Duration(h.step-here) * l.key.Period}
		}
		far = append(far, h.step)
	}
	if f.right != nil {
		f.reason = Reason{}
	}
	return f, slices.Compact(far)
}

// behind says whether step is refused for the sake of the order of steps alone,
// where that counts.
func (s *State) behind(step int64) bool { return step <= s.mark() }

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
