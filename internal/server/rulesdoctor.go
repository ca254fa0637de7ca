package server

import (
	"context"
	"fmt"
	"slices"

	"lockstep/admin"
)

// ruleFindings tells of each group in a rule that nobody is seen in. That may
// be a wrong name, or rights that the service account lacks, and then a rule
// that should refuse lets in.
func (s *Server) ruleFindings(ctx context.Context) (all []admin.Finding) {
	list := *s.rules.Load()
	if len(list) == 0 {
		return nil
	}
	dir, seen := s.dir.current.Load(), []string(nil)
	for _, rule := range list {
		for _, dn := range rule.Groups {
			if slices.Contains(seen, dn) {
				continue
			}
			seen = append(seen, dn)
			f := admin.Finding{Subject: "rule " + rule.Name, Bad: true}
			switch group, err := dir.Group(ctx, dn); {
			case err != nil:
				f.Text, f.Advice = err.Error(), "nobody whom the rule could be about can log in until it can be asked"
				return append(all, f) // the others would not fare better
			case !group.Found:
				f.Text = fmt.Sprintf("group %q is not there, or the service account may not read it: it has no members", dn)
				f.Advice = "put the name right in the configuration, or let the service account read the group"
			case !group.Members:
				f.Text = fmt.Sprintf("group %q lists no members that the service account can see", dn)
				f.Advice = "if it has some, let the service account read member, uniqueMember and memberUid"
			default:
				continue
			}
			all = append(all, f)
		}
	}
	return append(all, admin.Finding{Subject: "rules", Text: fmt.Sprintf("%d, about %d groups", len(list), len(seen))})
}
