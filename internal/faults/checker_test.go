package faults

import (
	"fmt"
	"slices"
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
	for _, rule := range []func() []violation{c.twice, c.wrongAccepted, c.refused, c.stranded, c.forgotten, c.talking, c.away} {
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
	tries map[int][]try       // of a login
	codes map[spentCode][]try // that held the code, in the order they were sent
	wary  map[int]bool        // who was at a server whose clock was wrong
}

func newCase(h history) *evidence {
	c := &evidence{history: h, tries: map[int][]try{}, codes: map[spentCode][]try{}, wary: map[int]bool{}}
	for _, t := range h.Tries {
		c.tries[t.Login] = append(c.tries[t.Login], t)
		g := h.Logins[t.Login]
		if !t.First && g.Kind != wrongCode && g.Kind != wrongPassword {
			code := spentCode{g.Person, g.Step}
			c.codes[code] = append(c.codes[code], t)
		}
		for _, w := range h.Windows {
			if slices.Contains(w.Stepped, t.Server) && w.during(t.Sent, t.until()) {
				c.wary[g.Person] = true
			}
		}
	}
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

// twice: no code is accepted twice, except for the same login within 10 s.
func (c *evidence) twice() (all []violation) {
	for code, of := range c.codes {
		of = slices.DeleteFunc(slices.Clone(of), func(t try) bool { return t.Answer != accepted })
		if len(of) < 2 {
			continue
		}
		first := slices.MinFunc(of, func(a, b try) int { return a.Got.Compare(b.Got) })
		was := c.Logins[first.Login]
		for _, t := range of {
			is := c.Logins[t.Login]
			if was.Source != is.Source {
				all = append(all, violation{"accepted twice", t.Login, fmt.Sprintf("code of step %d of person %d was accepted for %s and for %s", code.step, code.person, was.Source, is.Source)})
			} else if after := t.Sent.Sub(first.Got); after > repeatWithin+slack {
				all = append(all, violation{"accepted again late", t.Login, fmt.Sprintf("%v after the Accept at server %d, at server %d", after, first.Server+1, t.Server+1)})
			}
		}
	}
	return all
}

func (c *evidence) wrongAccepted() (all []violation) {
	for _, t := range c.Tries {
		if g := c.Logins[t.Login]; t.Answer == accepted && (g.Kind == wrongCode || g.Kind == wrongPassword || g.Kind == replay || t.First) {
			all = append(all, violation{g.Kind.String() + " accepted", t.Login, fmt.Sprintf("at server %d", t.Server+1)})
		}
	}
	return all
}

// refused: no right login is told no, unless its code may be spent by now.
func (c *evidence) refused() (all []violation) {
	for _, t := range c.Tries {
		g := c.Logins[t.Login]
		if g.Kind != right || t.Answer != rejected || !t.Heard || c.excused(g, t) {
			continue
		}
		all = append(all, violation{"right login refused", t.Login, fmt.Sprintf("by server %d: %s", t.Server+1, strings.Join(c.Reasons[g.Source], "; "))})
	}
	return all
}

// excused says whether a refusal of a right login is none of the servers' faults.
func (c *evidence) excused(g login, t try) bool {
	if c.wary[g.Person] || c.challengeLost(g, t) {
		return true
	}
	return (c.calledReplayed(g, t) || c.lineLost(g, t)) && (g.Contested || c.askedBefore(t) || c.tooLate(g, t) || c.unsettled(t) || c.brokenOff(g, t))
}

// calledReplayed says whether that is what the server itself gave for its reason.
func (c *evidence) calledReplayed(g login, t try) bool {
	return slices.ContainsFunc(c.Reasons[g.Source], func(line string) bool {
		return strings.HasPrefix(line, serverName(t.Server)+" ") && strings.Contains(line, "reject replayed")
	})
}

// lineLost says whether the server has nothing in its log about the login, and was killed
// about when it answered: the lines of the last moment are lost then.
func (c *evidence) lineLost(g login, t try) bool {
	logged := slices.ContainsFunc(c.Reasons[g.Source], func(line string) bool { return strings.HasPrefix(line, serverName(t.Server)+" ") })
	return !logged && slices.ContainsFunc(c.Windows, func(w window) bool {
		return slices.Contains(w.Killed, t.Server) && t.Got.Add(slack).After(w.From) && t.Got.Before(w.To)
	})
}

// earlier returns those requests of the same login with the code that went out
// before t was answered, and that may have spent it: all but those that were
// refused at once.
func (c *evidence) earlier(t try) (all []try) {
	for _, other := range c.tries[t.Login] {
		if other != t && !other.First && other.Sent.Before(t.Got) && (other.Answer != rejected || other.sentAgain()) {
			all = append(all, other)
		}
	}
	return all
}

// askedBefore says whether the same server had the same login before. It may have
// accepted it then, and a code that it has accepted is used up for it.
func (c *evidence) askedBefore(t try) bool {
	return slices.ContainsFunc(c.earlier(t), func(other try) bool { return other.Server == t.Server })
}

// brokenOff says whether the server was killed while it was asked about the same code
// with a wrong password: one that is alone claims the code while the directory looks at
// the password, and has not given it back then.
func (c *evidence) brokenOff(g login, t try) bool {
	return c.Alone && slices.ContainsFunc(c.Tries, func(other try) bool {
		o := c.Logins[other.Login]
		return o.Kind == wrongPassword && o.Person == g.Person && o.Step == g.Step && other.Server == t.Server && other.Answer == silence &&
			other.Sent.Before(t.Sent) && slices.ContainsFunc(c.Windows, func(w window) bool {
			return slices.Contains(w.Killed, t.Server) && !w.From.After(other.until()) && !w.To.Before(other.Sent)
		})
	})
}

// tooLate says whether the same code was asked about first so long ago that the
// login is no repetition any more.
func (c *evidence) tooLate(g login, t try) bool {
	return slices.ContainsFunc(c.codes[spentCode{g.Person, g.Step}], func(other try) bool { return t.Got.Sub(other.Sent) > repeatWithin })
}

// unsettled says whether a login that came before may be unknown as such to the
// server that was asked now. Nothing of that excuses the refusal of a code that had
// not gone out before.
func (c *evidence) unsettled(t try) bool {
	earlier := c.earlier(t)
	if c.overtaken(t, earlier) {
		return true
	}
	return slices.ContainsFunc(c.Windows, func(w window) bool {
		return w.during(t.Sent.Add(-repeatWithin), t.Got) && (w.forgetful(t, len(earlier) > 0) || w.clocksDiffer(t, earlier))
	})
}

// overtaken says whether another login of the same person may have been accepted
// after this one was: only the last one may come again.
func (c *evidence) overtaken(t try, earlier []try) bool {
	is := c.Logins[t.Login]
	for _, g := range c.Logins {
		if g.Person != is.Person || g.Step == is.Step {
			continue
		}
		for _, late := range c.tries[g.ID] {
			after := func(e try) bool { return late.Got.After(e.Sent) }
			if late.Answer == accepted && late.Sent.Before(t.Got) && slices.ContainsFunc(earlier, after) {
				return true
			}
		}
	}
	return false
}

// forgetful says whether the server that was asked was started again, or has heard
// nothing for long. It knows of nothing how old it is that came meanwhile; and who
// was killed has not lived to say what it accepted itself.
func (w window) forgetful(t try, before bool) bool {
	if slices.Contains(w.Killed, t.Server) {
		return before || t.sentAgain()
	}
	return before && slices.Contains(w.Away, t.Server) && w.To.Sub(w.From) >= repeatWithin-slack
}

// clocksDiffer says whether the login came before by another clock, and one of the
// two was set: it has another age then than it has.
func (w window) clocksDiffer(t try, earlier []try) bool {
	return slices.ContainsFunc(earlier, func(other try) bool {
		return other.Server != t.Server && (slices.Contains(w.Stepped, t.Server) || slices.Contains(w.Stepped, other.Server))
	})
}

// sentAgain says whether the appliance had sent the same request more than once
// when its answer came.
func (t try) sentAgain() bool { return t.Got.Sub(t.Sent) >= tryEvery }

// challengeLost says whether the only server was killed between a challenge and
// its answer.
func (c *evidence) challengeLost(g login, t try) bool {
	if !c.Alone || !strings.Contains(strings.Join(c.Reasons[g.Source], ";"), "the State is not ours") {
		return false
	}
	asked := slices.ContainsFunc(c.tries[g.ID], func(t try) bool { return t.First })
	return asked && slices.ContainsFunc(c.Windows, func(w window) bool { return len(w.Killed) > 0 && w.during(g.Began, t.Got) })
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
