package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/wire"
)

// session is one search in the mode refreshAndPersist (RFC 4533): a refresh, and
// after that each change as it happens.
//
// What the RFC leaves to be trusted is not trusted here. A refresh without a
// cookie, and one at any server but OpenLDAP is always that, drops all that it
// has not seen, however the server says that it ended: both OpenLDAP and 389-DS
// end it in the way that means "deletions were told". 389-DS does not tell on
// resuming what has left the filter meanwhile.
type session struct {
	*poller
	wire       *wire.Conn
	cookie     string // sent; "" for none
	refreshing bool
	present    bool     // a present phase has ended: what it has not named is gone
	pending    string   // cookie to be kept once the refresh is complete
	unknown    []string // IDs of entries said to be there that were not known then
}

var (
	// errAnew ends a session that another has to follow at once, with a refresh
	// of everything.
	errAnew = errors.New("everything is to be read anew")

	// errNoSync ends one at a server that cannot, though it says so: OpenLDAP
	// names the control also where no database has the overlay for it.
	errNoSync = errors.New("the server does not tell of changes")

	// errStalled ends a refresh that has stopped in the middle.
	errStalled = errors.New("incomplete; does 389-DS stop at a size limit? Raise nsSizeLimit and nsLookThroughLimit of the service account")

	// errBehind ends a session that the server has forgotten.
	errBehind = errors.New("the server has changes that it did not tell")
)

// Results of RFC 4533 and of OpenLDAP that mean that the cookie is of no use.
const (
	refreshRequired    = 4096
	unwillingToPerform = 53 // "consumer state is newer than provider": a backup was restored
)

// sync follows the server of the service connection until that fails or ctx
// ends; it always returns why.
func (p *poller) sync(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := p.conn.server.wire(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel(nil)
	wait.Go(func() { p.watch(ctx, cancel) })
	s := &session{poller: p, wire: c, cookie: p.resumable()}
	err = s.run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, errAnew) {
		p.setCookie("")
	}
	return err
}

// resumable returns the cookie to go on from, or "".
func (p *poller) resumable() string {
	if p.cookieOf != p.conn.server || !p.info.openLDAP {
		p.setCookie("")
	}
	p.cookieOf = p.conn.server
	return p.lastCookie()
}

func (s *session) run(ctx context.Context) error {
	s.replica.begin()
	s.refreshing = true
	defer s.alive(false)
	request := &wire.SyncRequest{Persist: true}
	if s.cookie != "" {
		request.Cookie = []byte(s.cookie)
	}
	err := s.wire.Search(ctx, wire.Search{Base: s.cfg.BaseDN, Scope: wire.ScopeSubtree, Filter: s.schema.filter(),
		Attributes: s.schema.attributes(), Sync: request})
	for err == nil {
		err = s.next()
	}
	return s.ended(err)
}

// next waits for a message and takes it.
func (s *session) next() error {
	stall := s.cfg.pace.stall
	if !s.refreshing {
		stall = 0
	}
	m, err := s.wire.Next(stall)
	if err != nil {
		return err
	}
	switch m.Kind {
	case wire.Entry, wire.Reference:
		return s.entry(m)
	case wire.Info:
		return s.info(m)
	case wire.Done:
		return s.done(m)
	}
	return nil
}

func (s *session) entry(m *wire.Message) error {
	switch {
	case m.Kind == wire.Reference && m.State != wire.Delete:
		return nil
	case !m.HasState:
		return fmt.Errorf("entry %.200q without a sync state", m.DN)
	}
	id := entryID(rawEntry{uuid: m.UUID[:]})
	switch m.State {
	case wire.Add, wire.Modify:
		s.replica.put(rawEntry{dn: m.DN, uuid: m.UUID[:], get: m.Values})
	case wire.Present:
		s.keep(id)
	case wire.Delete:
		s.replica.delete(id)
	}
	if !s.refreshing {
		s.replica.settle()
	}
	s.remember(m.Cookie)
	return nil
}

// keep takes note that an entry is there. OpenLDAP lists changed and new ones as
// present before it sends them, so that one may be unknown now and known later.
func (s *session) keep(id string) {
	if !s.replica.keep(id) && len(s.unknown) < mostUnknown {
		s.unknown = append(s.unknown, id)
	}
}

// mostUnknown bounds what a server can make us remember. With more, everything is
// read anew.
const mostUnknown = 1_000_000

// misses tells whether an entry is said to be there that is still not known.
func (s *session) misses() bool {
	unknown := func(id string) bool { return !s.replica.keep(id) }
	return len(s.unknown) == mostUnknown || slices.ContainsFunc(s.unknown, unknown)
}

// remember keeps the cookie to resume from: at once if what it stands for has been
// taken, else when the refresh is complete. An empty one is none.
func (s *session) remember(cookie []byte) {
	switch {
	case len(cookie) == 0 || !s.poller.info.openLDAP:
	case s.refreshing:
		s.pending = string(cookie)
	default:
		s.setCookie(mergeCookies(s.lastCookie(), string(cookie)))
	}
}

func (s *session) info(m *wire.Message) error {
	s.remember(m.Cookie)
	switch m.InfoKind {
	case wire.IDSet:
		s.idSet(m)
	case wire.RefreshPresent:
		// Whatever was not named is gone (RFC 4533, section 3.3.2). It goes when the
		// refresh is complete: another phase may follow, and name more.
		s.present = true
		return s.phaseEnded(m.RefreshDone)
	case wire.RefreshDelete:
		return s.phaseEnded(m.RefreshDone)
	}
	return nil
}

func (s *session) idSet(m *wire.Message) {
	for _, uuid := range m.UUIDs {
		id := entryID(rawEntry{uuid: uuid[:]})
		if m.RefreshDeletes {
			s.replica.delete(id)
		} else {
			s.keep(id)
		}
	}
	if !s.refreshing {
		s.replica.settle()
	}
}

// phaseEnded takes the refresh for complete if it is done, and drops what it has
// not seen, if that means that it is gone.
func (s *session) phaseEnded(done bool) error {
	if !s.refreshing || !done {
		return nil
	}
	if s.present || s.cookie == "" {
		if err := s.sweep(); err != nil {
			return err
		}
	}
	if s.misses() {
		// Somebody is enrolled whom we do not know.
		s.cfg.Log.Warn("the directory takes an entry for known that is not", "url", s.server().name)
		if s.cookie != "" {
			return errAnew
		}
		// Nor would it be told the next time.
	}
	s.refreshing = false
	s.failures = 0
	s.remember([]byte(s.pending))
	s.completed()
	s.alive(true)
	s.note(nil)
	return nil
}

// sweep drops what was not seen. Many at once must be seen missing twice, by two
// refreshes of everything.
func (s *session) sweep() error {
	gone, of := s.replica.missing()
	many := gone > max(10, of/10)
	switch {
	case many && !s.doubt:
		s.cfg.Log.Error("a refresh would remove many accounts, reading again to be sure", "removed", gone, "of", of)
		s.doubt = true
		return errAnew
	case many && s.cookie != "":
		return errAnew
	case s.doubt:
		s.cfg.Log.Error("read again", "removed", gone, "of", of)
	}
	s.doubt = false
	s.replica.sweep()
	return nil
}

func (s *session) server() *server { return s.conn.server }

// alive sets whether changes are told now.
func (s *session) alive(yes bool) {
	s.live.Store(yes)
	s.server().followed.Store(yes)
}

// done is what ends a session that the server ends. In this mode it always says
// that something is wrong.
func (s *session) done(m *wire.Message) error {
	switch code := m.Result.Code; {
	case s.hasCookie() && (code == refreshRequired || code == unwillingToPerform):
		s.cfg.Log.Warn("the directory does not know any more what was told (was a backup restored?), reading everything", "url", s.server().name, "err", m.Result.Err())
		return errAnew
	case code == ldap.LDAPResultUnavailableCriticalExtension:
		return errNoSync
	case code == 0:
		return errors.New("the server has ended the search for changes")
	}
	return m.Result.Err()
}

// hasCookie tells whether the server was given one, or has given one since.
func (s *session) hasCookie() bool { return s.cookie != "" || s.lastCookie() != "" }

// ended returns err as the rest of the package knows errors: what a server has
// answered, or that it has not.
func (s *session) ended(err error) error {
	var refused *wire.ResultError
	switch {
	case errors.Is(err, errAnew), errors.Is(err, errNoSync):
		return err
	case errors.Is(err, wire.ErrTooLarge):
		// One such entry must not keep everybody's changes from us.
		s.cfg.Log.Error("an entry is too large to be told of, so that the directory is polled: which has the most values of a login name, key or token?",
			"url", s.server().name, "err", err)
		return errNoSync
	case errors.Is(err, wire.ErrDisconnected):
		return &linkError{err: fmt.Errorf("%s: %w", s.server().name, err), answered: true}
	case errors.As(err, &refused):
		answer := ldap.NewError(uint16(refused.Code), errors.New(strings.TrimSpace(refused.Text)))
		return fmt.Errorf("read all accounts: %s: %w", s.server().name, s.hint(answer))
	}
	what := "follow changes"
	if s.refreshing {
		what = "read all accounts"
	}
	stalled := errors.Is(err, os.ErrDeadlineExceeded)
	if stalled {
		err = fmt.Errorf("%w (%w)", err, errStalled)
	}
	err = fmt.Errorf("%s: %s: %w", what, s.server().name, err)
	if ready, _, _ := s.replica.state(); stalled && ready {
		// The server is not away for binds, and logins can be decided on what is known.
		return err
	}
	return &linkError{err: err, answered: true}
}
