package ldapsync

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/ldif"
)

// target is an entry that may be written to.
type target struct {
	dn  string
	get func(attr string) []string
}

// edit is what is done to one entry: a new one, the end of one, or mods.
type edit struct {
	dn     string
	create bool // mods are its attributes then, all of them added
	delete bool
	mods   []mod
}

// mod changes one attribute. What it removes is named, so that of two edits of the
// same value at once one fails.
type mod struct {
	op     modOp
	attr   string
	values []string
}

type modOp string

const (
	opAdd     modOp = "add"
	opDelete  modOp = "delete" // without values: all
	opReplace modOp = "replace"
)

func (e *edit) mod(op modOp, attr string, values ...string) {
	e.mods = append(e.mods, mod{op, attr, values})
}

// addClass adds an object class unless have holds it.
func (e *edit) addClass(class string, have []string) {
	if class != "" && !slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, class) }) {
		e.mod(opAdd, "objectClass", class)
	}
}

// what names the attributes that e changes, first before the others, or says that it
// is all of the entry.
func (e *edit) what(first string) string {
	if e.create || e.delete {
		return "entries such as " + e.dn
	}
	var attrs []string
	for _, m := range e.mods {
		if m.attr != first && !slices.Contains(attrs, m.attr) {
			attrs = append(attrs, m.attr)
		}
	}
	if len(attrs) == 0 {
		return first
	}
	last := len(attrs) - 1
	return strings.Join(append([]string{first}, attrs[:last]...), ", ") + " and " + attrs[last]
}

// send does e at a server.
func (e edit) send(l *ldap.Conn) error {
	switch {
	case e.delete:
		return l.Del(ldap.NewDelRequest(e.dn, nil))
	case e.create:
		add := ldap.NewAddRequest(e.dn, nil)
		for _, m := range e.mods {
			add.Attribute(m.attr, m.values)
		}
		return l.Add(add)
	}
	modify := ldap.NewModifyRequest(e.dn, nil)
	for _, m := range e.mods {
		switch m.op {
		case opAdd:
			modify.Add(m.attr, m.values)
		case opDelete:
			modify.Delete(m.attr, m.values)
		case opReplace:
			modify.Replace(m.attr, m.values)
		}
	}
	return l.Modify(modify)
}

// ldif returns e as an LDIF change record (RFC 2849), with a blank line behind it.
func (e edit) ldif() string {
	var b strings.Builder
	ldifLine(&b, "dn", e.dn)
	switch {
	case e.delete:
		b.WriteString("changetype: delete\n")
	case e.create:
		b.WriteString("changetype: add\n")
		for _, m := range e.mods {
			for _, v := range m.values {
				ldifLine(&b, m.attr, v)
			}
		}
	default:
		b.WriteString("changetype: modify\n")
		for _, m := range e.mods {
			ldifLine(&b, string(m.op), m.attr)
			for _, v := range m.values {
				ldifLine(&b, m.attr, v)
			}
			b.WriteString("-\n")
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// ldifLine writes one line, in base64 unless v is a SAFE-STRING. Long lines are
// left whole: ldapmodify takes them, and people can copy them.
func ldifLine(b *strings.Builder, attr, v string) {
	safe := v == "" || !strings.ContainsAny(v[:1], " :<") && !strings.HasSuffix(v, " ")
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) || !safe {
		fmt.Fprintf(b, "%s:: %s\n", attr, base64.StdEncoding.EncodeToString([]byte(v)))
		return
	}
	fmt.Fprintf(b, "%s: %s\n", attr, v)
}

// changes returns e for a file, in which t is the record as it is.
func (e edit) changes(t *target) []ldif.Change {
	values := map[string][]string{}
	var attrs []string
	for _, m := range e.mods {
		if _, ok := values[m.attr]; !ok {
			attrs, values[m.attr] = append(attrs, m.attr), slices.Clone(t.get(m.attr))
		}
		v := values[m.attr]
		switch {
		case m.op == opReplace, m.op == opDelete && len(m.values) == 0:
			v = nil
		case m.op == opDelete:
			v = slices.DeleteFunc(v, func(old string) bool { return slices.Contains(m.values, old) })
		}
		if m.op != opDelete {
			v = append(v, m.values...)
		}
		values[m.attr] = v
	}
	var all []ldif.Change
	for _, attr := range attrs {
		all = append(all, ldif.Change{Attr: attr, Values: values[attr]})
	}
	return all
}
