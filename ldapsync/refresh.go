package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

const pageSize = 500

// connect makes the service connection if there is none, bound as the service
// account. A new one begins with a full refresh, since another server may
// stamp changes by another clock.
func (p *poller) connect(ctx context.Context) error {
	if p.conn != nil && (p.conn.broken || p.conn.ldap.IsClosing() || p.cfg.Now().Sub(p.conn.born) > maxLife) {
		p.drop()
	}
	if p.conn != nil {
		return nil
	}
	return p.group.try(ctx, func(ctx context.Context, s *server) error {
		p.setURL(s.name)
		c, err := s.bound(ctx, p.cfg.BindDN, p.cfg.BindPassword)
		if err != nil {
			return err
		}
		info, err := c.rootDSE(ctx, p.cfg.BaseDN)
		if err != nil {
			c.close()
			return err
		}
		p.conn, p.fresh, p.mark = c, true, watermark{}
		return p.meet(info)
	})
}

// meet takes note of what the server is, and says in the log what comes of it.
func (p *poller) meet(info serverInfo) error {
	p.info = info
	if info.mustSeal(p.schema.key) && !p.replica.sealedOnly.Swap(true) {
		p.cfg.Log.Warn("others can read this attribute of Active Directory: keys in clear are refused", "attribute", p.schema.key)
	}
	p.mu.Lock()
	own := info.ownWrite(p.schema.key)
	first := own && !p.ownKeys
	p.ownKeys = own
	p.mu.Unlock()
	if first {
		p.cfg.Log.Error("people may write this attribute in their own entry in Active Directory, unless that was changed: a stolen password is enough to enrol another key; set key_attribute",
			"attribute", p.schema.key)
	}
	mode := "poll"
	if p.syncs() {
		mode = "syncrepl"
	}
	p.mu.Lock()
	was := p.mode
	p.mode = mode
	p.mu.Unlock()
	switch {
	case p.cfg.Follow == "syncrepl" && !info.sync:
		p.drop()
		return errors.New("the server does not offer syncrepl to this account (on OpenLDAP: overlay syncprov; on 389-DS: the Content Synchronization plugin)")
	case was != mode:
		p.cfg.Log.Info("changes of the directory are noticed", "url", p.conn.server.name, "by", mode)
	}
	return nil
}

func (p *poller) drop() {
	if p.conn != nil {
		p.conn.close()
		p.conn = nil
	}
}

// search brings the replica up to date.
func (p *poller) search(ctx context.Context, full bool) (err error) {
	if full {
		err = p.readAll(ctx)
	} else {
		err = p.changes(ctx)
	}
	return err
}

// watched takes note of a connection that has failed, or is to a server that has
// no time.
func (p *poller) watched(ctx context.Context, err error) error {
	var link *linkError
	if (errors.As(err, &link) || elsewhere(err)) && p.conn != nil {
		if ctx.Err() == nil {
			// The binds of users go elsewhere then, too.
			p.conn.server.health.leave(p.cfg.Now(), err)
		}
		p.drop()
	}
	return err
}

// readAll reads everything and drops what is not there, if it is complete.
func (p *poller) readAll(ctx context.Context) error {
	if err := p.collectAll(ctx); err != nil {
		return fmt.Errorf("read all accounts: %w", err)
	}
	if gone, of := p.replica.missing(); gone > max(10, of/10) {
		p.cfg.Log.Error("a refresh would remove many accounts, reading again to be sure", "removed", gone, "of", of)
		p.drop()
		if err := p.connect(ctx); err != nil {
			return err
		}
		if err := p.collectAll(ctx); err != nil {
			return fmt.Errorf("read all accounts again: %w", err)
		}
		gone, of = p.replica.missing()
		p.cfg.Log.Error("read again", "removed", gone, "of", of)
	}
	p.fresh = false
	p.replica.sweep()
	p.completed()
	return nil
}

func (p *poller) collectAll(ctx context.Context) error {
	p.replica.begin()
	return p.collect(ctx, p.schema.filter())
}

// completed makes what has been read the content.
func (p *poller) completed() {
	ready, _, _ := p.replica.state()
	p.replica.complete(p.cfg.Now())
	_, enrolled, _ := p.replica.state()
	if !ready {
		p.cfg.Log.Info("directory read", "url", p.conn.server.name, "entries", enrolled)
	}
	if enrolled == 0 && !p.nobody {
		p.cfg.Log.Warn("no enrolled account found: is the base DN right, and may the service account read the key attribute?",
			"base", p.cfg.BaseDN, "attribute", p.schema.key)
	}
	p.nobody = enrolled == 0
}

// changes reads what has changed since the newest change seen. The filter asks
// for no key, so that an entry that has lost its key is found too.
func (p *poller) changes(ctx context.Context) error {
	err := p.collect(ctx, p.mark.filter(p.schema.filter()))
	p.replica.settle()
	if err != nil {
		return fmt.Errorf("read changed accounts: %w", err)
	}
	return nil
}

// collect puts the entries that match, page by page. An error means that there
// may be more. What the server only refers to (RFC 4511, section 4.5.3) is part of
// another directory: Active Directory always refers to its DNS zones.
func (p *poller) collect(ctx context.Context, filter string) error {
	mark, paging := p.mark, ldap.NewControlPaging(pageSize)
	for {
		page, err := p.page(ctx, filter, paging)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			get := func(attr string) [][]byte { return rawValues(e, attr) }
			p.replica.put(rawEntry{dn: []byte(e.DN), get: get})
			mark.see(get)
		}
		next, _ := ldap.FindControl(page.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			p.mark = mark
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// rawValues returns the values of attr in any case.
func rawValues(e *ldap.Entry, attr string) [][]byte {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, attr) {
			return a.ByteValues
		}
	}
	return nil
}

func (p *poller) page(ctx context.Context, filter string, paging *ldap.ControlPaging) (page *ldap.SearchResult, err error) {
	request := ldap.NewSearchRequest(p.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		filter, append(p.schema.attributes(), identifying...), []ldap.Control{paging})
	// A search without an index may take the server a while.
	err = p.conn.do(ctx, 4*p.cfg.Timeout, func(l *ldap.Conn) error {
		page, err = l.Search(request)
		return err
	})
	return page, p.hint(err)
}

// hint adds to a server's answer what an admin can do about it.
func (p *poller) hint(err error) error {
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded):
		return fmt.Errorf("%w (incomplete; raise the limits of the service account, on OpenLDAP: limits dn.exact=%q size=unlimited time=unlimited)", err, p.cfg.BindDN)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return fmt.Errorf("%w (is the base DN %q right, and may %q read it?)", err, p.cfg.BaseDN, p.cfg.BindDN)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultReferral):
		return fmt.Errorf("%w (the server refers to another, which is not followed: name that one)", err)
	}
	return err
}
