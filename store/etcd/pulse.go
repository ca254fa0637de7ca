package etcd

import (
	"sync"
	"time"
)

const (
	// trust is how old the last certain sign may be that the mirror is up to
	// date. Beyond it, the quorum is asked.
	trust = 1250 * time.Millisecond

	// away is how long the quorum may be silent before Check says so.
	away = 1500 * time.Millisecond
)

// pulse knows when the quorum answered last, and what of that the watch has
// brought. All times are since Open. The zero pulse has heard nothing.
type pulse struct {
	mu       sync.Mutex // guards all below
	heard    time.Duration
	ever     bool
	first    chan struct{} // closed with the first answer, if somebody waits
	position int64         // of the watch
	shown    time.Duration // all that was acknowledged before this has been seen by the watch
	showed   bool          // shown means something
	waiting  mark          // the oldest answer that the watch has not come up to
	latest   mark          // the last one
	fault    error         // of the last write
	ages     []mark        // of the last ageKept: nothing beyond rev was there at at; ascending
}

// What is remembered of the past, and how finely.
const (
	ageKept  = 12 * time.Second
	ageEvery = 100 * time.Millisecond
)

// mark is an answer: all that had been acknowledged at at has a revision up to
// rev. The zero mark is none.
type mark struct {
	at  time.Duration
	rev int64
}

// hear takes an answer to a question that was asked at began.
func (p *pulse) hear(began, now time.Duration, rev int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = max(p.heard, now)
	if !p.ever && p.first != nil {
		close(p.first)
	}
	p.ever = true
	p.age(began, rev)
	m := mark{began, rev}
	switch {
	case rev <= p.position:
		p.show(m)
	case p.waiting.rev == 0:
		p.waiting, p.latest = m, m
	case m.at > p.latest.at:
		p.latest = m
	}
}

// age notes that nothing beyond rev was there at at.
func (p *pulse) age(at time.Duration, rev int64) {
	if n := len(p.ages); n > 0 && at-p.ages[n-1].at < ageEvery {
		return
	}
	for len(p.ages) > 0 && at-p.ages[0].at > ageKept {
		p.ages = p.ages[1:]
	}
	p.ages = append(p.ages, mark{at, rev})
}

// older reports whether rev may have been there for so long, at most ageKept: all
// but what came after an answer of since then.
func (p *pulse) older(rev int64, than, now time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.ages {
		if now-m.at < than && m.rev < rev {
			return false
		}
	}
	return true
}

// reach takes the revision that the watch has come to.
func (p *pulse) reach(rev int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position = max(p.position, rev)
	if p.waiting.rev == 0 || p.waiting.rev > p.position {
		return
	}
	p.show(p.waiting)
	p.waiting = mark{}
	if p.latest.rev > p.position {
		p.waiting = p.latest
		return
	}
	p.show(p.latest)
}

func (p *pulse) show(m mark) { p.shown, p.showed = max(p.shown, m.at), true }

// fresh reports whether the mirror shows all that was acknowledged until a
// short time ago.
func (p *pulse) fresh(now time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.showed && now-p.shown <= trust
}

// lag returns for how long the watch has owed something that is known to be
// there.
func (p *pulse) lag(now time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.rev == 0 {
		return 0
	}
	return now - p.waiting.at
}

// silent returns for how long there has been no answer, and whether there ever
// was one.
func (p *pulse) silent(now time.Duration) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now - p.heard, p.ever
}

// begun returns a channel that is closed with the first answer.
func (p *pulse) begun() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.first = make(chan struct{})
		if p.ever {
			close(p.first)
		}
	}
	return p.first
}

// wrote takes the outcome of a write, and reports whether it differs from that
// of the last.
func (p *pulse) wrote(err error) (turned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turned = (err == nil) != (p.fault == nil)
	p.fault = err
	return turned
}

// failing returns the error of the last write, if it failed.
func (p *pulse) failing() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}
