package faults

import (
	"slices"
	"time"
)

// span is a time from when to when.
type span struct{ from, to time.Time }

// misledFor is how long what a server has kept by a wrong clock can count: a code
// out of step is remembered for so long, and where the device was thought to be
// until somebody is let in again.
const misledFor = 5 * time.Minute

// beWary finds out when what is kept of whom may come from a wrong clock: from when
// the code of that person was at such a server, be it by a thief.
func (c *evidence) beWary() {
	for _, t := range c.Tries {
		for _, w := range c.Windows {
			if w.steps(t) {
				p := c.Logins[t.Login].Person
				from := slices.MaxFunc([]time.Time{t.Sent, w.From}, time.Time.Compare)
				c.wary[p] = append(c.wary[p], span{from, c.settled(p, w)})
			}
		}
	}
}

// steps says whether the try was at a server whose clock was wrong.
func (w window) steps(t try) bool {
	return slices.Contains(w.Stepped, t.Server) && w.during(t.Sent, t.until())
}

func (c *evidence) byWrongClock(t try) bool {
	return slices.ContainsFunc(c.Windows, func(w window) bool { return w.steps(t) })
}

// settled is when what was kept in a window counts no more, because it was long ago,
// or because a login that began after it was accepted, by which all is learned anew.
func (c *evidence) settled(person int, w window) time.Time {
	if w.Recovered.IsZero() {
		return time.Unix(1<<40, 0) // never, and that is a violation itself
	}
	until := w.Recovered.Add(misledFor)
	for _, g := range c.persons[person] {
		if !g.Began.After(w.Recovered) {
			continue
		}
		for _, t := range c.tries[g.ID] {
			if t.Answer == accepted && t.Got.Before(until) {
				until = t.Got
			}
		}
	}
	return until
}

// misled says whether a server whose clock was right can have refused t by what one
// with a wrong clock had kept. That is where it looks for the codes of a device
// besides those of its own step and the one before, which are always right; and
// nothing that is learned makes a code spent.
func (c *evidence) misled(g login, t try) bool {
	if g.Step >= t.Got.Unix()/int64(c.Period/time.Second)-1 || !c.gave(g, t, "out of step", "code wrong") {
		return false
	}
	return slices.ContainsFunc(c.wary[g.Person], func(s span) bool { return t.Got.After(s.from) && t.Sent.Before(s.to) })
}
