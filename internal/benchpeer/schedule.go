package main

import "time"

// schedule hands out logins for one server, each with a code that the server
// takes.
//
// Lockstep takes the codes of the step that its clock is in and of the one
// before, each from one person once. So everybody has a login in each step, and
// who has not used it in time may still do so in the next. FreeRADIUS 3.2.1
// takes codes of the present step only, and any number of times.
type schedule struct {
	people  int
	replays bool          // whether it is FreeRADIUS
	next    int           // with replays, who is next
	spent   map[int64]int // by step, how many people have used theirs, in the order of scattered
}

func newSchedule(people int, replays bool) *schedule {
	return &schedule{people: people, replays: replays, spent: map[int64]int{}}
}

// margin is what a code must have left to be good for when its round begins.
const margin = 10 * time.Second

// take returns n logins for a round that begins now, with nothing spent if there
// are not as many: then wait says for how long to.
func (s *schedule) take(n int, now time.Time) (logins []span, wait time.Duration) {
	step := stepAt(now)
	left := time.Unix((step+1)*int64(period/time.Second), 0).Sub(now)
	switch {
	case s.replays && left < margin:
		return nil, left
	case s.replays:
		s.next += n
		return []span{{First: s.next - n, Count: n, People: s.people, Step: step}}, 0
	}
	steps := []int64{step}
	if left > margin {
		steps = []int64{step - 1, step}
	}
	missing := n
	for _, step := range steps {
		if count := min(missing, s.people-s.spent[step]); count > 0 {
			logins = append(logins, span{First: s.spent[step], Count: count, People: s.people, Step: step})
			missing -= count
		}
	}
	if missing > 0 {
		return nil, left
	}
	for _, l := range logins {
		s.spent[l.Step] += l.Count
	}
	return logins, 0
}
