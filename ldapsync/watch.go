package ldapsync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// watch sees, on the service connection, whether the server of a session is still
// there and has told all: a search that waits for changes has no sign of life. It
// cancels the session if not, and now and then to have everything read anew.
func (p *poller) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(p.cfg.pace.watch)
	defer tick.Stop()
	whole := time.NewTimer(p.cfg.pace.whole - rand.N(p.cfg.pace.whole/5))
	defer whole.Stop()
	began := p.cfg.Now()
	var last csns // what the server had at the look before, if that was ahead of us
	for {
		select {
		case <-ctx.Done():
			return
		case <-whole.C:
			cancel(errAnew)
			return
		case <-tick.C:
		}
		p.pool.sweep()
		server, err := p.newest(ctx)
		seen, known := parseCookie(p.lastCookie())
		switch {
		case err != nil && ctx.Err() == nil:
			p.conn.server.health.leave(p.cfg.Now(), err)
			cancel(err)
			return
		case p.live.Load() && p.replica.enrolled.Load() == 0 && p.cfg.Now().Sub(began) >= p.cfg.pace.full:
			// Nobody tells that we may read now what we could not.
			cancel(errAnew)
			return
		case !known || !p.live.Load() || !seen.behind(server):
			last = nil
		case last != nil && seen.behind(last):
			cancel(fmt.Errorf("%s: %w", p.conn.server.name, errBehind))
			return
		default:
			last = server
		}
	}
}

// newest asks what the server's latest changes are, or where it does not say so,
// anything. What it answers, if it does, is no error.
func (p *poller) newest(ctx context.Context) (csns, error) {
	base := p.info.suffix
	if !p.info.openLDAP {
		base = ""
	}
	request := ldap.NewSearchRequest(base, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{"contextCSN"}, nil)
	var result *ldap.SearchResult
	err := p.conn.do(ctx, p.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	if err != nil && !isAnswer(err) {
		return nil, err
	}
	all := csns{}
	if err == nil && len(result.Entries) == 1 {
		for _, csn := range result.Entries[0].GetEqualFoldAttributeValues("contextCSN") {
			all.see(csn)
		}
	}
	return all, nil
}
