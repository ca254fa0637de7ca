package ldapsync

import (
	"context"
	"slices"
	"strings"

	"lockstep/ldapsync/ldif"
)

// fileGroups is who lists whom in a file. It is never changed.
type fileGroups struct {
	entries map[string]Group    // by normalised DN
	listers map[string][]string // the groups that list an entry, by normalised DN
}

// newFileGroups reads the groups among records. Names in memberUid are those of
// the attributes uid and login, in any spelling that can log in.
func newFileGroups(login string, records []ldif.Record) *fileGroups {
	g := &fileGroups{entries: map[string]Group{}, listers: map[string][]string{}}
	named := map[string][]string{}
	for _, r := range records {
		norm := normalizeDN(r.DN)
		for _, attr := range []string{"uid", login} {
			for _, v := range attrValues(r, attr) {
				if name, err := Canonical(v); err == nil {
					named[name] = append(named[name], norm)
				}
			}
		}
	}
	for _, r := range records {
		g.add(r, named)
	}
	return g
}

func (g *fileGroups) add(r ldif.Record, named map[string][]string) {
	group := normalizeDN(r.DN)
	var listed []string
	for _, attr := range []string{"member", "uniqueMember"} {
		for _, v := range attrValues(r, attr) {
			listed = append(listed, normalizeDN(v))
		}
	}
	for _, v := range attrValues(r, "memberUid") {
		if name, err := Canonical(v); err == nil {
			listed = append(listed, named[name]...)
		}
	}
	g.entries[group] = Group{Found: true, Members: len(listed) > 0}
	for _, dn := range listed {
		if !slices.Contains(g.listers[dn], group) {
			g.listers[dn] = append(g.listers[dn], group)
		}
	}
}

// fileMembers is what an account is a member of in a file.
type fileMembers struct {
	*fileGroups
	absences *absences
	dn       string
	ascent   *ascent
}

// memberships implements source.
func (f *file) memberships(a Account) members {
	m := &fileMembers{fileGroups: f.groups.Load(), absences: &f.absences, dn: normalizeDN(a.DN)}
	m.ascent = newAscent(m.dn, m.parents)
	return m
}

// groupAt implements source.
func (f *file) groupAt(_ context.Context, dn string) (Group, error) {
	g := f.groups.Load()
	if g == nil {
		return Group{}, ErrNotReady
	}
	return g.entries[normalizeDN(dn)], nil
}

// in implements members.
func (m *fileMembers) in(ctx context.Context, group string, nested bool) (bool, error) {
	if m.fileGroups == nil {
		return false, ErrNotReady
	}
	norm := normalizeDN(group)
	m.absences.note(group, m.entries[norm].Found)
	if nested {
		return m.ascent.reaches(ctx, norm)
	}
	return slices.Contains(m.listers[m.dn], norm), nil
}

func (m *fileMembers) parents(_ context.Context, of []string) (all []string, _ error) {
	for _, dn := range of {
		all = append(all, m.listers[dn]...)
	}
	return all, nil
}

func attrValues(r ldif.Record, attr string) []string { return r.Attrs[strings.ToLower(attr)] }
