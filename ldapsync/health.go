package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// health is what is known of one server.
type health struct {
	ill atomic.Bool // failures is not 0; else enter and leave have nothing to change

	mu       sync.Mutex // guards what follows
	failures int        // in a row
	until    time.Time  // not asked before, after a failure
	probing  bool       // somebody is finding out whether it is back
	err      error      // of the last failure

	// told, unless nil, is called when err becomes nil or ceases to be. It is
	// called under mu, or two calls could change places.
	told func(err error)
}

// enter tells whether the server should be asked at now. If so, leave must be
// called. A server that has failed is asked by one caller at a time, so that a
// frozen one does not hold up every login; force disregards its pause.
func (h *health) enter(now time.Time, force bool) bool {
	if !h.ill.Load() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == 0 {
		return true
	}
	if h.probing || now.Before(h.until) && !force {
		return false
	}
	h.probing = true
	return true
}

// leave records how asking went: err is nil if the server answered, and then now does
// not matter.
func (h *health) leave(now time.Time, err error) {
	if err == nil && !h.ill.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = false
	if h.told != nil && (err == nil) != (h.err == nil) {
		h.told(err)
	}
	h.err = err
	h.ill.Store(err != nil)
	if err == nil {
		h.failures = 0
		return
	}
	// Logins that fail together are one failure.
	if h.failures == 0 || !now.Before(h.until) {
		h.failures++
		h.until = now.Add(backOff(h.failures))
	}
}

// release is leave for a caller that learnt nothing.
func (h *health) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = false
}

func (h *health) last() (until time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until, h.err
}

// backOff is the pause after so many failures: 1 s doubled up to 60 s, less up
// to a quarter, lest many servers come back at one moment.
func backOff(failures int) time.Duration {
	pause := time.Minute
	if failures < 7 {
		pause = time.Second << max(failures-1, 0)
	}
	return pause - rand.N(pause/4)
}

// group is the servers of one directory, in order of preference.
type group struct {
	cfg     *Config
	servers []*server
}

// errAway is wrapped where no server could be asked.
var errAway = errors.New("no directory server answers")

// try calls ask with the servers in turn until one has answered. Nil means
// that one has, and that ask returned nil. The error of one that has answered
// is returned alone, else those of all that were asked. A server that is paused
// after failures is passed over; if all are, the one whose turn is next is asked.
func (g *group) try(ctx context.Context, ask func(context.Context, *server) error) error {
	var failed error
	for i, s := range g.servers {
		now := g.cfg.Now()
		if ctx.Err() != nil || !s.health.enter(now, false) {
			continue
		}
		err := g.ask(ctx, s, now, i < len(g.servers)-1, ask)
		if !elsewhere(err) {
			return err
		}
		failed = both(failed, err)
	}
	if failed != nil {
		return failed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := g.cfg.Now()
	if s := g.next(); s.health.enter(now, true) {
		return g.ask(ctx, s, now, false, ask)
	}
	return g.away()
}

// ask asks one server, at began, and records how it went. If others are left it may take
// no more than half of the time that ctx has.
func (g *group) ask(ctx context.Context, s *server, began time.Time, others bool, ask func(context.Context, *server) error) error {
	attempt := ctx
	if deadline, ok := ctx.Deadline(); ok && others {
		half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
		attempt = half
	}
	err := ask(attempt, s)
	switch {
	case !elsewhere(err):
		s.health.leave(began, nil)
	case errors.Is(ctx.Err(), context.Canceled) || ctx.Err() != nil && g.cfg.Now().Sub(began) < g.cfg.Timeout/2:
		// The caller has gone, or came with hardly any time left: that says
		// nothing of the server.
		s.health.release()
	default:
		s.health.leave(g.cfg.Now(), err)
	}
	return err
}

// next returns the server whose pause ends first.
func (g *group) next() *server {
	first := g.servers[0]
	soonest, _ := first.health.last()
	for _, s := range g.servers[1:] {
		if until, _ := s.health.last(); until.Before(soonest) {
			first, soonest = s, until
		}
	}
	return first
}

// away returns nil if some server is thought to answer, else an error that
// says why none is.
func (g *group) away() error {
	var why error
	for _, s := range g.servers {
		_, err := s.health.last()
		if err == nil {
			return nil
		}
		why = both(why, err)
	}
	return fmt.Errorf("%w: %w", errAway, why)
}

// both joins errors of two servers on one line. The first may be nil.
func both(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; %w", first, second)
}

// elsewhere tells whether err is about the server and not about what it was
// asked, so that another should be asked. Never so for an answer about a
// password, or one wrong login would count at each server.
func elsewhere(err error) bool {
	if err == nil {
		return false
	}
	if link, ok := errors.AsType[*linkError](err); ok {
		return !link.answered
	}
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable) {
		return true
	}
	return restricted(err)
}
