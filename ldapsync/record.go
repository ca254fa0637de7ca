package ldapsync

import (
	"encoding/binary"
	"iter"
	"slices"
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
			f, value, rest := cut(text)
			if !yield(f, value) {
				return
			}
			text = rest
		}
	}
}

// cut takes the first value off text, which must hold one.
func cut(text string) (f field, value, rest string) {
	size, n := uvarint(text[1:])
	end := 1 + n + size
	return field(text[0]), text[1+n : end], text[end:]
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

// digest is what one look at a record tells, for who wants to know more than one of
// its fields.
type digest struct {
	of    *record
	first [fieldClass + 1]string // the first values, "" where there is none
	count [fieldClass + 1]int32  // how many values there are
}

func (r *record) digest() (d digest) {
	d.of = r
	for text := r.text; text != ""; {
		f, value, rest := cut(text)
		if d.count[f]++; d.count[f] == 1 {
			d.first[f] = value
		}
		text = rest
	}
	return d
}

// all is [record.all], at no cost where there is one value.
func (d *digest) all(f field) []string {
	if d.count[f] > 1 {
		return d.of.all(f)
	}
	return d.first[f:][:d.count[f]]
}

// holds tells whether there is a key, or it is said where one is.
func (d *digest) holds() bool { return d.count[fieldKey]+d.count[fieldToken] > 0 }

// is tells whether class is one of the classes.
func (d *digest) is(class string) bool { return slices.Contains(d.all(fieldClass), class) }

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
