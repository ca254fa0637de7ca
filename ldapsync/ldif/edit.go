package ldif

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrNoRecord is wrapped by the error of [Set] when the file has no record of
// the DN.
var ErrNoRecord = errors.New("no such record")

// A Change says what the values of one attribute shall be.
type Change struct {
	// Attr is the name, written to the file as it is here and compared with
	// those in the file without case. Options are part of it.
	Attr string

	// Values replace those that are there. None removes the attribute. A value
	// may hold any octets, 64 KiB at most.
	Values []string

	// Add keeps what is there and adds those of Values that are absent. Values
	// of objectClass are compared without case, all others octet by octet.
	Add bool
}

// edit returns data with the changes made, in turn, to the record of dn. It
// fails unless the result reads back as data does, with the changes.
func edit(data []byte, dn string, changes []Change) ([]byte, error) {
	key, err := NormalizeDN(dn)
	if err != nil {
		return nil, err
	}
	before, err := parse(data)
	if err != nil {
		return nil, err
	}
	target := slices.IndexFunc(before, func(e entry) bool { return e.key == key })
	if target < 0 {
		return nil, fmt.Errorf("%q: %w", dn, ErrNoRecord)
	}
	want := before[target].attrs()
	out := data
	for _, c := range changes {
		if err := c.check(); err != nil {
			return nil, err
		}
		c.applyTo(want)
		// Each change moves the offsets, so they are read again.
		now, err := parse(out)
		if err != nil {
			return nil, err
		}
		out = c.splice(out, &now[target])
	}
	return out, verify(out, before, target, want)
}

// verify reports whether data reads as before, but for the target.
func verify(data []byte, before []entry, target int, want map[string][]string) error {
	if len(data) > maxFile {
		return &Error{Msg: "the file would be larger than 64 MiB"}
	}
	after, err := parse(data)
	if err != nil {
		return fmt.Errorf("the result would not be valid: %w", err)
	}
	same := slices.EqualFunc(before, after, func(b, a entry) bool {
		if b.key == before[target].key {
			return a.dn == b.dn && maps.EqualFunc(a.attrs(), want, slices.Equal)
		}
		return a.dn == b.dn && slices.EqualFunc(a.fields, b.fields, func(x, y field) bool {
			return x.name == y.name && x.value == y.value
		})
	})
	if !same {
		return errors.New("the result would not read back as intended")
	}
	return nil
}

func (c Change) check() error {
	if !validName(c.Attr) {
		return fmt.Errorf("%q is no attribute name", c.Attr)
	}
	switch attrType, _, _ := strings.Cut(c.name(), ";"); attrType {
	case "dn", "changetype", "control":
		return fmt.Errorf("%q is no attribute", c.Attr)
	}
	return nil
}

func (c Change) name() string { return strings.ToLower(c.Attr) }

// applyTo makes the change to the values by name.
func (c Change) applyTo(attrs map[string][]string) {
	switch name := c.name(); {
	case c.Add:
		if added := c.absentFrom(attrs[name]); len(added) > 0 {
			attrs[name] = append(slices.Clone(attrs[name]), added...)
		}
	case len(c.Values) == 0:
		delete(attrs, name)
	default:
		attrs[name] = c.Values
	}
}

// absentFrom returns those of c.Values that have lacks.
func (c Change) absentFrom(have []string) []string {
	equal := func(a, b string) bool { return a == b }
	if c.name() == "objectclass" {
		equal = strings.EqualFold
	}
	var absent []string
	for _, v := range c.Values {
		known := func(h string) bool { return equal(h, v) }
		if !slices.ContainsFunc(have, known) && !slices.ContainsFunc(absent, known) {
			absent = append(absent, v)
		}
	}
	return absent
}

// splice makes the change to the text of e in data, and returns data itself if
// there is nothing to change.
func (c Change) splice(data []byte, e *entry) []byte {
	old := e.named(c.name())
	have := make([]string, len(old))
	for i, f := range old {
		have[i] = f.value
	}
	write, at, drop := c.Values, e.end, old
	switch {
	case c.Add:
		write, drop = c.absentFrom(have), nil
		if len(old) > 0 {
			at = old[len(old)-1].end
		}
	case slices.Equal(have, c.Values):
		return data
	case len(old) > 0:
		at = old[0].start
	}
	if len(write) == 0 && len(drop) == 0 {
		return data
	}

	eol := lineEnding(data[e.start:e.end])
	out := bytes.Clone(data[:at])
	if len(write) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, eol...) // the file ended without one
	}
	for _, v := range write {
		out = appendField(out, c.Attr, v, eol)
	}
	for _, f := range drop {
		out = append(out, data[at:f.start]...)
		at = f.end
	}
	return append(out, data[at:]...)
}

func lineEnding(record []byte) string {
	if i := bytes.IndexByte(record, '\n'); i > 0 && record[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// appendField appends the value as RFC 2849 wants it, folded at 76 octets.
func appendField(out []byte, name, value, eol string) []byte {
	text := name + ":"
	switch {
	case value == "":
	case safe(value):
		text += " " + value
	default:
		text += ": " + base64.StdEncoding.EncodeToString([]byte(value))
	}
	for len(text) > 76 {
		out = append(append(out, text[:76]...), eol...)
		text = " " + text[76:]
	}
	return append(append(out, text...), eol...)
}

// safe reports whether value may be written as it is. It is narrower than
// SAFE-STRING of RFC 2849: control characters and a space at the end, which
// editors drop, are encoded too.
func safe(value string) bool {
	return !strings.ContainsAny(value[:1], " :<") && !strings.HasSuffix(value, " ") &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}
