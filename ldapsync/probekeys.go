package ldapsync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// probeKeys finds out who can do what with the keys of a few entries. Whoever is on c
// is the service account.
func (p *poller) probeKeys(ctx context.Context, c *conn, r *Probe) {
	k, entries := &r.Keys, p.samples(ctx, c)
	if k.Entries = len(entries); k.Entries == 0 {
		k.Keyless = p.keyless(ctx, c)
		return
	}
	k.Service = most(entries, func(dn string) Right { return c.canRead(ctx, dn, p.schema.key) })
	nobody, err := r.withoutBind(ctx)
	if err != nil {
		return
	}
	defer nobody.close()
	k.Anonymous = most(entries, func(dn string) Right { return nobody.canRead(ctx, dn, p.schema.key) })
	k.AnonymousFinds = most(entries, func(dn string) Right { return nobody.canFind(ctx, dn, p.schema.key) })
	k.AnonymousWrites = nobody.canWrite(ctx, entries[0], p.schema.key)
	if k.Anonymous == Denied {
		// Elsewhere, perhaps.
		k.Anonymous = more(k.Anonymous, nobody.readsAny(ctx, p.cfg.BaseDN, p.schema.key))
	}
}

// samples returns the DNs of entries that have a key, as far as the service account
// can find them by it.
func (p *poller) samples(ctx context.Context, c *conn) (dns []string) {
	found, _, _ := c.find(ctx, p.cfg.BaseDN, ldap.ScopeWholeSubtree, "("+p.schema.key+"=*)", sampled, "1.1")
	for _, e := range found {
		dns = append(dns, e.DN)
	}
	return dns
}

// keyless tells whether there are entries that are tokens and have no key, as far as
// can be seen.
func (p *poller) keyless(ctx context.Context, c *conn) bool {
	if p.schema.classToken == "" {
		return false
	}
	found, _, _ := c.find(ctx, p.cfg.BaseDN, ldap.ScopeWholeSubtree, "(objectClass="+p.schema.classToken+")", 1, "1.1")
	return len(found) > 0
}

// most returns the most that is granted for any of the entries. It is Denied only if it
// is for all of them.
func most(entries []string, right func(dn string) Right) Right {
	r := Denied
	for _, dn := range entries {
		r = more(r, right(dn))
	}
	return r
}

// more returns the one of the two that there is more to worry about.
func more(a, b Right) Right {
	switch {
	case a == Granted || b == Granted:
		return Granted
	case a == Untold || b == Untold:
		return Untold
	}
	return Denied
}

// canRead tells whether whoever is bound on c gets the value.
func (c *conn) canRead(ctx context.Context, dn, attr string) Right {
	found, told, _ := c.find(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, attr)
	if !told {
		return Untold
	}
	if len(found) == 1 && len(rawValues(found[0], attr)) > 0 {
		return Granted
	}
	return c.canReadIf(ctx, dn, attr)
}

// canReadIf is canRead for who may see the entry only by that attribute.
func (c *conn) canReadIf(ctx context.Context, dn, attr string) Right {
	found, told, _ := c.find(ctx, dn, ldap.ScopeBaseObject, "("+attr+"=*)", 1, attr)
	switch {
	case !told:
		return Untold
	case len(found) == 1 && len(rawValues(found[0], attr)) > 0:
		return Granted
	}
	return Denied
}

// canFind tells whether whoever is bound on c can have the attribute in a filter, and so
// try values of it.
func (c *conn) canFind(ctx context.Context, dn, attr string) Right {
	found, told, _ := c.find(ctx, dn, ldap.ScopeBaseObject, "("+attr+"=*)", 1, "1.1")
	switch {
	case !told:
		return Untold
	case len(found) == 1:
		return Granted
	}
	return Denied
}

// readsAny is canRead for any entry below base.
func (c *conn) readsAny(ctx context.Context, base, attr string) Right {
	found, told, _ := c.find(ctx, base, ldap.ScopeWholeSubtree, "("+attr+"=*)", 1, attr)
	switch {
	case !told:
		return Untold
	case len(found) > 0 && len(rawValues(found[0], attr)) > 0:
		return Granted
	}
	return Denied
}

// canWrite tells whether whoever is bound on c may change the attribute, without a
// change: it asks for a value to be taken away that is not there. A server refuses that
// for want of the right before it looks for the value (RFC 4511, section 4.6).
func (c *conn) canWrite(ctx context.Context, dn, attr string) Right {
	request := ldap.NewModifyRequest(dn, nil)
	request.Delete(attr, []string{rand.Text()})
	err := c.do(ctx, c.server.cfg.Timeout, func(l *ldap.Conn) error { return l.Modify(request) })
	switch {
	case err == nil, ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchAttribute):
		return Granted
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultStrongAuthRequired,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultOperationsError, ldap.LDAPResultNoSuchObject):
		return Denied // the last two by servers that hide it from those who are nobody
	}
	return Untold
}

// UserProbe is what an ordinary user can do with keys, as their own bind has shown.
type UserProbe struct {
	URL       string
	DN        string // of the user
	Attribute string // that keys are in
	Enrolled  bool   // they have a key in their entry, that the service account sees

	ReadsOwn, WritesOwn                 Right // Untold where there is nothing to read
	ReadsOther, FindsOther, WritesOther Right
	Others                              int // entries of others that were looked at; 0: nothing is known of these rights
}

// ProbeAs binds as the user of that name, at the first server that answers, and finds
// out what they can do with keys: their own, and those of others. It changes nothing. A
// [*PasswordError] says that the password was refused.
func (d *Directory) ProbeAs(ctx context.Context, name string, password opaque.Bytes) (r UserProbe, err error) {
	p, ok := d.source.(*poller)
	if !ok {
		return r, errors.New("the directory is a file, which nobody binds to")
	}
	if err := refusePassword(password.Reveal()); err != nil {
		return r, err
	}
	canonical, err := Canonical(name)
	if err != nil {
		return r, err
	}
	err = p.group.try(ctx, func(ctx context.Context, s *server) error {
		r = UserProbe{URL: s.name, Attribute: p.schema.key}
		return p.probeAs(ctx, s, canonical, password, &r)
	})
	return r, err
}

func (p *poller) probeAs(ctx context.Context, s *server, name string, password opaque.Bytes, r *UserProbe) error {
	c, err := s.bound(ctx, p.cfg.BindDN, p.cfg.BindPassword)
	if err != nil {
		return err
	}
	defer c.close()
	found, _, err := c.find(ctx, p.cfg.BaseDN, ldap.ScopeWholeSubtree, "("+p.schema.login+"="+ldap.EscapeFilter(name)+")", 2, p.schema.key)
	switch {
	case len(found) == 0 && err != nil:
		return fmt.Errorf("look for %q: %w", name, err)
	case len(found) == 0:
		return fmt.Errorf("%q: %w", name, ErrNoEntry)
	case len(found) > 1:
		return fmt.Errorf("%q: %w", name, ErrAmbiguous)
	}
	r.DN, r.Enrolled = found[0].DN, len(rawValues(found[0], p.schema.key)) > 0
	entries := p.samples(ctx, c)
	u, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer u.close()
	err = u.do(ctx, p.cfg.Timeout, func(l *ldap.Conn) error { return l.Bind(r.DN, string(password.Reveal())) })
	if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		return &PasswordError{Cause: "wrong"}
	}
	if err != nil {
		return fmt.Errorf("bind as %q: %w", r.DN, err)
	}
	r.look(ctx, u, entries)
	return nil
}

// look finds out what whoever is bound on u can do.
func (r *UserProbe) look(ctx context.Context, u *conn, entries []string) {
	r.ReadsOwn, r.WritesOwn = u.canRead(ctx, r.DN, r.Attribute), u.canWrite(ctx, r.DN, r.Attribute)
	others := slices.DeleteFunc(entries, func(dn string) bool { return strings.EqualFold(dn, r.DN) })
	if r.Others = len(others); r.Others > 0 {
		r.ReadsOther = most(others, func(dn string) Right { return u.canRead(ctx, dn, r.Attribute) })
		r.FindsOther = most(others, func(dn string) Right { return u.canFind(ctx, dn, r.Attribute) })
		r.WritesOther = u.canWrite(ctx, others[0], r.Attribute)
	}
	if !r.Enrolled && r.ReadsOwn == Denied {
		r.ReadsOwn = Untold // there is nothing to read
	}
}
