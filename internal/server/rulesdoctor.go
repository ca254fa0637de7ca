package server

import (
	"context"
	"slices"

	"lockstep/config"
	"lockstep/ldapsync"
)

// rules tells of each group in a rule that nobody is seen in. That may
// be a wrong name, or rights that the service account lacks, and then a rule
// that should refuse lets in.
func (r *report) rules(ctx context.Context, list []config.Rule, dir *ldapsync.Directory) {
	if len(list) == 0 {
		return
	}
	var seen []string
	for _, rule := range list {
		for _, dn := range rule.Groups {
			if slices.Contains(seen, dn) {
				continue
			}
			seen = append(seen, dn)
			if !r.ruleGroup(ctx, "rule "+rule.Name, dn, dir) {
				return // the others would not fare better
			}
		}
	}
	r.ok("rules.groups", "rules", "%d, about %s", len(list), count(len(seen), "group"))
}

// ruleGroup reports whether the directory could be asked.
func (r *report) ruleGroup(ctx context.Context, subject, dn string, dir *ldapsync.Directory) bool {
	const id = "rules.groups"
	switch group, err := dir.Group(ctx, dn); {
	case err != nil:
		r.bad(id, subject, "nobody whom the rule could be about can log in until it can be asked", "%v", err)
		return false
	case !group.Found:
		r.bad(id, subject, "put the name right in the configuration, or let the service account read the group",
			"group %q is not there, or the service account may not read it: it has no members", dn)
	case !group.Members:
		r.bad(id, subject, "if it has some, let the service account read member, uniqueMember and memberUid",
			"group %q lists no members that the service account can see", dn)
	}
	return true
}
