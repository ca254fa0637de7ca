package faults

import (
	"fmt"
	"slices"
	"strings"
)

// wroteAccept says whether a server has in its log that it accepted a login from
// source, whether anybody got the answer or not.
func (h history) wroteAccept(source string) bool {
	return slices.ContainsFunc(h.Reasons[source], isAccept)
}

func isAccept(line string) bool { return strings.Contains(line, " decision accept") }

// twice: no code is accepted for two who had it.
func (c *evidence) twice() (all []violation) {
	for code, of := range c.codes {
		var first string
		for _, t := range of {
			source := c.Logins[t.Login].Source
			switch {
			case t.Answer != accepted && !c.wroteAccept(source), source == first:
			case first == "":
				first = source
			default:
				all = append(all, violation{"accepted twice", t.Login, fmt.Sprintf("code of step %d of person %d was accepted for %s and for %s", code.step, code.person, first, source)})
			}
		}
	}
	return all
}

// stay is the tries of one login with one code at one server.
type stay struct {
	source string
	server int
}

// accepts returns those tries with the code that were accepted, by login.
func (c *evidence) accepts(of []try) map[string][]try {
	by := map[string][]try{}
	for _, t := range of {
		if t.Answer == accepted {
			source := c.Logins[t.Login].Source
			by[source] = append(by[source], t)
		}
	}
	return by
}

// againLate: a login is accepted again within 10 s and not later.
func (c *evidence) againLate() (all []violation) {
	for _, of := range c.codes {
		for _, same := range c.accepts(of) {
			first := slices.MinFunc(same, func(a, b try) int { return a.Got.Compare(b.Got) })
			for _, t := range same {
				if after := t.Sent.Sub(first.Got); after > repeatWithin+slack {
					all = append(all, violation{"accepted again late", t.Login, fmt.Sprintf("%v after the Accept at server %d, at server %d", after, first.Server+1, t.Server+1)})
				}
			}
		}
	}
	return all
}

// againThere: no server accepts a login by two packets. It has answered the first,
// for all it knows, so that the second is somebody else's; whether anybody was there
// to hear the answer it cannot know. One that was started again does not know what
// it has let in again, nor one whose clock was set when that was.
func (c *evidence) againThere() (all []violation) {
	for _, of := range c.codes {
		stays := map[stay][]try{}
		for _, t := range of {
			at := stay{c.Logins[t.Login].Source, t.Server}
			stays[at] = append(stays[at], t)
		}
		for at, tries := range stays {
			heard := 0
			for _, t := range tries {
				if t.Answer == accepted {
					heard++
				}
			}
			if times := max(heard, c.wrote(at)); len(tries) > 1 && times > 1 && !c.forgot(at.server, tries) {
				all = append(all, violation{"accepted again by the same server", tries[0].Login, fmt.Sprintf("%d times by server %d", times, at.server+1)})
			}
		}
	}
	return all
}

// wrote returns how often a server has in its log that it accepted a login.
func (c *evidence) wrote(at stay) (times int) {
	for _, line := range c.Reasons[at.source] {
		if isAccept(line) && strings.HasPrefix(line, serverName(at.server)+" ") {
			times++
		}
	}
	return times
}

// forgot says whether the server was started again, or its clock was set, while it
// was asked.
func (c *evidence) forgot(server int, of []try) bool {
	from, to := of[0].Sent, of[0].until()
	for _, t := range of {
		if to.Before(t.until()) {
			to = t.until()
		}
	}
	return slices.ContainsFunc(c.Windows, func(w window) bool {
		return (slices.Contains(w.Killed, server) || slices.Contains(w.Stepped, server)) && w.during(from, to)
	})
}

// againElse: who sends an accepted login again to the same server is told that it is
// spent, and nothing else.
func (c *evidence) againElse() (all []violation) {
	for _, t := range c.Tries {
		g := c.Logins[t.Login]
		if g.Kind == again && t.Answer == rejected && !c.gave(g, t, "replayed") && !c.lineLost(g, t) {
			all = append(all, violation{"not called replayed", t.Login, fmt.Sprintf("by server %d: %s", t.Server+1, strings.Join(c.Reasons[g.Source], "; "))})
		}
	}
	return all
}

// wrongAccepted: nothing wrong is accepted, whether anybody got the answer or not.
func (c *evidence) wrongAccepted() (all []violation) {
	for _, t := range c.Tries {
		g := c.Logins[t.Login]
		wrong := g.Kind == wrongCode || g.Kind == wrongPassword || g.Kind == replay
		if t.Answer == accepted && (wrong || t.First) || wrong && c.wroteAccept(g.Source) {
			all = append(all, violation{g.Kind.String() + " accepted", t.Login, fmt.Sprintf("at server %d", t.Server+1)})
		}
	}
	return all
}
