package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maxWaiting is how many callers may wait for a bind beside those that have one.
// It does not depend on the size of the pool: a burst of logins at a quick
// server is to be waited for. It is half of the 512 logins that the RADIUS
// server decides at once, so that with a pool of less than 256 a frozen
// directory does not hold them all.
const maxWaiting = 256

// errCrowded is wrapped where too many callers wait for a connection already.
var errCrowded = errors.New("too many logins at once")

// link is a connection in a pool.
type link interface {
	comparable
	at() *server
	usable(now time.Time) bool // it can be kept for later
	open(now time.Time) bool   // the server has not closed it meanwhile, as far as can be told without asking
	close()
}

// pool lends connections: one pool for the binds of users, whose connections
// have been bound by strangers and so are never used for anything else, and one
// for searches as the service account.
type pool[C link] struct {
	group   *group
	dial    func(context.Context, *server) (C, error)
	most    int64         // callers at once
	callers atomic.Int64  // waiting or with a slot
	slots   chan struct{} // one for each request under way

	mu      sync.Mutex // guards what follows; never held across the network
	idle    map[*server][]C
	drained bool // nothing is kept any more
}

// newPool makes a pool of so many connections, for which so many more may wait.
func newPool[C link](g *group, size, waiting int, dial func(context.Context, *server) (C, error)) *pool[C] {
	return &pool[C]{
		group: g,
		dial:  dial,
		most:  int64(size + waiting),
		slots: make(chan struct{}, size),
		idle:  map[*server][]C{},
	}
}

// use calls request with a connection that nobody else uses meanwhile, to the
// first server that answers. It waits for one no longer than ctx, and not at
// all behind many others: a frozen server would hold up all who call, whatever
// else they have to do.
func (p *pool[C]) use(ctx context.Context, request func(context.Context, C) error) error {
	defer p.callers.Add(-1)
	if p.callers.Add(1) > p.most {
		return fmt.Errorf("%w: %d for %d connections (is the directory slow, or the pool too small?)",
			errCrowded, p.most, cap(p.slots))
	}
	select {
	case p.slots <- struct{}{}:
	default: // to wait for two things is dear
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-p.slots }()
	return p.group.try(ctx, func(ctx context.Context, s *server) error { return p.useServer(ctx, s, request) })
}

func (p *pool[C]) useServer(ctx context.Context, s *server, request func(context.Context, C) error) error {
	now := p.group.cfg.Now()
	if c, ok := p.take(s, now); ok {
		err := request(ctx, c)
		p.put(c, now)
		if !stale(err) || ctx.Err() != nil {
			return err
		}
		// The server closed it while it was idle, and gave no answer.
	}
	c, err := p.dial(ctx, s)
	if err != nil {
		return err
	}
	defer p.put(c, now)
	return request(ctx, c)
}

// stale tells whether err is what a connection gives that the server has
// closed meanwhile. A timeout is not: the request may be under way.
func stale(err error) bool {
	link, ok := errors.AsType[*linkError](err)
	return ok && !link.answered && !link.timeout
}

// take returns the idle connection to s that was used last, if there is one.
func (p *pool[C]) take(s *server, now time.Time) (c C, ok bool) {
	for {
		if c, ok = p.pop(s); !ok || c.usable(now) && c.open(now) {
			return c, ok
		}
		c.close()
	}
}

func (p *pool[C]) pop(s *server) (c C, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[s]
	n := len(idle)
	if n == 0 {
		return c, false
	}
	c = idle[n-1]
	var none C
	idle[n-1] = none
	p.idle[s] = idle[:n-1]
	return c, true
}

// put takes c back, which was lent at now.
func (p *pool[C]) put(c C, now time.Time) {
	keep := c.usable(now)
	p.mu.Lock()
	if keep = keep && !p.drained; keep {
		s := c.at()
		p.idle[s] = append(p.idle[s], c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// sweep closes connections that have been idle for long.
func (p *pool[C]) sweep() { p.closeIf(func(c C) bool { return !c.usable(p.group.cfg.Now()) }) }

// drain closes all that are idle, and from now on each when it comes back.
func (p *pool[C]) drain() {
	p.mu.Lock()
	p.drained = true
	p.mu.Unlock()
	p.closeIf(func(C) bool { return true })
}

func (p *pool[C]) closeIf(unwanted func(C) bool) {
	var closing []C
	p.mu.Lock()
	for s, idle := range p.idle {
		var kept []C
		for _, c := range idle {
			if unwanted(c) {
				closing = append(closing, c)
			} else {
				kept = append(kept, c)
			}
		}
		p.idle[s] = kept
	}
	p.mu.Unlock()
	for _, c := range closing {
		c.close()
	}
}
