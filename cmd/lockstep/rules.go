package main

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/config"
)

// rules prints who is let in where, a line a rule.
func (a *app) rules(list []config.Rule) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(a.out, "Of these rules the first that matches decides; whom none matches is let in, without attributes:")
	for _, r := range list {
		fmt.Fprintf(a.out, "  %s: %s at %s: %s\n", r.Name, whom(r), where(r), what(r))
	}
}

func whom(r config.Rule) string {
	if r.Groups == nil {
		return "everybody"
	}
	members := "members of "
	if r.Nested {
		members = "members, also through other groups, of "
	}
	return printable(members + strings.Join(r.Groups, " or "))
}

func where(r config.Rule) string {
	if r.Clients == nil {
		return "every client"
	}
	return strings.Join(r.Clients, ", ")
}

func what(r config.Rule) string {
	if r.Deny {
		return "refused"
	}
	var names []string
	for _, attribute := range r.Reply {
		if !slices.Contains(names, attribute.Name) {
			names = append(names, attribute.Name)
		}
	}
	if names == nil {
		return "let in, without attributes"
	}
	return "let in, with " + strings.Join(names, ", ")
}
