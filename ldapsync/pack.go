package ldapsync

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/ldif"
)

// rawEntry is an entry as a source has read it. It is not kept.
type rawEntry struct {
	dn   []byte
	uuid []byte                     // 16 octets; nil where an attribute says it, or nothing does
	get  func(attr string) [][]byte // the values of an attribute, by its name in any case
}

// pack appends the record of e, with that ID, to text.
func (s *schema) pack(text []byte, id string, e rawEntry) []byte {
	text = appendField(text, fieldID, id)
	text = appendField(text, fieldDN, e.dn)
	owner := s.first(e, s.owner)
	for _, name := range s.names(e, owner) {
		text = appendField(text, fieldName, name)
	}
	text = s.packKeys(text, e)
	for _, v := range atMost(s.values(e, s.token)) {
		text = appendField(text, fieldToken, v)
	}
	if len(owner) > 0 {
		text = appendField(text, fieldOwner, owner)
	}
	for _, at := range []struct {
		f    field
		attr string
	}{{fieldAlgorithm, s.algorithm}, {fieldDigits, s.digits}, {fieldPeriod, s.period}, {fieldParams, s.params},
		{fieldSerial, s.serial}, {fieldNotBefore, s.notBefore}, {fieldNotAfter, s.notAfter}} {
		for _, v := range s.values(e, at.attr) {
			text = appendField(text, at.f, v)
		}
	}
	if why := or(s.whyDisabled(e), s.tooMany(e)); why != "" {
		text = appendField(text, fieldDisabled, why)
	}
	return s.packClasses(text, e)
}

func (s *schema) values(e rawEntry, attr string) [][]byte {
	if attr == "" {
		return nil
	}
	return e.get(attr)
}

func (s *schema) first(e rawEntry, attr string) []byte {
	if v := s.values(e, attr); len(v) > 0 {
		return v[0]
	}
	return nil
}

// maxValues bounds the names, keys and links of an entry: whoever may write it must
// not choose how long each look at it takes.
const maxValues = 256

func atMost(values [][]byte) [][]byte { return values[:min(len(values), maxValues)] }

// tooMany says why an entry has more than is looked at, or "".
func (s *schema) tooMany(e rawEntry) string {
	for _, attr := range []string{s.login, s.key, s.token} {
		if n := len(s.values(e, attr)); n > maxValues {
			return fmt.Sprintf("%d values of %s: want at most %d", n, attr, maxValues)
		}
	}
	return ""
}

// names returns the canonical login names of e, distinct; those that are none
// are left out. A token has that of its owner, which is read out of the owner's
// DN: so the entries of people need not be followed.
func (s *schema) names(e rawEntry, owner []byte) (names []string) {
	values := e.get(s.login)
	if s.owner != "" {
		values = nil
		if v, ok := rdnValue(owner, s.login); ok {
			values = [][]byte{v}
		}
	}
	for _, v := range atMost(values) {
		if name, err := Canonical(string(v)); err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// rdnValue returns the value of attr in the first RDN of dn.
func rdnValue(dn []byte, attr string) ([]byte, bool) {
	parsed, err := ldap.ParseDN(string(dn))
	if err != nil || len(parsed.RDNs) == 0 {
		return nil, false
	}
	for _, a := range parsed.RDNs[0].Attributes {
		if strings.EqualFold(a.Type, attr) {
			return []byte(a.Value), true
		}
	}
	return nil, false
}

// packKeys appends the keys, in one order whatever that of the directory is.
func (s *schema) packKeys(text []byte, e rawEntry) []byte {
	if s.directory {
		return text
	}
	values := atMost(e.get(s.key))
	if len(values) > 1 {
		values = slices.SortedFunc(slices.Values(values), bytes.Compare)
	}
	for _, v := range values {
		if !s.control {
			text = appendField(text, fieldKey, v)
		} else if key, ok := controlKey(string(v)); ok {
			text = appendField(text, fieldKey, key)
		}
	}
	return text
}

const (
	classParams  = "params"  // holds parameters for others
	classOverlay = "overlay" // makes OpenLDAP's overlay otp ask for a code in binds
	classToken   = "token"   // is a token itself, also if its key cannot be read
)

func (s *schema) packClasses(text []byte, e rawEntry) []byte {
	for _, v := range e.get("objectClass") {
		switch class := string(v); {
		case s.classParams != "" && strings.EqualFold(class, s.classParams):
			text = appendField(text, fieldClass, classParams)
		case s.token != "" && strings.EqualFold(class, "oathTOTPUser"):
			text = appendField(text, fieldClass, classOverlay)
		case s.owner != "" && strings.EqualFold(class, s.classToken):
			text = appendField(text, fieldClass, classToken)
		}
	}
	return text
}

// whyDisabled says why nobody may use e, or "".
func (s *schema) whyDisabled(e rawEntry) string {
	if v := s.first(e, s.disabled); isTrue(v) {
		return "token disabled"
	}
	if v := s.first(e, attrLocked); isTrue(v) {
		return "disabled in the directory (" + attrLocked + ")"
	}
	if v := s.first(e, attrControl); v != nil {
		if flags, err := strconv.ParseInt(string(v), 10, 64); err == nil && flags&2 != 0 {
			return "disabled in the directory (" + attrControl + ")"
		}
	}
	if v := s.first(e, attrPolicy); string(v) == "000001010000Z" {
		return "locked in the directory by an admin (" + attrPolicy + ")"
	}
	return ""
}

// matters tells whether r has to be known: others are not, whatever a search for
// changes has found.
func (s *schema) matters(r *record) bool {
	for f, v := range r.fields() {
		switch {
		case f == fieldKey, f == fieldToken, f == fieldClass && v != classOverlay:
			return true
		case f == fieldDisabled && s.owner != "":
			return true
		}
	}
	return false
}

// entryID returns what stays the same when an entry is renamed, if the
// directory has such a thing: 16 octets behind a NUL, or text.
func entryID(e rawEntry) string {
	if len(e.uuid) == 16 {
		return "\x00" + string(e.uuid)
	}
	for _, attr := range []string{"entryUUID", "nsUniqueId"} {
		v := e.get(attr)
		if len(v) != 1 || len(v[0]) == 0 || !utf8.Valid(v[0]) {
			continue
		}
		if id, err := hex.DecodeString(strings.ReplaceAll(string(v[0]), "-", "")); err == nil && len(id) == 16 {
			return "\x00" + string(id)
		}
		return strings.ToLower(string(v[0]))
	}
	if v := e.get("objectGUID"); len(v) == 1 && len(v[0]) == 16 {
		return "\x00" + string(v[0])
	}
	return "dn:" + normalizeDN(string(e.dn))
}

// idText is the ID of an entry for people and for [Account].
func idText(id string) string {
	if len(id) != 17 || id[0] != 0 {
		return id
	}
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 36)
	for i := range 16 {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		octet := id[1+i]
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return string(b)
}

// normalizeDN returns the one form of dn, or dn in lower case where it has
// none: such an entry can still be told from others.
func normalizeDN(dn string) string {
	var plain [128]byte
	return string(appendDN(plain[:0], dn))
}

// appendDN appends what normalizeDN returns to norm, which must be empty.
func appendDN(norm []byte, dn string) []byte {
	norm, ok := plainDN(norm, dn)
	if ok {
		return norm
	}
	if other, err := ldif.NormalizeDN(dn); err == nil {
		return append(norm[:0], other...)
	}
	return append(norm[:0], strings.ToLower(dn)...)
}

// plainDN appends to norm what [ldif.NormalizeDN] would return, if dn is one of
// the plain ones that nearly all are: no escapes, nothing but ASCII.
func plainDN(norm []byte, dn string) ([]byte, bool) {
	const (
		inType = iota
		inValue
	)
	where, space := inType, false
	start := len(norm) // of the type or value
	for i := 0; i < len(dn); i++ {
		c := dn[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '@':
		case c == ' ':
			space = len(norm) > start
			continue
		case c == '=' && where == inType && len(norm) > start:
			norm, where, space = append(norm, '='), inValue, false
			start = len(norm)
			continue
		case c == ',' && where == inValue && len(norm) > start:
			norm, where, space = append(norm, ','), inType, false
			start = len(norm)
			continue
		default:
			return norm, false
		}
		if space && where == inType || where == inType && !typeCharacter(c, len(norm) == start) {
			return norm, false
		}
		if space {
			norm, space = append(norm, ' '), false
		}
		norm = append(norm, c)
	}
	return norm, where == inValue && len(norm) > start
}

// typeCharacter tells whether c can be in the name of an attribute. OIDs are left
// to the one who knows them.
func typeCharacter(c byte, first bool) bool {
	return 'a' <= c && c <= 'z' || !first && ('0' <= c && c <= '9' || c == '-')
}
