package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// poller is an LDAP directory: a service connection on which it is searched, one
// on which a server that can do so tells of changes, and a pool of others for the
// binds of users.
type poller struct {
	cfg     Config
	schema  schema
	replica *replica
	group   *group
	pool    *pool[*binder]
	groups  *ldapGroups

	turn chan struct{} // holds one token: the right to search, and all below

	conn     *conn      // nil if there is none
	info     serverInfo // of its server
	cookieOf *server    // whose cookie it is
	doubt    bool       // the last refresh would have removed many
	nobody   bool       // was enrolled at the last full refresh
	fresh    bool       // no full refresh has succeeded on conn
	mark     watermark  // where the next search for changes begins
	nextFull time.Time  // when the next full refresh is due
	nextPoll time.Time  // when the next search of any kind is due
	failures int        // in a row, of connecting and of full refreshes

	live atomic.Bool // a session is under way, and its refresh is complete

	mu      sync.Mutex // guards what follows
	url     string     // of the server of the service connection, or tried last for one
	err     error      // of the last search
	ownKeys bool       // people may write their own keys
	mode    string     // how changes are noticed, "" while that is not known
	cookie  string     // to resume a session by, "" for none
}

func newServer(c Config, r *replica) (*poller, error) {
	p := &poller{cfg: c, schema: r.schema, replica: r, turn: make(chan struct{}, 1)}
	servers, err := newServers(&p.cfg)
	if err != nil {
		return nil, err
	}
	p.group = &group{cfg: &p.cfg, servers: servers}
	p.pool = newPool(p.group, c.Pool, maxWaiting, dialBinder)
	p.groups = newLDAPGroups(p.group, p.schema.login)
	p.url = servers[0].name
	p.turn <- struct{}{}
	return p, nil
}

// checkPassword implements source.
func (p *poller) checkPassword(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() (late func())) (info PasswordInfo, err error) {
	if meanwhile != nil {
		meanwhile = once(meanwhile) // where the first server does not answer, another is asked
	}
	bind := func() error {
		return p.pool.use(ctx, func(ctx context.Context, c *binder) (err error) {
			info, err = c.checkPassword(ctx, a, password, a.Delegated && p.schema.owner != "", meanwhile)
			if link, ok := errors.AsType[*linkError](err); ok && a.Delegated {
				link.answered = true // the code may be spent: another server would say that it is wrong
			}
			return err
		})
	}
	if a.Delegated && p.schema.owner == "" {
		err = p.overlayBind(ctx, a, bind)
	} else {
		err = bind()
	}
	if isVerdict(err) {
		return info, err
	}
	return info, fmt.Errorf("check password at the directory: %w", err)
}

// once returns a function that calls f the first time. It is for one goroutine.
func once(f func() (late func())) func() (late func()) {
	return func() (late func()) {
		if f != nil {
			call := f
			f = nil
			late = call()
		}
		return late
	}
}

func (p *poller) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{Kind: "ldap", URL: p.url, Mode: p.mode, OwnKeys: p.ownKeys, Err: p.err}
}

func (p *poller) setCookie(cookie string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cookie = cookie
}

func (p *poller) lastCookie() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cookie
}

// reachable implements source. A refresh that is incomplete does not count
// against it: logins can be decided on what is known.
func (p *poller) reachable() error { return p.group.away() }

func (p *poller) setURL(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.url = url
}

// follow implements source.
func (p *poller) follow(ctx context.Context) error {
	defer p.pool.drain()
	defer p.groups.pool.drain()
	defer p.disconnect()
	for {
		// Errors are kept and told by step.
		_ = p.step(ctx, false, true)
		p.pool.sweep()
		p.groups.pool.sweep()
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func (p *poller) disconnect() {
	<-p.turn
	defer func() { p.turn <- struct{}{} }()
	p.drop()
}

func (p *poller) wait(ctx context.Context) error {
	<-p.turn
	pause := p.nextPoll.Sub(p.cfg.Now())
	p.turn <- struct{}{}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refresh implements source.
func (p *poller) refresh(ctx context.Context) error { return p.step(ctx, true, false) }

// update implements source. A server that tells of changes has told them.
func (p *poller) update(ctx context.Context) error {
	tick := time.NewTicker(updateTick)
	defer tick.Stop()
	for !p.live.Load() {
		select {
		case <-p.turn:
			defer func() { p.turn <- struct{}{} }()
			return p.stepNow(ctx, false, false)
		case <-tick.C: // a session under way keeps the turn, and may be complete now
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// updateTick is how often update looks whether a refresh has become complete.
const updateTick = 20 * time.Millisecond

// step searches once: for everything if that is due or full is set, else for
// what has changed. To follow a server that tells of changes it stays, until
// that fails.
func (p *poller) step(ctx context.Context, full, follow bool) error {
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.stepNow(ctx, full, follow)
}

// stepNow is step for whoever has the turn.
func (p *poller) stepNow(ctx context.Context, full, follow bool) error {
	began := p.cfg.Now()
	err := p.connect(ctx)
	full = full || p.fresh || !began.Before(p.nextFull) || !follow && p.mark.unsure(began)
	switch {
	case err == nil && follow && p.syncs():
		began, full = p.cfg.Now(), true
		if err = p.watched(ctx, p.sync(ctx)); errors.Is(err, errNoSync) {
			began, err = p.cfg.Now(), p.instead(ctx)
		}
	case err == nil:
		err = p.watched(ctx, p.search(ctx, full))
	}
	p.plan(began, full, err)
	if ctx.Err() == nil && !errors.Is(err, errAnew) {
		p.note(err)
	}
	return err
}

// instead polls a server that turned out not to tell of changes.
func (p *poller) instead(ctx context.Context) error {
	p.info.sync = false
	if err := p.meet(p.info); err != nil {
		return err
	}
	return p.watched(ctx, p.search(ctx, true))
}

// syncs tells whether changes are to be told by the server.
func (p *poller) syncs() bool { return p.info.sync && p.cfg.Follow != "poll" }

// plan sets when to search next. Searching takes no more than one part in
// twenty of the time, however slow the directory is.
func (p *poller) plan(began time.Time, full bool, err error) {
	now := p.cfg.Now()
	rest := 20 * now.Sub(began)
	p.nextPoll = now.Add(max(p.cfg.pace.changes, rest))
	switch {
	case errors.Is(err, errAnew):
		// At once, but a server that asks for it again and again gets it no more
		// often than this.
		p.nextPoll = began.Add(p.cfg.pace.changes)
	case err == nil && full:
		p.failures = 0
		p.nextFull = now.Add(max(p.cfg.pace.full, rest))
	case err != nil && (full || p.conn == nil):
		p.failures++
		p.nextFull = now.Add(min(backOff(p.failures), p.cfg.pace.full))
		// How long a session went well says nothing of how dear the next is.
		if p.conn == nil || p.fresh || p.syncs() {
			p.nextPoll = p.nextFull
		}
	}
}

// note keeps the outcome, and logs it if it is another than before.
func (p *poller) note(err error) {
	p.mu.Lock()
	was := p.err
	p.err = err
	url := p.url
	p.mu.Unlock()
	switch {
	case err == nil && was != nil:
		p.cfg.Log.Info("directory is followed again", "url", url)
	case err != nil && (was == nil || kind(err) != kind(was)):
		p.cfg.Log.Error("directory cannot be followed, the accounts stay as they are", "url", url, "err", err)
	}
}

// kind tells errors apart as far as the log is concerned: texts differ from
// one try to the next in ports, times and servers.
func kind(err error) string {
	var link *linkError
	var answer *ldap.Error
	switch {
	case errors.Is(err, errStalled):
		return "stalled"
	case errors.As(err, &link), errors.Is(err, errAway), elsewhere(err):
		return "away"
	case errors.As(err, &answer):
		return fmt.Sprint("result ", answer.ResultCode)
	}
	return err.Error()
}
