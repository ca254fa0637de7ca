package faults

import (
	"context"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/testenv"
)

// load is people who log in, thieves who try what they have seen, and guessers.
type load struct {
	*site
	ctx   context.Context
	idle  chan *person
	spare chan *person // for probes
	rate  int          // logins per second

	closing chan struct{} // nobody new comes
	wait    sync.WaitGroup
}

// How often what happens, per login.
const (
	chanceOfChallenge     = 0.25
	chanceOfTwin          = 0.05 // the appliance asks two servers at once
	chanceOfRace          = 0.05 // a thief is as quick as the owner
	chanceOfTheft         = 0.30 // right after the Accept
	chanceOfLaterTheft    = 0.15
	chanceOfLate          = 0.10 // the same login after 11 s to 20 s
	chanceOfAgain         = 0.05 // the same login as a new packet, to the server that has just let it in
	chanceOfWrongCode     = 0.05
	chanceOfWrongPassword = 0.04
)

const (
	maxUnderWay = 500
	spares      = 400
)

func startLoad(t testing.TB, s *site, rate int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{site: s, ctx: ctx, rate: rate, closing: make(chan struct{}), idle: make(chan *person, people), spare: make(chan *person, people)}
	for i := range people {
		if i < spares {
			l.spare <- newPerson(i, s.period)
		} else {
			l.idle <- newPerson(i, s.period)
		}
	}
	l.wait.Go(l.run)
	t.Cleanup(func() { cancel(); l.wait.Wait() })
	return l
}

func (l *load) run() {
	slots := make(chan struct{}, maxUnderWay)
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.closing:
			return
		case <-l.ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
			l.wait.Go(func() { defer func() { <-slots }(); l.arrive() })
		default: // as many wait as can
		}
	}
}

// arrive has somebody log in who was not here for the longest time.
func (l *load) arrive() {
	p := <-l.idle
	defer func() { l.idle <- p }()
	if _, pause := (&person{p.number, p.key, p.last}).next(time.Now()); pause == 0 {
		l.pursue(p, -1)
	}
}

// drain lets nobody new come, and waits until all are in. It reports whether
// they were in time.
func (l *load) drain(patience time.Duration) bool {
	close(l.closing)
	done := make(chan struct{})
	go func() { l.wait.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}

// pursue has p log in until p is in, each time with the next code.
func (l *load) pursue(p *person, pursuit int) {
	for l.ctx.Err() == nil {
		step, pause := p.next(time.Now())
		if pause > 0 {
			wait(l.ctx, pause+l.lot.between(0, time.Second))
			continue
		}
		g := l.record.login(login{Kind: right, Person: p.number, Step: step, Pursuit: pursuit})
		pursuit = g.Pursuit
		if l.attempt(g, p) == accepted {
			l.aftermath(g, p)
			return
		}
		wait(l.ctx, l.lot.between(200*time.Millisecond, time.Second))
	}
}

// attempt is one login at an appliance, which asks the servers in some order.
func (l *load) attempt(g login, p *person) answer {
	if l.lot.chance(chanceOfWrongCode) {
		l.guess(wrongCode, p, g.Step, testenv.LoadedPassword+p.wrong(g.Step, l.lot.n))
	}
	if l.lot.chance(chanceOfWrongPassword) {
		l.guess(wrongPassword, p, g.Step, "not "+testenv.LoadedPassword+p.code(g.Step))
	}
	var together sync.WaitGroup
	typed, order := testenv.LoadedPassword+p.code(g.Step), l.order()
	if l.lot.chance(chanceOfRace) {
		l.record.contested(g.ID)
		together.Go(func() { l.steal(g, p, order[len(order)-1]) })
	}
	var a answer
	if l.lot.chance(chanceOfChallenge) {
		a = l.challenge(g, p, order)
	} else {
		if l.lot.chance(chanceOfTwin) {
			together.Go(func() { l.ask(g, p, order[len(order)-1:], false, typed, nil) })
		}
		r := l.ask(g, p, order, false, typed, nil)
		if a = r.answer; a == accepted && l.lot.chance(chanceOfAgain) {
			// Before it would be too old to come again anywhere.
			l.later(l.lot.between(0, repeatWithin-slack), func() { l.again(g, p, r.server, typed) })
		}
	}
	l.record.ended(g.ID, a)
	together.Wait()
	return a
}

// order returns the servers in the order in which an appliance has them.
func (l *load) order() []int {
	first, n := l.lot.n(len(l.servers)), len(l.servers)
	var order []int
	for i := range n {
		order = append(order, (first+i)%n)
	}
	return order
}

// challenge logs in by password first. The code goes to another server first.
func (l *load) challenge(g login, p *person, order []int) answer {
	r := l.ask(g, p, order, true, testenv.LoadedPassword, nil)
	if r.answer != challenged {
		return r.answer
	}
	if l.lot.chance(0.5) {
		order = append(append([]int(nil), order[1:]...), order[0])
	}
	return l.ask(g, p, order, false, p.code(g.Step), r.state).answer
}

// ask puts a login to servers in turn until one answers.
func (l *load) ask(g login, p *person, order []int, first bool, typed string, state []byte) reply {
	for _, i := range order {
		id := l.record.sent(g.ID, i, first)
		desk := l.servers[i].plainDesk
		if first || state != nil {
			desk = l.servers[i].askDesk
		}
		r, ok := desk.ask(l.ctx, tries, l.lot.n, layeh.CodeAccessRequest, []byte(typed), attributes(p.name(), g.Source, state),
			func(a answer, heard bool) { l.record.got(id, a, heard) })
		if ok {
			r.server = i
			return r
		}
	}
	return reply{}
}

// guess is an attempt that must not succeed, at one server.
func (l *load) guess(k kind, p *person, step int64, typed string) {
	g := l.record.login(login{Kind: k, Person: p.number, Step: step})
	l.record.ended(g.ID, l.ask(g, p, []int{l.lot.n(len(l.servers))}, false, typed, nil).answer)
}

// again sends what was accepted to the server that said so.
func (l *load) again(g login, p *person, server int, typed string) {
	once := l.record.login(login{Kind: again, Person: p.number, Step: g.Step, Source: g.Source})
	l.record.ended(once.ID, l.ask(once, p, []int{server}, false, typed, nil).answer)
}

// steal tries a code of somebody else at one server.
func (l *load) steal(g login, p *person, server int) {
	stolen := l.record.login(login{Kind: thief, Person: p.number, Step: g.Step})
	l.record.ended(stolen.ID, l.ask(stolen, p, []int{server}, false, testenv.LoadedPassword+p.code(g.Step), nil).answer)
}

// stealEverywhere does so at all servers at once.
func (l *load) stealEverywhere(g login, p *person) {
	for i := range l.servers {
		l.wait.Go(func() { l.steal(g, p, i) })
	}
}

// aftermath is what may happen to a code that was accepted.
func (l *load) aftermath(g login, p *person) {
	if l.lot.chance(chanceOfTheft) {
		l.stealEverywhere(g, p)
	}
	if l.lot.chance(chanceOfLaterTheft) {
		l.later(l.lot.between(time.Second, 15*time.Second), func() { l.stealEverywhere(g, p) })
	}
	if l.lot.chance(chanceOfLate) {
		l.later(l.lot.between(11*time.Second, 20*time.Second), func() {
			again := l.record.login(login{Kind: late, Person: p.number, Step: g.Step, Source: g.Source})
			l.record.ended(again.ID, l.ask(again, p, l.order()[:1], false, testenv.LoadedPassword+p.code(g.Step), nil).answer)
		})
	}
}

func (l *load) later(d time.Duration, do func()) {
	l.wait.Go(func() {
		select {
		case <-time.After(d):
			do()
		case <-l.ctx.Done():
		case <-l.closing:
		}
	})
}

// recovered waits until a server answers Status-Server and a login, and reports
// whether it did in time.
func (l *load) recovered(i int, patience time.Duration) bool {
	n, until := l.servers[i], time.Now().Add(patience)
	for time.Now().Before(until) && l.ctx.Err() == nil {
		if !n.status(l.ctx, l.lot.n, tryEvery) {
			wait(l.ctx, 50*time.Millisecond)
			continue
		}
		p := <-l.spare
		step, pause := p.next(time.Now())
		if pause > 0 {
			l.spare <- p
			wait(l.ctx, min(pause, time.Second))
			continue
		}
		g := l.record.login(login{Kind: right, Person: p.number, Step: step, Pursuit: -1})
		a := l.ask(g, p, []int{i}, false, testenv.LoadedPassword+p.code(step), nil).answer
		l.record.ended(g.ID, a)
		if a == accepted {
			l.spare <- p
			return true
		}
		// Goes on like anybody else who was not let in.
		l.wait.Go(func() { l.pursue(p, g.Pursuit); l.spare <- p })
	}
	return false
}

// replayAll tries from elsewhere every code that was accepted since since, at
// some server each, until it is answered. It reports how many there were.
func (l *load) replayAll(since time.Time) int {
	all := l.record.accepted(since)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	seen := map[[2]int64]bool{}
	for _, g := range all {
		code := [2]int64{int64(g.Person), g.Step}
		if seen[code] {
			continue
		}
		seen[code] = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			p := newPerson(g.Person, l.period)
			again := l.record.login(login{Kind: replay, Person: g.Person, Step: g.Step})
			typed, a := testenv.LoadedPassword+p.code(g.Step), silence
			for until := time.Now().Add(20 * time.Second); a == silence && time.Now().Before(until); {
				a = l.ask(again, p, l.order(), false, typed, nil).answer
			}
			l.record.ended(again.ID, a)
		})
	}
	wg.Wait()
	return len(seen)
}
