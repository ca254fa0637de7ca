package ldapsync

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"lockstep/ldapsync/ldif"
	"lockstep/ldapsync/userpassword"
)

// maxID is the length of the longest account ID, in octets: stores have limits
// for what they keep states under.
const maxID = 1000

// entry is what a source says about one entry. It is never changed once made.
type entry struct {
	id     string
	dn     string
	norm   string   // normalised DN
	names  []string // canonical, distinct; those that are none are left out
	keys   []string // undecoded
	own    parameters
	from   string // normalised DN of the entry with the parameters; "" for none
	isFrom bool   // it is such an entry itself

	changed string              // modifyTimestamp, as the server writes it
	hashes  []userpassword.Hash // of an entry from a file
}

// newEntry reads an entry, of which get returns the values of an attribute.
func (s schema) newEntry(dn string, get func(attr string) []string) *entry {
	e := &entry{dn: dn, norm: normalizeDN(dn), keys: s.keys(get(s.key))}
	for _, v := range get(s.login) {
		name, err := Canonical(v)
		if err == nil && !slices.Contains(e.names, name) {
			e.names = append(e.names, name)
		}
	}
	if s.hasParams() {
		e.own = parameters{algorithm: get(attrAlgorithm), digits: get(attrDigits), period: get(attrPeriod)}
		if from := get(attrParams); len(from) > 0 {
			e.from = normalizeDN(from[0])
		}
		for _, class := range get("objectClass") {
			e.isFrom = e.isFrom || strings.EqualFold(class, classParams)
		}
	}
	e.id = entryID(e.norm, get)
	if changed := get("modifyTimestamp"); len(changed) == 1 {
		e.changed = changed[0]
	}
	return e
}

// entryID returns what stays the same when an entry is renamed, if the
// directory has such a thing.
func entryID(norm string, get func(string) []string) string {
	for _, attr := range []string{"entryUUID", "nsUniqueId"} {
		if v := get(attr); len(v) == 1 && v[0] != "" && utf8.ValidString(v[0]) {
			return strings.ToLower(v[0])
		}
	}
	if v := get("objectGUID"); len(v) == 1 && len(v[0]) == 16 {
		return hex.EncodeToString([]byte(v[0]))
	}
	return "dn:" + norm
}

// normalizeDN returns the one form of dn, or dn in lower case where it has
// none: such an entry can still be told from others.
func normalizeDN(dn string) string {
	if norm, err := ldif.NormalizeDN(dn); err == nil {
		return norm
	}
	return strings.ToLower(dn)
}

// account makes the account of e. params returns the entry with parameters of
// a normalised DN, or nil.
func (s schema) account(e *entry, params func(norm string) *entry) (Account, error) {
	a := Account{ID: e.id, DN: e.dn}
	if len(e.names) > 0 {
		a.Name = e.names[0]
	}
	if len(e.id) > maxID {
		return a, fmt.Errorf("ID of %d octets (entryUUID, nsUniqueId or the DN): want at most %d", len(e.id), maxID)
	}
	// Which of them a phone has cannot be known, and trying all would make
	// guessing easier.
	if len(e.keys) > 1 {
		return a, errors.New("several keys")
	}
	p := e.own
	if e.from != "" {
		from := params(e.from)
		if from == nil {
			return a, fmt.Errorf("%s names %.200q, which is not below the base DN, lacks objectClass %s or may not be read", attrParams, e.from, classParams)
		}
		p = p.or(from.own)
	}
	e2, err := p.parse()
	if err != nil {
		return a, err
	}
	a.Algorithm, a.Digits, a.Period = e2.Algorithm, e2.Digits, e2.Period
	a.Key, err = s.decodeKey(e.keys[0])
	return a, err
}
