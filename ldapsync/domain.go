package ldapsync

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// domains are the names, canonical, that may stand with a login name.
type domains []string

func newDomains(names []string) (domains, error) {
	var all domains
	for _, name := range names {
		canonical, err := Canonical(name)
		if err != nil || strings.ContainsAny(name, `\@`) {
			return nil, errors.New(`want names such as "example.com" or "EXAMPLE"`)
		}
		all = append(all, canonical)
	}
	return all, nil
}

// domainsOf returns the names that go with a base DN such as
// "dc=example,dc=com": example.com, and example as Active Directory shortens it.
func domainsOf(base string) []string {
	parsed, err := ldap.ParseDN(base)
	if err != nil {
		return nil
	}
	var labels []string
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			if strings.EqualFold(a.Type, "dc") {
				labels = append(labels, a.Value)
			}
		}
	}
	if len(labels) < 2 {
		return labels
	}
	return []string{strings.Join(labels, "."), labels[0]}
}

// bare returns the canonical name without its domain, and whether it had one of d.
func (d domains) bare(name string) (string, bool) {
	domain, rest, ok := strings.Cut(name, `\`)
	if !ok {
		i := strings.LastIndexByte(name, '@')
		if i < 0 {
			return name, false
		}
		rest, domain = name[:i], name[i+1:]
	}
	rest = strings.TrimSpace(rest)
	if rest == "" || !slices.Contains(d, domain) {
		return name, false
	}
	return rest, true
}

// Canonical returns the name under which name, in any spelling and with or
// without a domain, is known, or would be: failures at names that nobody has
// must be counted as those at names that somebody has. The error is a [*NameError].
func (d *Directory) Canonical(name string) (string, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return "", err
	}
	if bare, ok := d.domains.bare(canonical); ok {
		if _, err := d.replica.lookup(canonical, unopened); err != nil {
			return bare, nil
		}
	}
	return canonical, nil
}

// lookup finds the account of a canonical name, and notes what it was read of.
func (d *Directory) lookup(name string, to depth) (Account, error) {
	// Counted before the look, so that what changes during it makes a difference.
	read := reading{d.replica, d.replica.changes.Load()}
	a, err := d.either(name, to)
	a.read = read
	return a, err
}

// either finds the account of a canonical name, or of what is left of it without
// a domain. Where both are somebody's, nobody can say who is meant.
func (d *Directory) either(name string, to depth) (Account, error) {
	a, err := d.replica.lookup(name, to)
	bare, ok := d.domains.bare(name)
	if !ok {
		return a, err
	}
	b, bareErr := d.replica.lookup(bare, to)
	switch {
	case errors.Is(err, ErrNoAccount):
		return b, bareErr
	case errors.Is(bareErr, ErrNoAccount) || a.ID == b.ID:
		return a, err
	}
	return Account{}, ErrAmbiguous
}
