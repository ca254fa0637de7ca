package ldapsync

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/sealed"
)

// enrolment returns what gives p the token e.
func (d *Directory) enrolment(p holder, e Enrolment, o EnrollOptions) ([]edit, error) {
	s := &d.replica.schema
	switch {
	case s.directory && s.owner == "":
		return nil, errors.New("delegate = true leaves the codes to the directory: enrol people by its own tools")
	case s.directory && d.sealTo != nil:
		return nil, errors.New("delegate = true leaves the codes to the directory, which could not read a key that is sealed: take seal_to and sealing_key_file away")
	case s.owner != "":
		return d.tokenEntry(p, e, o)
	}
	change := edit{dn: p.dn}
	old := s.held(p.target)
	if len(old)+len(s.elsewhere(p.target)) > 0 && !o.Replace && !o.Add {
		return nil, ErrEnrolled
	}
	slot := sealed.DefaultSlot
	if o.Add && len(old)+len(s.elsewhere(p.target)) >= maxTokens {
		return nil, fmt.Errorf("%d tokens are there already: at most %d count", len(old)+len(s.elsewhere(p.target)), maxTokens)
	}
	if o.Add {
		slot = strconv.Itoa(len(old) + 1)
	}
	value, params, err := d.keyValue(p.name, slot, e)
	if err != nil {
		return nil, err
	}
	change.addClass(s.classToken, p.get("objectClass"))
	if o.Replace {
		s.remove(&change, p.target, s.elsewhere(p.target))
	}
	change.mod(opAdd, s.key, value)
	s.writeSerial(&change, p.target, e, o)
	if params {
		err = s.writeParameters(&change, p.target, e)
	}
	return []edit{change}, err
}

// held returns the values of the key attribute that are keys.
func (s *schema) held(t target) []string {
	return slices.DeleteFunc(slices.Clone(t.get(s.key)), func(v string) bool { return len(s.keys([]string{v})) == 0 })
}

// keyValue returns the value to be written for e, and whether the parameters have
// to be written beside it.
func (d *Directory) keyValue(name, slot string, e Enrolment) (value string, params bool, err error) {
	s := &d.replica.schema
	switch {
	case d.sealTo != nil:
		value, err = d.sealTo.Seal(sealed.Binding{Realm: d.replica.realm, User: name, Slot: slot},
			sealed.Content{Key: e.Key, Algorithm: e.Algorithm, Digits: e.Digits, Period: e.Period, Created: d.replica.now().Truncate(time.Second)})
		return s.notation(value), false, err
	case d.replica.plaintextForbidden():
		return "", false, errors.New("keys in clear are forbidden here, and directory.seal_to does not say to whom to seal them: make a key by \"lockstep keygen\"")
	}
	return s.encodeKey(e.Key), true, nil
}

// printableString is what oathTokenSerialNumber can hold (RFC 4517, section 3.3.29).
var printableString = regexp.MustCompile(`^[A-Za-z0-9'()+,./:? =-]{1,64}$`)

// writeSerial adds to change what the only token of t is called, if there is a
// place for that. The name of a token that goes does not stay.
func (s *schema) writeSerial(change *edit, t target, e Enrolment, o EnrollOptions) {
	switch {
	case s.serial == "" || o.Add && len(s.held(t)) > 0:
	case e.Serial != "" && (s.name != "oath" || printableString.MatchString(e.Serial)):
		change.mod(opReplace, s.serial, e.Serial)
	case len(t.get(s.serial)) > 0:
		change.mod(opDelete, s.serial)
	}
}

// writeParameters adds to change what makes the parameters be read as e has them.
func (s *schema) writeParameters(change *edit, t target, e Enrolment) error {
	isDefault := e.Algorithm == defaults.Algorithm && e.Digits == defaults.Digits && e.Period == defaults.Period
	w := s.write(e)
	written := false
	for _, at := range []struct {
		attr    string
		value   []string
		differs bool
	}{{s.algorithm, w.algorithm, e.Algorithm != defaults.Algorithm}, {s.digits, w.digits, e.Digits != defaults.Digits}, {s.period, w.period, e.Period != defaults.Period}} {
		switch {
		case at.attr == "" && at.differs:
			return fmt.Errorf("schema %q: %w", s.name, ErrParameters)
		case at.attr != "" && (!isDefault || s.says(t)):
			change.mod(opReplace, at.attr, at.value...)
			written = true
		}
	}
	if written {
		change.addClass(s.classParams, t.get("objectClass"))
	}
	return nil
}

// says tells whether t says anything of parameters.
func (s *schema) says(t target) bool {
	for _, attr := range []string{s.algorithm, s.digits, s.period, s.params} {
		if attr != "" && len(t.get(attr)) > 0 {
			return true
		}
	}
	return false
}

// tokenEntry returns what makes a token of p's own entry, as FreeIPA has them.
func (d *Directory) tokenEntry(p holder, e Enrolment, o EnrollOptions) (edits []edit, err error) {
	s := &d.replica.schema
	if len(p.tokens) > 0 && !o.Replace && !o.Add {
		return nil, ErrEnrolled
	}
	serial := e.Serial
	if serial == "" {
		serial = newUUID()
	}
	value, _, err := d.keyValue(s.ownerName(p), serial, e)
	if err != nil {
		return nil, err
	}
	w := s.write(e)
	token := edit{create: true, dn: s.serial + "=" + ldap.EscapeDN(serial) + ",cn=otp," + d.base}
	token.mod(opAdd, "objectClass", "top", "ipatoken", s.classToken)
	token.mod(opAdd, s.serial, serial)
	token.mod(opAdd, s.owner, p.dn)
	token.mod(opAdd, s.key, value)
	token.mod(opAdd, s.algorithm, w.algorithm...)
	token.mod(opAdd, s.digits, w.digits...)
	token.mod(opAdd, s.period, w.period...)
	token.mod(opAdd, "ipatokenTOTPclockOffset", "0") // which its class must have
	edits = append(edits, token)
	if o.Replace {
		edits = append(edits, removals(p.tokens)...)
	}
	return edits, nil
}

// ownerName returns the name under which a token of p is found at login: that in
// p's DN, whichever of p's names was typed.
func (s *schema) ownerName(p holder) string {
	if v, ok := rdnValue([]byte(p.dn), s.login); ok {
		if name, err := Canonical(string(v)); err == nil {
			return name
		}
	}
	return p.name
}

// newUUID returns a random name for a token (RFC 9562, section 5.4).
func newUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return idText("\x00" + string(b))
}

func removals(tokens []target) (edits []edit) {
	for _, t := range tokens {
		edits = append(edits, edit{dn: t.dn, delete: true})
	}
	return edits
}

// revocation returns what takes all tokens from p.
func (d *Directory) revocation(p holder) ([]edit, error) {
	s := &d.replica.schema
	if s.owner != "" {
		if len(p.tokens) == 0 {
			return nil, ErrNotEnrolled
		}
		return removals(p.tokens), nil
	}
	change := edit{dn: p.dn}
	var named []string
	if s.token != "" {
		named = p.get(s.token)
	}
	s.remove(&change, p.target, named)
	if len(change.mods) == 0 {
		return nil, ErrNotEnrolled
	}
	if s.serial != "" && len(p.get(s.serial)) > 0 {
		change.mod(opDelete, s.serial)
	}
	return []edit{change}, nil
}

// remove adds to change the end of all keys that t has, and of the names of other
// entries with some. An object class that must have such a name goes with the last.
func (s *schema) remove(change *edit, t target, named []string) {
	if old := s.held(t); len(old) > 0 {
		change.mod(opDelete, s.key, old...)
	}
	if len(named) == 0 {
		return
	}
	change.mod(opDelete, s.token, named...)
	if len(named) < len(t.get(s.token)) {
		return
	}
	for _, class := range t.get("objectClass") {
		if isClass(class, "oathTOTPUser") {
			change.mod(opDelete, "objectClass", class)
		}
	}
}
