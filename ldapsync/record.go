package ldapsync

import (
	"encoding/binary"
	"iter"
)

// record is what is kept of one entry, as the source gave it: its attributes are
// decoded when somebody logs in. So a sealed key stays sealed in memory, and a
// million records fit into it. A record is never changed, but for seen.
type record struct {
	dn   uint32 // hash of the normalised DN
	seen uint32 // the refresh that gave it last; only for whoever holds replica.mu
	text string // fields, one after the other
}

// field tells what a value in a record is.
type field byte

const (
	fieldID     field = iota // see entryID
	fieldDN                  // as the directory spells it
	fieldName                // canonical login name; several are distinct
	fieldKey                 // value of the key attribute, undecoded
	fieldToken               // DN of an entry with a key of this one's owner
	fieldOwner               // DN of the entry of whoever owns this token
	fieldSerial              // what the token is called

	fieldAlgorithm
	fieldDigits
	fieldPeriod
	fieldParams // DN of an entry with the three above

	fieldDisabled // why nobody may log in by this entry, in plain words
	fieldNotBefore
	fieldNotAfter
	fieldClass // of those that matter: see the constants
)

// appendField returns text with a value. DNs and keys of any length fit; what is
// longer than the replica can hold does not come out of the reader.
func appendField[T string | []byte](text []byte, f field, value T) []byte {
	text = append(text, byte(f))
	text = binary.AppendUvarint(text, uint64(len(value)))
	return append(text, value...)
}

// fields ranges over the values of r.
func (r *record) fields() iter.Seq2[field, string] {
	return func(yield func(field, string) bool) {
		for text := r.text; text != ""; {
			f := field(text[0])
			size, n := uvarint(text[1:])
			value := text[1+n : 1+n+size]
			if !yield(f, value) {
				return
			}
			text = text[1+n+size:]
		}
	}
}

// uvarint is binary.Uvarint for a string.
func uvarint(s string) (value, octets int) {
	for shift := 0; ; shift += 7 {
		b := s[octets]
		octets++
		value |= int(b&0x7f) << shift
		if b < 0x80 {
			return value, octets
		}
	}
}

// first returns the first value of f, or "".
func (r *record) first(f field) string {
	for g, v := range r.fields() {
		if g == f {
			return v
		}
	}
	return ""
}

// firsts are the first values of all fields, "" where there is none.
type firsts [fieldClass + 1]string

// firsts looks at r once, for who wants to know more than one of its fields.
func (r *record) firsts() (all firsts) {
	var seen [len(all)]bool
	for f, v := range r.fields() {
		if !seen[f] {
			all[f], seen[f] = v, true
		}
	}
	return all
}

// count returns how many values of f there are.
func (r *record) count(f field) (n int) {
	for g := range r.fields() {
		if g == f {
			n++
		}
	}
	return n
}

// each ranges over the values of f.
func (r *record) each(f field) iter.Seq[string] {
	return func(yield func(string) bool) {
		for g, v := range r.fields() {
			if g == f && !yield(v) {
				return
			}
		}
	}
}

// all returns the values of f.
func (r *record) all(f field) (values []string) {
	for g, v := range r.fields() {
		if g == f {
			values = append(values, v)
		}
	}
	return values
}

// has tells whether one of the values of f is v.
func (r *record) has(f field, v string) bool {
	for g, w := range r.fields() {
		if g == f && w == v {
			return true
		}
	}
	return false
}

func (r *record) id() string { return r.first(fieldID) }

// holds tells whether r has a key or says where one is.
func (r *record) holds() bool {
	for f := range r.fields() {
		if f == fieldKey || f == fieldToken {
			return true
		}
	}
	return false
}
