package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/ldif"
)

// change is what one enrolment does to an entry.
type change struct {
	classes []string // to add to objectClass
	key     string   // the attribute
	remove  []string // values of it that go
	add     string   // the value that comes
	keep    []string // values of it that stay
	params  map[string][]string
}

// enrolment returns the change that makes an entry, with the attributes of
// get, have e. It is [ErrEnrolled] if there is a key and o does not replace.
func (s schema) enrolment(e Enrolment, o EnrollOptions, get func(attr string) []string) (change, error) {
	c := change{key: s.key, add: s.encodeKey(e.Key)}
	for _, v := range get(s.key) {
		if len(s.keys([]string{v})) > 0 {
			c.remove = append(c.remove, v)
		} else {
			c.keep = append(c.keep, v)
		}
	}
	if len(c.remove) > 0 && !o.Replace {
		return c, ErrEnrolled
	}
	isDefault := e.Algorithm == defaults.Algorithm && e.Digits == defaults.Digits && e.Period == defaults.Period
	if !s.hasParams() {
		if !isDefault {
			return c, fmt.Errorf("schema %q has no place for parameters: only SHA1, 6 digits and 30 s can be enrolled", s.name)
		}
		return c, nil
	}
	c.addClass(classToken, get("objectClass"))
	own := parameters{algorithm: get(attrAlgorithm), digits: get(attrDigits), period: get(attrPeriod)}
	if !isDefault || !own.none() || len(get(attrParams)) > 0 {
		p := e.values()
		c.params = map[string][]string{attrAlgorithm: p.algorithm, attrDigits: p.digits, attrPeriod: p.period}
		c.addClass(classParams, get("objectClass"))
	}
	return c, nil
}

func (c *change) addClass(class string, have []string) {
	if !slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, class) }) {
		c.classes = append(c.classes, class)
	}
}

func (c change) ldif() []ldif.Change {
	var changes []ldif.Change
	if len(c.classes) > 0 {
		changes = append(changes, ldif.Change{Attr: "objectClass", Values: c.classes, Add: true})
	}
	changes = append(changes, ldif.Change{Attr: c.key, Values: append(slices.Clone(c.keep), c.add)})
	for _, attr := range []string{attrAlgorithm, attrDigits, attrPeriod} {
		if v := c.params[attr]; v != nil {
			changes = append(changes, ldif.Change{Attr: attr, Values: v})
		}
	}
	return changes
}

// modify names the old values, so that of two enrolments at once one fails.
func (c change) modify(dn string) *ldap.ModifyRequest {
	m := ldap.NewModifyRequest(dn, nil)
	if len(c.classes) > 0 {
		m.Add("objectClass", c.classes)
	}
	if len(c.remove) > 0 {
		m.Delete(c.key, c.remove)
	}
	m.Add(c.key, []string{c.add})
	for _, attr := range []string{attrAlgorithm, attrDigits, attrPeriod} {
		if v := c.params[attr]; v != nil {
			m.Replace(attr, v)
		}
	}
	return m
}

func hasName(values []string, name string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		canonical, err := Canonical(v)
		return err == nil && canonical == name
	})
}

// enroll implements source.
func (p *poller) enroll(ctx context.Context, name string, e Enrolment, o EnrollOptions) error {
	dn, password := p.cfg.BindDN, p.cfg.BindPassword
	if o.BindDN != "" {
		dn, password = o.BindDN, o.BindPassword
		if password.Len() == 0 {
			return fmt.Errorf("no password for %q", dn)
		}
	}
	var c *conn
	err := p.group.try(ctx, func(ctx context.Context, s *server) (err error) {
		c, err = s.bound(ctx, dn, password)
		return err
	})
	if err != nil {
		return err
	}
	defer c.close()
	found, err := p.find(ctx, c, name)
	if err != nil {
		return err
	}
	change, err := p.schema.enrolment(e, o, func(attr string) []string { return found.GetEqualFoldAttributeValues(attr) })
	if err != nil {
		return err
	}
	if o.DryRun {
		return nil
	}
	err = c.do(ctx, p.cfg.Timeout, func(l *ldap.Conn) error { return l.Modify(change.modify(found.DN)) })
	if err != nil {
		return fmt.Errorf("write %s to %q: %w%s", p.schema.key, found.DN, err, enrollHint(err, or(dn, "anonymous"), p.schema))
	}
	return nil
}

// find returns the one entry that has the canonical login name.
func (p *poller) find(ctx context.Context, c *conn, name string) (*ldap.Entry, error) {
	filter := "(" + p.schema.login + "=" + ldap.EscapeFilter(name) + ")"
	request := ldap.NewSearchRequest(p.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		filter, p.schema.attributes(), nil)
	var result *ldap.SearchResult
	err := c.do(ctx, 4*p.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || err == nil && len(result.Entries) > 1:
		return nil, ErrAmbiguous
	case err != nil:
		return nil, fmt.Errorf("find the entry: %w", p.hint(err))
	case len(result.Entries) == 0:
		return nil, ErrNoEntry
	}
	found := result.Entries[0]
	// The server's idea of equal names is wider than ours: what it found must
	// be found at login, too.
	if !hasName(found.GetEqualFoldAttributeValues(p.schema.login), name) {
		return nil, ErrNoEntry
	}
	return found, nil
}

func enrollHint(err error, dn string, s schema) string {
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return ""
	}
	switch answer.ResultCode {
	case ldap.LDAPResultInsufficientAccessRights:
		attrs := s.key
		if s.hasParams() {
			attrs += " and objectClass"
		}
		return fmt.Sprintf(" (%s may not write %s there; grant it, or bind as somebody who may)", dn, attrs)
	case ldap.LDAPResultObjectClassViolation, ldap.LDAPResultUndefinedAttributeType, ldap.LDAPResultInvalidAttributeSyntax:
		if s.hasParams() {
			return " (does the directory know the OATH schema? On OpenLDAP: moduleload otp)"
		}
		return fmt.Sprintf(" (does an object class of the entry allow %s?)", s.key)
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists:
		return " (somebody else changed it meanwhile)"
	}
	return ""
}
