package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

// ldapGroups asks an LDAP directory about groups, as the service account.
type ldapGroups struct {
	cfg      *Config
	login    string
	pool     *pool[*conn]
	absences absences

	mu      sync.Mutex        // guards what follows; never held across the network
	isAD    *bool             // nil before it is known
	spelled map[string]string // the normalised DN of a group as the server spells it, by the DN in question
	primary map[string]string // the DN of a primary group, by its SID
}

// A search takes less than a bind and waits for fewer, so that a frozen
// directory leaves the RADIUS server workers for the logins that need none: see
// maxWaiting.
const (
	mostSearches    = 32
	maxWaitingGroup = 64
)

func newLDAPGroups(g *group, login string) *ldapGroups {
	p := newPool(g, min(g.cfg.Pool, mostSearches), maxWaitingGroup, func(ctx context.Context, s *server) (*conn, error) {
		return s.bound(ctx, s.cfg.BindDN, s.cfg.BindPassword)
	})
	return &ldapGroups{
		cfg: g.cfg, login: login, pool: p, absences: absences{log: g.cfg.Log},
		spelled: map[string]string{}, primary: map[string]string{},
	}
}

// memberships implements source.
func (p *poller) memberships(a Account) members { return &ldapMembers{ldapGroups: p.groups, dn: a.DN} }

// groupAt implements source.
func (p *poller) groupAt(ctx context.Context, dn string) (Group, error) {
	e, err := p.groups.entry(ctx, dn, "(objectClass=*)", memberAttributes...)
	if err != nil || e == nil {
		return Group{}, err
	}
	g := Group{Found: true}
	for _, attr := range e.Attributes {
		// Active Directory answers with "member;range=0-1499" where there are many.
		name, _, _ := strings.Cut(attr.Name, ";")
		g.Members = g.Members || slices.ContainsFunc(memberAttributes, func(m string) bool { return strings.EqualFold(m, name) })
	}
	return g, nil
}

// search returns what one search finds, or an error if that may not be all.
func (g *ldapGroups) search(ctx context.Context, base string, scope int, filter string, types bool, attrs []string) (found []*ldap.Entry, err error) {
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, maxGroups+1, 0, types, filter, attrs, nil)
	var result *ldap.SearchResult
	err = g.pool.use(ctx, func(ctx context.Context, c *conn) error {
		return c.do(ctx, g.cfg.Timeout, func(l *ldap.Conn) (err error) {
			result, err = l.Search(request)
			return err
		})
	})
	switch {
	case err != nil:
		return nil, err
	case len(result.Referrals) > 0:
		return nil, fmt.Errorf("part of what is below %q is at another server, which is not followed", base)
	}
	return result.Entries, nil
}

// entry returns the entry of a DN if it matches, with the names of attributes,
// or nil.
func (g *ldapGroups) entry(ctx context.Context, dn, filter string, attrs ...string) (*ldap.Entry, error) {
	found, err := g.search(ctx, dn, ldap.ScopeBaseObject, filter, true, attrs)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		g.absences.note(dn, false)
		return nil, nil
	case err != nil:
		return nil, g.hint(err, dn)
	}
	g.absences.note(dn, true)
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// hint adds to a server's answer what an admin can do about it.
func (g *ldapGroups) hint(err error, base string) error {
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded):
		return fmt.Errorf("%w (are member, uniqueMember and memberUid indexed, and are the limits of %q high enough?)", err, g.cfg.BindDN)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return fmt.Errorf("%w (may %q search below %q?)", err, g.cfg.BindDN, base)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultReferral):
		return fmt.Errorf("%w (%q is at another server, which is not followed)", err, base)
	}
	return err
}

// none asks for no attributes (RFC 4511, section 4.5.1.8).
const none = "1.1"

// spelling returns the normalised DN of a group as the server spells it, "" if
// it is not there: only the server knows that "commonName=x" is "cn=x".
func (g *ldapGroups) spelling(ctx context.Context, dn string) (string, error) {
	g.mu.Lock()
	norm, ok := g.spelled[dn]
	g.mu.Unlock()
	if ok {
		return norm, nil
	}
	e, err := g.entry(ctx, dn, "(objectClass=*)", none)
	if err != nil || e == nil {
		return "", err
	}
	norm = normalizeDN(e.DN)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spelled[dn] = norm
	return norm, nil
}

// ldapMembers is what an account is a member of in an LDAP directory.
type ldapMembers struct {
	*ldapGroups
	dn string

	loaded  bool
	names   []string           // that memberUid may have
	ad      bool               // at Active Directory
	primary string             // there, the SID of the primary group, in octets
	ascents map[string]*ascent // by base
}

// in implements members.
func (m *ldapMembers) in(ctx context.Context, group string, nested bool) (bool, error) {
	if err := m.load(ctx); err != nil {
		return false, err
	}
	switch {
	case m.ad:
		return m.inAD(ctx, group, nested)
	case nested:
		return m.above(ctx, group)
	}
	e, err := m.entry(ctx, group, listing([]string{m.dn}, m.names), none)
	if e == nil && err == nil {
		err = m.still(ctx)
	}
	return e != nil, err
}

// still returns nil if the account is where it was. A server that loads its data
// says of every group that it is not there, and need not be the one that load asked.
func (m *ldapMembers) still(ctx context.Context) error {
	found, err := m.search(ctx, m.dn, ldap.ScopeBaseObject, "(objectClass=*)", true, []string{none})
	if err == nil && len(found) == 0 {
		err = errors.New("it is not there")
	}
	if err != nil {
		return fmt.Errorf("read the account's entry again: %w", err)
	}
	return nil
}

// load reads of the account's entry what groups may list it by. It must be
// there: some servers say of every entry that it is not there while they load
// their data, and an account in no group is one that no rule refuses.
func (m *ldapMembers) load(ctx context.Context) error {
	if m.loaded {
		return nil
	}
	ad, err := m.activeDirectory(ctx)
	if err != nil {
		return err
	}
	found, err := m.search(ctx, m.dn, ldap.ScopeBaseObject, "(objectClass=*)", false, []string{"uid", m.login, attrSID, attrPrimaryGroup})
	if err != nil {
		return fmt.Errorf("read the account's entry: %w", err)
	}
	if len(found) == 0 {
		return errors.New("the account's entry is not there any more")
	}
	if m.ad = ad; ad {
		if m.primary, err = primarySID(found[0]); err != nil {
			return err
		}
	}
	m.names = append(found[0].GetEqualFoldAttributeValues("uid"), found[0].GetEqualFoldAttributeValues(m.login)...)
	slices.Sort(m.names)
	m.names, m.loaded = slices.Compact(m.names), true
	return nil
}

// above tells whether the account is in a group or in one below it.
func (m *ldapMembers) above(ctx context.Context, group string) (bool, error) {
	norm, err := m.spelling(ctx, group)
	if err == nil && norm == "" {
		err = m.still(ctx)
	}
	if err != nil || norm == "" {
		return false, err
	}
	base := lowestAbove(m.cfg.BaseDN, group)
	if m.ascents[base] == nil {
		if m.ascents == nil {
			m.ascents = map[string]*ascent{}
		}
		m.ascents[base] = newAscent(m.dn, func(ctx context.Context, of []string) ([]string, error) {
			if of[0] == m.dn {
				return m.listers(ctx, base, of, m.names)
			}
			return m.listers(ctx, base, of, nil)
		})
	}
	return m.ascents[base].reaches(ctx, norm)
}

// perSearch is how many entries one search asks about: servers limit requests.
const perSearch = 50

// listers returns the DNs of the groups below base that list any of the entries
// or names.
func (g *ldapGroups) listers(ctx context.Context, base string, dns, names []string) (all []string, err error) {
	for some := range slices.Chunk(dns, perSearch) {
		found, err := g.search(ctx, base, ldap.ScopeWholeSubtree, listing(some, names), true, []string{none})
		if link := (*linkError)(nil); errors.As(err, &link) && link.timeout {
			return nil, fmt.Errorf("%w (if others are answered: are member, uniqueMember and memberUid indexed?)", err)
		}
		if err != nil {
			return nil, g.hint(err, base)
		}
		for _, e := range found {
			all = append(all, e.DN)
		}
		if len(all) > maxGroups {
			break // and the caller refuses so many
		}
	}
	return all, nil
}

// listing is the filter for groups that list any of the entries or names.
func listing(dns, names []string) string {
	var b strings.Builder
	b.WriteString("(|")
	is := func(attr, value string) { b.WriteString("(" + attr + "=" + ldap.EscapeFilter(value) + ")") }
	for _, dn := range dns {
		is("member", dn)
		is("uniqueMember", dn)
	}
	for _, name := range names {
		is("memberUid", name)
	}
	return b.String() + ")"
}

// lowestAbove returns the DN of the lowest entry that has both base and group
// at or below it, or of the group's parent if there is none.
func lowestAbove(base, group string) string {
	b, bErr := ldap.ParseDN(normalizeDN(base))
	g, gErr := ldap.ParseDN(normalizeDN(group))
	as, err := ldap.ParseDN(group)
	if err := errors.Join(bErr, gErr, err); err != nil {
		return base
	}
	n, most := 0, min(len(b.RDNs), len(g.RDNs))
	for n < most && b.RDNs[len(b.RDNs)-1-n].String() == g.RDNs[len(g.RDNs)-1-n].String() {
		n++
	}
	if n == 0 {
		n = max(0, len(g.RDNs)-1)
	}
	return (&ldap.DN{RDNs: as.RDNs[len(as.RDNs)-n:]}).String()
}
