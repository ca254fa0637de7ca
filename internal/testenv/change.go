package testenv

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// Add adds the entries of an LDIF text, as ldapadd would. It knows plain and
// base64 values and folded lines.
func (d *Directory) Add(t testing.TB, ldif string) {
	t.Helper()
	d.admin(t, func(c *ldap.Conn) error {
		for _, block := range blocks(t, ldif) {
			if err := add(c, block[0].value, block[1:]); err != nil {
				return fmt.Errorf("add %q: %w", block[0].value, err)
			}
		}
		return nil
	})
}

// Modify makes the changes of an LDIF text, as ldapmodify would: changetype
// modify (add, delete and replace), add, delete, and modrdn.
func (d *Directory) Modify(t testing.TB, ldif string) {
	t.Helper()
	d.admin(t, func(c *ldap.Conn) error {
		for _, block := range blocks(t, ldif) {
			if err := modify(c, block); err != nil {
				return fmt.Errorf("modify %q: %w", block[0].value, err)
			}
		}
		return nil
	})
}

func add(c *ldap.Conn, dn string, lines []ldifLine) error {
	request := ldap.NewAddRequest(dn, nil)
	for _, line := range lines {
		request.Attribute(line.attr, []string{line.value})
	}
	request.Attributes = joined(request.Attributes)
	return c.Add(request)
}

func modify(c *ldap.Conn, block []ldifLine) error {
	dn, kind := block[0].value, "modify"
	rest := block[1:]
	if len(rest) > 0 && rest[0].attr == "changetype" {
		kind, rest = rest[0].value, rest[1:]
	}
	switch kind {
	case "add":
		return add(c, dn, rest)
	case "delete":
		return c.Del(ldap.NewDelRequest(dn, nil))
	case "modrdn":
		return c.ModifyDN(ldap.NewModifyDNRequest(dn, rest[0].value, true, ""))
	}
	m := ldap.NewModifyRequest(dn, nil)
	for len(rest) > 0 {
		op, attr := rest[0].attr, rest[0].value
		var values []string
		for rest = rest[1:]; len(rest) > 0 && rest[0].attr == attr; rest = rest[1:] {
			values = append(values, rest[0].value)
		}
		if len(rest) > 0 && rest[0].attr == "-" {
			rest = rest[1:]
		}
		switch op {
		case "add":
			m.Add(attr, values)
		case "delete":
			m.Delete(attr, values)
		case "replace":
			m.Replace(attr, values)
		default:
			return fmt.Errorf("unknown change %q", op)
		}
	}
	return c.Modify(m)
}

type ldifLine struct{ attr, value string }

// blocks splits an LDIF text into entries, of which the first line is the DN.
func blocks(t testing.TB, ldif string) (all [][]ldifLine) {
	t.Helper()
	ldif = strings.ReplaceAll(ldif, "\n ", "")
	for text := range strings.SplitSeq(ldif, "\n\n") {
		var block []ldifLine
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			attr, value, _ := strings.Cut(line, ":")
			if encoded, ok := strings.CutPrefix(value, ":"); ok {
				decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
				if err != nil {
					t.Fatalf("value of %s: %v", attr, err)
				}
				value = " " + string(decoded)
			}
			block = append(block, ldifLine{attr, strings.TrimPrefix(value, " ")})
		}
		if len(block) > 0 {
			all = append(all, block)
		}
	}
	return all
}

// joined puts the values of one attribute together.
func joined(attrs []ldap.Attribute) (all []ldap.Attribute) {
	at := map[string]int{}
	for _, a := range attrs {
		name := strings.ToLower(a.Type)
		if i, ok := at[name]; ok {
			all[i].Vals = append(all[i].Vals, a.Vals...)
			continue
		}
		at[name] = len(all)
		all = append(all, a)
	}
	return all
}
