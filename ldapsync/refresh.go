package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	pageSize = 500

	// slack is how far before the newest change seen the next search begins:
	// changes are stamped when they begin and seen when they end.
	slack = 5 * time.Second
)

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
		if err == nil {
			p.conn, p.fresh, p.watermark = c, true, ""
		}
		return err
	})
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
	var link *linkError
	if errors.As(err, &link) && p.conn != nil {
		if ctx.Err() == nil {
			// The binds of users go elsewhere then, too.
			p.conn.server.health.leave(p.cfg.Now(), err)
		}
		p.drop()
	}
	return err
}

// readAll reads everything and makes it the content, if it is complete.
func (p *poller) readAll(ctx context.Context) error {
	entries, err := p.collect(ctx, p.schema.filter())
	if err != nil {
		return fmt.Errorf("read all accounts: %w", err)
	}
	if gone, of := p.replica.removals(entries); gone > max(10, of/10) {
		p.cfg.Log.Error("a refresh would remove many accounts, reading again to be sure", "removed", gone, "of", of)
		p.drop()
		if err := p.connect(ctx); err != nil {
			return err
		}
		if entries, err = p.collect(ctx, p.schema.filter()); err != nil {
			return fmt.Errorf("read all accounts again: %w", err)
		}
		gone, of = p.replica.removals(entries)
		p.cfg.Log.Error("read again", "removed", gone, "of", of)
	}
	p.advance(entries)
	p.fresh = false
	before, _, _ := p.replica.state()
	p.replica.replace(entries, p.cfg.Now())
	if _, enrolled, _ := p.replica.state(); !before {
		p.cfg.Log.Info("directory read", "url", p.conn.server.name, "entries", enrolled)
		if enrolled == 0 {
			p.cfg.Log.Warn("no enrolled account found: is the base DN right, and may the service account read the key attribute?",
				"base", p.cfg.BaseDN, "attribute", p.schema.key)
		}
	}
	return nil
}

// changes reads what has changed since the newest change seen. The filter asks
// for no key, so that an entry that has lost its key is found too.
func (p *poller) changes(ctx context.Context) error {
	filter := "(objectClass=*)"
	if p.watermark != "" {
		filter = "(modifyTimestamp>=" + p.watermark + ")"
	}
	entries, err := p.collect(ctx, filter)
	if err != nil {
		return fmt.Errorf("read changed accounts: %w", err)
	}
	p.advance(entries)
	p.replica.merge(entries)
	return nil
}

// advance sets where the next search for changes begins, by the server's time.
func (p *poller) advance(entries []*entry) {
	const layout = "20060102150405Z"
	for _, e := range entries {
		at, err := time.Parse("20060102150405Z0700", e.changed) // with a fraction, too
		if err != nil {
			continue
		}
		if mark := at.UTC().Add(-slack).Format(layout); mark > p.watermark {
			p.watermark = mark
		}
	}
}

// collect returns the entries that match, or an error if there may be more.
// What the server only refers to (RFC 4511, section 4.5.3) is part of another
// directory: Active Directory always refers to its DNS zones.
func (p *poller) collect(ctx context.Context, filter string) ([]*entry, error) {
	var entries []*entry
	paging := ldap.NewControlPaging(pageSize)
	for {
		page, err := p.page(ctx, filter, paging)
		if err != nil {
			return nil, err
		}
		for _, found := range page.Entries {
			get := func(attr string) []string { return found.GetEqualFoldAttributeValues(attr) }
			entries = append(entries, p.schema.newEntry(found.DN, get))
		}
		next, _ := ldap.FindControl(page.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			return entries, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

func (p *poller) page(ctx context.Context, filter string, paging *ldap.ControlPaging) (page *ldap.SearchResult, err error) {
	request := ldap.NewSearchRequest(p.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		filter, p.schema.attributes(), []ldap.Control{paging})
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
