package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxWaiting is how many callers may wait for a bind beside those that have one.
// It does not depend on the size of the pool: a burst of logins at a quick
// server is to be waited for. It is half of the 512 logins that the RADIUS
// server decides at once, so that with a pool of less than 256 a frozen
// directory does not hold them all.
const maxWaiting = 256

// errCrowded is wrapped where too many callers wait for a connection already.
var errCrowded = errors.New("too many logins at once")

// pool lends connections: one pool for the binds of users, whose connections
// have been bound by strangers and so are never used for anything else, and one
// for searches as the service account.
type pool struct {
	group   *group
	dial    func(context.Context, *server) (*conn, error)
	callers chan struct{} // one for each caller, waiting or with a slot
	slots   chan struct{} // one for each bind under way

	mu      sync.Mutex // guards what follows; never held across the network
	idle    map[*server][]*conn
	drained bool // nothing is kept any more
}

func newPool(g *group, size int) *pool {
	return &pool{
		group:   g,
		dial:    func(ctx context.Context, s *server) (*conn, error) { return s.dial(ctx) },
		callers: make(chan struct{}, size+maxWaiting),
		slots:   make(chan struct{}, size),
		idle:    map[*server][]*conn{},
	}
}

// use calls request with a connection that nobody else uses meanwhile, to the
// first server that answers. It waits for one no longer than ctx, and not at
// all behind many others: a frozen server would hold up all who call, whatever
// else they have to do.
func (p *pool) use(ctx context.Context, request func(context.Context, *conn) error) error {
	select {
	case p.callers <- struct{}{}:
		defer func() { <-p.callers }()
	default:
		return fmt.Errorf("%w: %d for %d connections (is the directory slow, or the pool too small?)",
			errCrowded, cap(p.callers), cap(p.slots))
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.group.try(ctx, func(ctx context.Context, s *server) error { return p.useServer(ctx, s, request) })
}

func (p *pool) useServer(ctx context.Context, s *server, request func(context.Context, *conn) error) error {
	if c := p.take(s); c != nil {
		err := request(ctx, c)
		p.put(c)
		if !stale(err) || ctx.Err() != nil {
			return err
		}
		// The server closed it while it was idle, and gave no answer.
	}
	c, err := p.dial(ctx, s)
	if err != nil {
		return err
	}
	defer p.put(c)
	return request(ctx, c)
}

// stale tells whether err is what a connection gives that the server has
// closed meanwhile. A timeout is not: the request may be under way.
func stale(err error) bool {
	var link *linkError
	return errors.As(err, &link) && !link.answered && !link.timeout
}

// take returns the idle connection to s that was used last, or nil.
func (p *pool) take(s *server) *conn {
	now := p.group.cfg.Now()
	p.mu.Lock()
	idle := p.idle[s]
	var old []*conn
	var c *conn
	for n := len(idle); n > 0 && c == nil; n = len(idle) {
		c, idle = idle[n-1], idle[:n-1]
		if !c.usable(now) {
			old, c = append(old, c), nil
		}
	}
	p.idle[s] = idle
	p.mu.Unlock()
	for _, o := range old {
		o.close()
	}
	return c
}

func (p *pool) put(c *conn) {
	keep := c.usable(p.group.cfg.Now())
	p.mu.Lock()
	if keep = keep && !p.drained; keep {
		p.idle[c.server] = append(p.idle[c.server], c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// sweep closes connections that have been idle for long.
func (p *pool) sweep() { p.closeIf(func(c *conn) bool { return !c.usable(p.group.cfg.Now()) }) }

// drain closes all that are idle, and from now on each when it comes back.
func (p *pool) drain() {
	p.mu.Lock()
	p.drained = true
	p.mu.Unlock()
	p.closeIf(func(*conn) bool { return true })
}

func (p *pool) closeIf(unwanted func(*conn) bool) {
	var closing []*conn
	p.mu.Lock()
	for s, idle := range p.idle {
		var kept []*conn
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
