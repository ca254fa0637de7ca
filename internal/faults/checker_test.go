package faults

import (
	"fmt"
	"strings"
	"time"
)

// repeatWithin is how long after an Accept the same login gets it again.
const repeatWithin = 10 * time.Second

// slack is what the checker's clock and the servers' can differ by, and how long
// an answer can be under way.
const slack = time.Second

// mostCodes is how many right codes it may take to get in when no fault is on.
const mostCodes = 3

// violation is a promise that was broken.
type violation struct {
	rule  string
	login int // -1 for none
	text  string
}

// check returns all that is wrong in a history.
func check(h history) (all []violation) {
	c := newCase(h)
	for _, rule := range []func() []violation{c.twice, c.againLate, c.againThere, c.againElse, c.wrongAccepted, c.refused, c.excusedTooOften, c.stranded, c.forgotten, c.talking, c.away} {
		all = append(all, rule()...)
	}
	return all
}

// spentCode is one code of one person.
type spentCode struct {
	person int
	step   int64
}

// evidence is a history with what rules look things up by.
type evidence struct {
	history
	tries   map[int][]try       // of a login
	codes   map[spentCode][]try // that held the code, in the order they were sent
	persons map[int][]login     // of a person
	wary    map[int][]span      // when what is kept of a person may come from a wrong clock
}

func newCase(h history) *evidence {
	c := &evidence{history: h, tries: map[int][]try{}, codes: map[spentCode][]try{}, persons: map[int][]login{}, wary: map[int][]span{}}
	for _, g := range h.Logins {
		c.persons[g.Person] = append(c.persons[g.Person], g)
	}
	for _, t := range h.Tries {
		c.tries[t.Login] = append(c.tries[t.Login], t)
		g := h.Logins[t.Login]
		if !t.First && g.Kind != wrongCode && g.Kind != wrongPassword {
			code := spentCode{g.Person, g.Step}
			c.codes[code] = append(c.codes[code], t)
		}
	}
	c.beWary()
	return c
}

// until is when the try was over, as far as it concerns anybody.
func (t try) until() time.Time {
	if t.Answer == silence {
		return t.Sent.Add(tries * tryEvery)
	}
	return t.Got
}

func (w window) during(from, to time.Time) bool {
	return to.After(w.From) && (w.Recovered.IsZero() || from.Before(w.Recovered.Add(slack)))
}

// stranded: whoever goes on gets in, and soon once no fault is on.
func (c *evidence) stranded() (all []violation) {
	type chase struct {
		last  login
		codes int
	}
	chases := map[int]*chase{}
	for _, g := range c.Logins {
		if g.Kind != right {
			continue
		}
		if chases[g.Pursuit] == nil {
			chases[g.Pursuit] = &chase{}
		}
		p := chases[g.Pursuit]
		p.last = g
		if !c.faultOn(g) && !g.Contested {
			p.codes++
		}
	}
	for _, p := range chases {
		switch {
		case p.last.Outcome != accepted:
			all = append(all, violation{"stranded", p.last.ID, fmt.Sprintf("person %d was not let in any more: %s", p.last.Person, strings.Join(c.Reasons[p.last.Source], "; "))})
		case p.codes > mostCodes:
			all = append(all, violation{"stranded", p.last.ID, fmt.Sprintf("person %d needed %d codes without a fault", p.last.Person, p.codes)})
		}
	}
	return all
}

func (c *evidence) faultOn(g login) bool {
	for _, w := range c.Windows {
		if !w.Calm && w.during(g.Began, g.Ended) {
			return true
		}
	}
	return false
}

// forgotten: what was accepted is known as spent after everything was killed.
func (c *evidence) forgotten() (all []violation) {
	for _, g := range c.Logins {
		if g.Kind != replay {
			continue
		}
		if g.Outcome != rejected {
			all = append(all, violation{"no record of an Accept", g.ID, fmt.Sprintf("the replay got %v", g.Outcome)})
			continue
		}
		if why := strings.Join(c.Reasons[g.Source], "; "); !strings.Contains(why, "reject replayed") {
			all = append(all, violation{"no record of an Accept", g.ID, "the replay was refused for something else: " + why})
		}
	}
	return all
}

// talking: a server that must be silent is.
func (c *evidence) talking() (all []violation) {
	for _, m := range c.Mutes {
		for _, t := range c.Tries {
			if t.Server == m.Server && t.Answer != silence && t.Sent.After(m.From) && t.Got.Before(m.To) {
				all = append(all, violation{"answered without the quorum", t.Login, fmt.Sprintf("%v by server %d", t.Answer, m.Server+1)})
			}
		}
	}
	return all
}

// away: all are back after each fault.
func (c *evidence) away() (all []violation) {
	for _, w := range c.Windows {
		if w.Recovered.IsZero() {
			all = append(all, violation{"not back", -1, "after " + w.Name})
		}
	}
	return all
}
