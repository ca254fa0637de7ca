package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// How far groups in groups are followed. A directory that has more is asked for
// trouble, and what was not looked at could be what matters: it is an error.
const (
	maxNesting = 10
	maxGroups  = 1000
)

// errGroups is wrapped where groups are nested deeper, or are more, than is
// looked at.
var errGroups = errors.New("too many groups")

// Membership tells which groups one account is in. It remembers what it has
// learned, so it is for one login. It must be used by one goroutine at a time.
type Membership struct {
	members members
	known   map[question]bool
}

// question is one about a group.
type question struct {
	group  string
	nested bool
}

// members answers questions about one account.
type members interface {
	in(ctx context.Context, group string, nested bool) (bool, error)
}

// Memberships returns what a is a member of. It asks nothing yet.
func (d *Directory) Memberships(a Account) *Membership {
	return &Membership{members: d.source.memberships(a), known: map[question]bool{}}
}

// In reports whether the account is a member of the group with that DN, in any
// spelling; with nested also if it is a member of a group in that group, down
// to ten levels.
//
// A group lists its members by member or uniqueMember, or people by memberUid.
// On Active Directory it does so by member, and people are members of their
// primary group too. Elsewhere groups in groups are looked for below the lowest
// entry that is above both the base DN and the group.
//
// Nobody is a member of a group that is not there, or that the service account
// may not read: see [Directory.Group]. An error means that it could not be
// told, which is neither yes nor no.
func (m *Membership) In(ctx context.Context, group string, nested bool) (bool, error) {
	q := question{group, nested}
	if yes, ok := m.known[q]; ok {
		return yes, nil
	}
	yes, err := m.members.in(ctx, group, nested)
	if err != nil {
		return false, fmt.Errorf("look for the account in group %q: %w", group, err)
	}
	m.known[q] = yes
	return yes, nil
}

// Group is what can be seen of a group.
type Group struct {
	Found   bool // there is an entry of that DN
	Members bool // it lists members
}

// Group looks at the group with that DN. An error means that it could not.
func (d *Directory) Group(ctx context.Context, dn string) (Group, error) {
	g, err := d.source.groupAt(ctx, dn)
	if err != nil {
		return Group{}, fmt.Errorf("look at group %q: %w", dn, err)
	}
	return g, nil
}

// memberAttributes are those that a group lists its members in.
var memberAttributes = []string{"member", "uniqueMember", "memberUid"}

// ascent goes up from an account to the groups that it is in, one level at a
// time and only as far as it is asked about.
type ascent struct {
	// parents returns the DNs of the groups that list any of the given entries.
	parents func(ctx context.Context, of []string) ([]string, error)

	seen  map[string]bool // groups, by normalised DN
	top   []string        // the DNs of the last level, whose groups are not known yet
	level int
	err   error // of the first failure, after which seen may lack some
}

func newAscent(account string, parents func(context.Context, []string) ([]string, error)) *ascent {
	return &ascent{parents: parents, seen: map[string]bool{}, top: []string{account}}
}

// reaches tells whether the account is in the group of a normalised DN.
func (a *ascent) reaches(ctx context.Context, group string) (bool, error) {
	for a.err == nil && !a.seen[group] && len(a.top) > 0 {
		a.err = a.climb(ctx)
	}
	return a.err == nil && a.seen[group], a.err
}

// climb goes up one level. Groups that were seen are not looked at again, so
// that circles end.
func (a *ascent) climb(ctx context.Context) error {
	found, err := a.parents(ctx, a.top)
	if err != nil {
		return err
	}
	var next []string
	for _, dn := range found {
		if norm := normalizeDN(dn); !a.seen[norm] {
			a.seen[norm] = true
			next = append(next, dn)
		}
	}
	a.level++
	if len(next) > 0 && a.level > maxNesting {
		return fmt.Errorf("%w: nested more than %d deep", errGroups, maxNesting)
	}
	if len(a.seen) > maxGroups {
		return fmt.Errorf("%w: the account is in more than %d", errGroups, maxGroups)
	}
	a.top = next
	return nil
}

// absences logs when a group is found to be missing, and when it is back.
type absences struct {
	log *slog.Logger
	mu  sync.Mutex // guards told
	// told has the groups that were said to be missing.
	told map[string]bool
}

func (a *absences) note(group string, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told[group] == !found {
		return
	}
	if a.told == nil {
		a.told = map[string]bool{}
	}
	a.told[group] = !found
	if found {
		a.log.Info("group is there now", "group", group)
		return
	}
	a.log.Warn("group is not there, or the service account may not read it: it has no members", "group", group)
}
