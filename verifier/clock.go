package verifier

import "time"

// candidates returns the steps whose codes are right at t, the likeliest
// first: the server's own clock, and one step to either side for the time that
// reading and typing take and for a clock that is a little off (RFC 6238,
// section 5.2).
func candidates(k Key, t time.Time) []int64 {
	now := k.Step(t)
	return []int64{now, now - 1, now + 1}
}

// nearby is how many steps to either side of the server's clock are searched
// to say why a code was refused. Such a code is never accepted.
const nearby = 20

// diagnosed returns the steps, apart from the candidates, that a wrong code is
// compared with for the sake of the reason.
func diagnosed(k Key, t time.Time, spent []Spent) []int64 {
	now := k.Step(t)
	var steps []int64
	for d := int64(2); d <= nearby; d++ {
		steps = append(steps, now-d, now+d)
	}
	for _, s := range spent {
		if s.Step < now-nearby || s.Step > now+nearby {
			steps = append(steps, s.Step)
		}
	}
	return steps
}
