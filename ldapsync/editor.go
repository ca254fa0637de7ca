package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// serverEditor writes to an LDAP server, on a connection of its own.
type serverEditor struct {
	*poller
	conn *conn
	as   string // DN
}

// editor implements source.
func (p *poller) editor(ctx context.Context, o EnrollOptions) (editor, error) {
	dn, password := p.cfg.BindDN, p.cfg.BindPassword
	if o.BindDN != "" {
		dn, password = o.BindDN, o.BindPassword
		if password.Len() == 0 {
			return nil, fmt.Errorf("no password for %q", dn)
		}
	}
	w := &serverEditor{poller: p, as: or(dn, "anonymous")}
	err := p.group.try(ctx, func(ctx context.Context, s *server) (err error) {
		w.conn, err = s.bound(ctx, dn, password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, w.meet(ctx)
}

// meet sees to it that no key is written in clear where everybody could read it.
func (w *serverEditor) meet(ctx context.Context) error {
	info, err := w.conn.rootDSE(ctx, w.cfg.BaseDN)
	if err != nil {
		w.close()
		return err
	}
	if info.mustSeal(w.schema.key) {
		w.replica.sealedOnly.Store(true)
	}
	return nil
}

func (w *serverEditor) close() { w.conn.close() }

// find implements editor.
func (w *serverEditor) find(ctx context.Context, name string) (holder, error) {
	s := &w.schema
	entries, err := w.people(ctx, name)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || err == nil && len(entries) > 1:
		return holder{}, ErrAmbiguous
	case err != nil:
		return holder{}, fmt.Errorf("find the entry: %w", w.hint(err))
	case len(entries) == 0:
		return holder{}, ErrNoEntry
	}
	p := holder{target: targetOf(entries[0])}
	// The server's idea of equal names is wider than ours: what it found must
	// be rawEntry at login, too.
	if !hasName(p.get(s.login), name) {
		return holder{}, ErrNoEntry
	}
	if s.owner == "" {
		return p, nil
	}
	tokens, err := w.search(ctx, "(&(objectClass="+s.classToken+")("+s.owner+"="+ldap.EscapeFilter(p.dn)+"))", 0)
	if err != nil {
		return holder{}, fmt.Errorf("find the tokens of %q: %w", p.dn, w.hint(err))
	}
	for _, t := range tokens {
		p.tokens = append(p.tokens, targetOf(t))
	}
	return p, nil
}

// people returns the entries that have name. FreeIPA shows everybody a second time
// below cn=compat, where nothing can be written.
func (w *serverEditor) people(ctx context.Context, name string) ([]*ldap.Entry, error) {
	limit := 2
	if w.schema.owner != "" {
		limit = 4
	}
	entries, err := w.search(ctx, "("+w.schema.login+"="+ldap.EscapeFilter(name)+")", limit)
	if w.schema.owner != "" {
		compat := ",cn=compat," + normalizeDN(w.cfg.BaseDN)
		entries = slices.DeleteFunc(entries, func(e *ldap.Entry) bool { return strings.HasSuffix(normalizeDN(e.DN), compat) })
	}
	return entries, err
}

func (w *serverEditor) search(ctx context.Context, filter string, limit int) ([]*ldap.Entry, error) {
	attributes := w.schema.attributes()
	if w.schema.directory { // for whoever may read keys, unlike the service account
		attributes = append(attributes, w.schema.key)
	}
	request := ldap.NewSearchRequest(w.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, limit, 0, false,
		filter, attributes, nil)
	var result *ldap.SearchResult
	err := w.conn.do(ctx, 4*w.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}

func targetOf(e *ldap.Entry) target {
	return target{dn: e.DN, get: func(attr string) []string { return e.GetEqualFoldAttributeValues(attr) }}
}

// apply implements editor.
func (w *serverEditor) apply(ctx context.Context, e edit) error {
	err := w.conn.do(ctx, w.cfg.Timeout, func(l *ldap.Conn) error { return e.send(l) })
	switch {
	case err == nil:
		return nil
	case !isAnswer(err):
		return fmt.Errorf("write %s to %q: %w: %w", w.schema.key, e.dn, ErrUncertain, err)
	}
	return fmt.Errorf("write %s to %q: %w%s", w.schema.key, e.dn, err, w.explain(err, e))
}

func hasName(values []string, name string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		canonical, err := Canonical(v)
		return err == nil && canonical == name
	})
}

func isClass(have, class string) bool { return strings.EqualFold(have, class) }

// explain says what an admin can do about err, which is why e was not done.
func (w *serverEditor) explain(err error, e edit) string {
	s := &w.schema
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return ""
	}
	if holdsAny(answer.Err.Error(), "multiple values") {
		// Code 19 of OpenLDAP, and 65 of 389-DS.
		return fmt.Sprintf(" (may %s have several values here? Else -replace the one that is there, which somebody else may have added just now)", s.key)
	}
	switch answer.ResultCode {
	case ldap.LDAPResultInsufficientAccessRights:
		return fmt.Sprintf(" (%s may not write %s there; grant it, or bind as somebody who may)", w.as, e.what(s.key))
	case ldap.LDAPResultConstraintViolation:
		return fmt.Sprintf(" (may %s have several values here? Else -replace the one that is there)", s.key)
	case ldap.LDAPResultNoSuchObject:
		return fmt.Sprintf(" (is %q the base DN, and is there what %q is to be put below?)", w.cfg.BaseDN, e.dn)
	case ldap.LDAPResultObjectClassViolation, ldap.LDAPResultUndefinedAttributeType, ldap.LDAPResultInvalidAttributeSyntax:
		if s.name == "oath" {
			return " (does the directory know the OATH schema? On OpenLDAP: moduleload otp)"
		}
		return fmt.Sprintf(" (does an object class of the entry allow %s?)", s.key)
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists:
		return " (somebody else changed it meanwhile)"
	}
	return ""
}
