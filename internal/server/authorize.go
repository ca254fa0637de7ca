package server

import (
	"context"
	"errors"
	"fmt"

	"lockstep/config"
	"lockstep/internal/radius"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

// rules are those that can match at one client.
type rules struct {
	list []config.Rule
	dir  *directory
}

func rulesAt(client string, all []config.Rule, dir *directory) rules {
	r := rules{dir: dir}
	for _, rule := range all {
		if rule.At(client) {
			r.list = append(r.list, rule)
		}
	}
	return r
}

// authorize returns what the verifier asks about a login, or nil where there is
// nothing to ask. It puts the rule that decides into chosen, nil if none does.
func (r rules) authorize(chosen **config.Rule) func(context.Context, verifier.Account) error {
	if len(r.list) == 0 {
		return nil
	}
	began := r.dir.current.Load()
	return func(ctx context.Context, a verifier.Account) error {
		rule, err := r.first(ctx, a, began)
		if err != nil {
			return err
		}
		*chosen = rule
		if rule != nil && rule.Deny {
			return &verifier.DeniedError{Cause: "rule " + rule.Name}
		}
		return nil
	}
}

// first returns the first rule that matches a, or nil. No rule is passed over
// because its group could not be asked about: it might be the one that refuses.
// Nor because a reload has brought another directory since the login began, which
// may not have a group of that name.
func (r rules) first(ctx context.Context, a verifier.Account, began *ldapsync.Directory) (*config.Rule, error) {
	dir, entry, err := r.dir.entry(a)
	if err == nil && dir != began {
		err = errors.New("the configuration has changed meanwhile")
	}
	if err != nil {
		return nil, err
	}
	groups := dir.Memberships(entry)
	for i := range r.list {
		rule := &r.list[i]
		if rule.Groups == nil {
			return rule, nil
		}
		for _, group := range rule.Groups {
			if in, err := groups.In(ctx, group, rule.Nested); in || err != nil {
				return rule, err
			}
		}
		if rule.Deny {
			if err := mustBeThere(ctx, dir, rule); err != nil {
				return rule, err
			}
		}
	}
	return nil, nil
}

// mustBeThere makes sure that the groups that keep people out have not just been
// renamed, or hidden from the service account: nobody is in them then.
func mustBeThere(ctx context.Context, dir *ldapsync.Directory, rule *config.Rule) error {
	for _, group := range rule.Groups {
		g, err := dir.Group(ctx, group)
		if err == nil && !g.Found {
			err = errors.New("it is not there, or the service account may not read it")
		}
		if err != nil {
			return fmt.Errorf("group %q of rule %q, which refuses its members: %w", group, rule.Name, err)
		}
	}
	return nil
}

// reply returns the attributes that a rule gives.
func reply(rule *config.Rule) (all []radius.Attribute) {
	if rule == nil {
		return nil
	}
	for _, a := range rule.Reply {
		all = append(all, radius.Attribute{Type: radius.Type(a.Type), Value: a.Value})
	}
	return all
}
