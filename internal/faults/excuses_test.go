package faults

import (
	"fmt"
	"slices"
	"strings"
)

// excuse is why a refusal of a right login is none of the servers' faults. The zero
// excuse is none.
type excuse string

const (
	wrongClock  excuse = "asked by a wrong clock"
	misled      excuse = "misled by a wrong clock before"
	noChallenge excuse = "challenge lost"
	contest     excuse = "given to others"
	notNew      excuse = "asked there before"
	tooOld      excuse = "too old to come again"
	notKnown    excuse = "not known to have come before"
	halfAsked   excuse = "killed while asked"
)

// refusal is a right login told no, while the appliance still waited.
type refusal struct {
	try
	excuse excuse
}

func (c *evidence) refusals() (all []refusal) {
	for _, t := range c.Tries {
		if g := c.Logins[t.Login]; g.Kind == right && t.Answer == rejected && t.Heard {
			all = append(all, refusal{t, c.excuse(g, t)})
		}
	}
	return all
}

// refused: no right login is told no, unless its code may be spent by now.
func (c *evidence) refused() (all []violation) {
	for _, r := range c.refusals() {
		if r.excuse == "" {
			why := strings.Join(c.Reasons[c.Logins[r.Login].Source], "; ")
			all = append(all, violation{"right login refused", r.Login, fmt.Sprintf("by server %d: %s", r.Server+1, why)})
		}
	}
	return all
}

// What may be excused, as parts of all right logins. Thieves who are quicker make
// 3 in 100 of a run, and 6 in 100 beside the worst of the faults; nobody at all was
// misled in some 80,000. So neither is reached by chance where there are enough
// logins to tell, and an excuse that holds for everybody is noticed.
const (
	mostExcused = 0.10
	mostMisled  = 0.01
	enoughToSay = 300
)

// excusedTooOften: excuses are for few. Those of the server whose clock is wrong at
// that very time do not count: it may well refuse everybody.
func (c *evidence) excusedTooOften() (all []violation) {
	logins, n := c.excuses()
	if logins < enoughToSay {
		return nil
	}
	counted := -n[wrongClock]
	for _, of := range n {
		counted += of
	}
	most := func(which string, n int, share float64) {
		if float64(n) > share*float64(logins) {
			all = append(all, violation{"excused too often", -1, fmt.Sprintf("%d refusals %s, of %d right logins", n, which, logins)})
		}
	}
	most("in all", counted, mostExcused)
	most(string(misled), n[misled], mostMisled)
	return all
}

// excuses returns how many right logins there were, and how many refusals of them
// each excuse was for.
func (c *evidence) excuses() (logins int, n map[excuse]int) {
	n = map[excuse]int{}
	for _, g := range c.Logins {
		if g.Kind == right {
			logins++
		}
	}
	for _, r := range c.refusals() {
		if r.excuse != "" {
			n[r.excuse]++
		}
	}
	return logins, n
}

// excuse says why a refusal of a right login is none of the servers' faults.
func (c *evidence) excuse(g login, t try) excuse {
	switch spent := c.gave(g, t, "replayed") || c.lineLost(g, t); {
	case c.byWrongClock(t) && (c.gave(g, t, "out of step", "code wrong") || c.lineLost(g, t)):
		return wrongClock
	case c.misled(g, t):
		return misled
	case c.challengeLost(g, t):
		return noChallenge
	case !spent:
		return ""
	case g.Contested:
		return contest
	case c.askedBefore(t):
		return notNew
	case c.tooLate(g, t):
		return tooOld
	case c.unsettled(t):
		return notKnown
	case c.brokenOff(g, t):
		return halfAsked
	}
	return ""
}

// gave says whether one of reasons is what the server itself gave.
func (c *evidence) gave(g login, t try, reasons ...string) bool {
	return slices.ContainsFunc(c.Reasons[g.Source], func(line string) bool {
		return strings.HasPrefix(line, serverName(t.Server)+" ") &&
			slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(line, "reject "+r) })
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

// brokenOff says whether the server was asked about the same code with a wrong
// password, and could not give the code back: one that is alone claims it while the
// directory looks at the password.
func (c *evidence) brokenOff(g login, t try) bool {
	return c.Alone && slices.ContainsFunc(c.Tries, func(other try) bool {
		o := c.Logins[other.Login]
		return o.Kind == wrongPassword && o.Person == g.Person && o.Step == g.Step && other.Server == t.Server && other.Sent.Before(t.Sent) &&
			(c.killedDuring(other) || c.couldNotWrite(o, other))
	})
}

// killedDuring says whether the server was killed before it answered. What came in the
// end is the answer of the next process, then, to the packet sent again.
func (c *evidence) killedDuring(t try) bool {
	return (t.Answer == silence || t.sentAgain()) && slices.ContainsFunc(c.Windows, func(w window) bool {
		return slices.Contains(w.Killed, t.Server) && !w.From.After(t.until()) && !w.To.Before(t.Sent)
	})
}

// couldNotWrite says whether the server has written that its disk took nothing.
func (c *evidence) couldNotWrite(g login, t try) bool {
	return slices.ContainsFunc(c.Reasons[g.Source], func(line string) bool {
		return strings.HasPrefix(line, serverName(t.Server)+" ") && strings.Contains(line, "cannot decide") && strings.Contains(line, "write state to ")
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
	for _, g := range c.persons[is.Person] {
		if g.Step == is.Step {
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
