package verifier

import "time"

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
	right  bool
	step   int64
	way    split
	reason Reason // if not right
}

// search finds the way in which what was typed is a right and unspent code, or
// says why there is none. It changes nothing.
func (a attempt) search(ways []split, state State, now time.Time) (finding, error) {
	key := a.account.Key
	if len(ways) == 0 {
		return finding{reason: Reason{Kind: NoCode, Digits: key.Digits}}, nil
	}
	c, typed := newCoder(key), codes(ways)
	var best finding
	for _, step := range candidates(key, now) {
		i, err := c.match(step, typed)
		if err != nil {
			return finding{}, err
		}
		if i < 0 || best.right {
			continue
		}
		best = finding{step: step, way: ways[i]}
		spent, is := state.find(step)
		if best.right = !is; is {
			best.reason = replayed(spent, now)
		}
	}
	if best.right || best.reason.Kind == Replayed {
		return best, nil
	}
	return diagnose(c, key, typed, state, now)
}

// diagnose says which code it was that is not accepted now. It looks at the
// same number of steps whatever was typed.
func diagnose(c coder, key Key, typed [][]byte, state State, now time.Time) (finding, error) {
	reason := Reason{Kind: WrongCode}
	for _, step := range diagnosed(key, now, state.Spent) {
		i, err := c.match(step, typed)
		if err != nil {
			return finding{}, err
		}
		if i < 0 || reason.Kind != WrongCode {
			continue
		}
		if spent, is := state.find(step); is {
			reason = replayed(spent, now)
		} else {
			offset := time.Duration(step-key.Step(now)) * key.Period
			reason = Reason{Kind: OutOfStep, Offset: offset}
		}
	}
	return finding{reason: reason}, nil
}

func replayed(s Spent, now time.Time) Reason {
	r := Reason{Kind: Replayed, Ago: -1, By: s.By}
	if !s.At.IsZero() {
		r.Ago = max(0, now.Sub(s.At))
	}
	return r
}
