package ldapsync

import (
	"crypto/subtle"
	"slices"
)

// compare says which keys p has, and whether want's is one of them. A key is the same
// only if it counts, and its codes come out the same.
func (d *Directory) compare(p holder, want Enrolment) Found {
	f := Found{DN: p.dn}
	for _, t := range append([]target{p.target}, p.tokens...) {
		e := d.record(t).digest()
		b := builder{replica: d.replica, names: e.all(fieldName)}
		keys := e.all(fieldKey)
		f.Keys += len(keys)
		for _, value := range keys {
			got, err := b.token(&e, value)
			if err == nil {
				err = b.valid(&e)
			}
			switch {
			case err != nil:
				f.Unread++
			case sameToken(got, want):
				f.Same = true
			}
		}
		if len(keys) == 0 && e.is(classToken) {
			f.Keys, f.Unread = f.Keys+1, f.Unread+1
		}
	}
	more := len(d.replica.schema.elsewhere(p.target))
	f.Keys, f.Unread = f.Keys+more, f.Unread+more
	return f
}

// record returns t as the replica would have it. Parameters of another entry are
// left out where t's own take precedence over all of them.
func (d *Directory) record(t target) *record {
	s := &d.replica.schema
	whole := true
	for _, attr := range []string{s.algorithm, s.digits, s.period} {
		whole = whole && attr != "" && len(t.get(attr)) > 0
	}
	get := func(attr string) (values [][]byte) {
		if whole && attr == s.params {
			return nil
		}
		for _, v := range t.get(attr) {
			values = append(values, []byte(v))
		}
		return values
	}
	return &record{text: string(s.pack(nil, "", rawEntry{dn: []byte(t.dn), get: get}))}
}

func sameToken(t Token, e Enrolment) bool {
	return subtle.ConstantTimeCompare(t.Key.Reveal(), e.Key.Reveal()) == 1 &&
		t.Algorithm == e.Algorithm && t.Digits == e.Digits && t.Period == e.Period
}

// elsewhere returns the DNs of other entries that hold t's tokens.
func (s *schema) elsewhere(t target) (dns []string) {
	if s.token == "" {
		return nil
	}
	self := normalizeDN(t.dn)
	return slices.DeleteFunc(slices.Clone(t.get(s.token)), func(dn string) bool { return normalizeDN(dn) == self })
}
