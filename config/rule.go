package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/replyattr"
)

// Rule says what becomes of a login whose password and code are right. Of the
// rules of a configuration the first that matches decides; where none does, the
// login is accepted without attributes.
type Rule struct {
	Name    string                // 1 to 64 printable characters; "2" for the second rule if it has no name
	Groups  []string              // DNs; members of any match. Nil for everybody
	Nested  bool                  // members of groups in the groups are members too
	Clients []string              // names of clients. Nil for all
	Deny    bool                  // the login is refused
	Reply   []replyattr.Attribute // of the Access-Accept, in order; nil with Deny
}

// At reports whether r applies at the client of that name.
func (r *Rule) At(client string) bool { return r.Clients == nil || slices.Contains(r.Clients, client) }

// What the attributes of one rule may take. A packet holds 4096 octets and what
// proxies put into it (RFC 2865, sections 3 and 5.33); more attributes than that
// are refused by some who read it.
const (
	maxReply      = 3000 // octets
	maxAttributes = 100
)

func readRules(t *table, clients []Client) (rules []Rule) {
	for i, sub := range t.subs("rule") {
		rules = append(rules, readRule(sub, i, clients))
	}
	return rules
}

func readRule(t *table, i int, clients []Client) Rule {
	r := Rule{
		Name:    t.text("name", strconv.Itoa(i+1)),
		Groups:  t.oneOrMore("group", "cn=admins,ou=groups,dc=example,dc=com"),
		Nested:  t.flag("nested", true),
		Clients: t.oneOrMore("client", "vpn"),
		Deny:    t.flag("deny", false),
		Reply:   readReply(t, t.sub("reply")),
	}
	if r.Name == "" || !validName(r.Name) {
		t.fault("name", "want 1 to 64 printable characters")
	}
	for i, dn := range r.Groups {
		if err := checkGroup(dn); err != nil {
			t.fault(elementOf(t, "group", i), "%v", err)
		}
	}
	checkRuleClients(t, r.Clients, clients)
	if r.Deny && r.Reply != nil {
		t.fault("deny", "a refusal has no attributes: take deny or reply away")
	}
	return r
}

// oneOrMore returns the strings of a list, or one alone; nil if there is none.
// An empty list could mean none or all, and is refused.
func (t *table) oneOrMore(key, example string) []string {
	if one, ok := t.values[key].(string); ok {
		t.known = append(t.known, key)
		if one == "" {
			t.fault(key, "want a text such as %q, or no such setting", example)
		}
		return []string{one}
	}
	all := t.list(key)
	if _, there := t.values[key]; there && len(all) == 0 {
		t.fault(key, "want one at least, such as [%q], or no such setting", example)
	}
	return all
}

// elementOf names the ith value of a key for faults.
func elementOf(t *table, key string, i int) string {
	if _, one := t.values[key].(string); one {
		return key
	}
	return element(key, i)
}

// checkGroup refuses what the directory could not compare with other DNs.
func checkGroup(dn string) error {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || strings.Contains(dn, "=#") || strings.ContainsRune(dn, 0) {
		return errors.New(`want the DN of a group, such as "cn=admins,ou=groups,dc=example,dc=com"`)
	}
	return nil
}

func checkRuleClients(t *table, names []string, clients []Client) {
	var known []string
	for _, c := range clients {
		known = append(known, c.Name)
	}
	for i, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		message := "no radius.client has this name"
		if hint := nearest(name, known); hint != "" {
			message += fmt.Sprintf("; did you mean %q?", hint)
		}
		t.fault(elementOf(t, "client", i), "%s", message)
	}
}

// readReply returns the attributes of a reply in the order of the file.
func readReply(rule, t *table) (all []replyattr.Attribute) {
	names := slices.SortedFunc(maps.Keys(t.values), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.place(a).offset, t.place(b).offset), cmp.Compare(a, b))
	})
	octets := 0
	for _, name := range names {
		t.known = append(t.known, name)
		for _, a := range readAttribute(t, name) {
			octets += a.Len()
			all = append(all, a)
		}
	}
	if octets > maxReply || len(all) > maxAttributes {
		rule.fault("reply", "%d attributes of %d octets: want %d and %d at most", len(all), octets, maxAttributes, maxReply)
	}
	return all
}

func (t *table) place(key string) place { return t.doc.places[join(t.path, key)] }

// readAttribute returns the attributes of one name: one for a value, several
// for a list.
func readAttribute(t *table, name string) (all []replyattr.Attribute) {
	key := join("", name)
	values, isList := t.values[name].([]any)
	if !isList {
		values = []any{t.values[name]}
	}
	if len(values) == 0 {
		t.fault(key, "want one value at least, or no such setting")
	}
	for i, value := range values {
		a, err := replyattr.Parse(name, value)
		at := key
		if isList && !errors.Is(err, replyattr.ErrUnknown) {
			at = element(key, i)
		}
		if err != nil {
			t.fault(at, "%s", attributeFault(name, err))
			continue
		}
		all = append(all, a)
	}
	return all
}

func attributeFault(name string, err error) string {
	if !errors.Is(err, replyattr.ErrUnknown) {
		return err.Error()
	}
	base, _, _ := strings.Cut(name, ":")
	if hint := nearest(base, replyattr.Names()); hint != "" {
		return fmt.Sprintf("no such attribute; did you mean %q?", hint)
	}
	return `no such attribute; those without a name here are given by number, such as "Attr-26.9.1" = "0x6162"`
}

// nearest returns the name that somebody most likely meant, "" if none is near.
func nearest(name string, names []string) string {
	best, least := "", len(name)/3+1
	for _, known := range names {
		distance := editDistance(strings.ToLower(name), strings.ToLower(known))
		if len(name) >= 4 && strings.HasSuffix(strings.ToLower(known), "-"+strings.ToLower(name)) {
			distance = 0 // without its vendor
		}
		if distance < least {
			best, least = known, distance
		}
	}
	return best
}

// unreached returns the first rule before the ith that leaves it no login, or
// nil.
func unreached(rules []Rule, i int, clients []Client) *Rule {
	for at := range rules[:i] {
		before := &rules[at]
		covers := before.Groups == nil
		for _, c := range clients {
			covers = covers && (before.At(c.Name) || !rules[i].At(c.Name))
		}
		if covers {
			return before
		}
	}
	return nil
}
