package ldapsync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/sealed"
)

// Enroll writes e to the one entry whose login attribute is name, or where the
// schema has entries for tokens, makes one. The key is sealed if the Config says
// to whom; else the parameters are written too where they would otherwise not be
// read as e has them. It returns [ErrNoEntry], [ErrAmbiguous], [ErrEnrolled]
// unless o.Replace or o.Add, or an error that says what the directory lacks.
// The replica sees the change when it next looks, as it would anybody's.
func (d *Directory) Enroll(ctx context.Context, name string, e Enrolment, o EnrollOptions) error {
	canonical, err := Canonical(name)
	if err != nil {
		return err
	}
	e, err = e.checked()
	if err != nil {
		return err
	}
	return d.write(ctx, canonical, o, func(p holder) ([]edit, error) { return d.enrolment(canonical, p, e, o) })
}

// Revoke removes all keys of the one entry whose login attribute is name, and
// where tokens have entries of their own, those. It returns [ErrNotEnrolled] where
// there is none.
func (d *Directory) Revoke(ctx context.Context, name string, o EnrollOptions) error {
	canonical, err := Canonical(name)
	if err != nil {
		return err
	}
	return d.write(ctx, canonical, o, d.revocation)
}

// holder is somebody's entry with the entries of their tokens, where those have
// their own.
type holder struct {
	target
	tokens []target
}

// editor reads and changes entries on behalf of somebody who may.
type editor interface {
	find(ctx context.Context, name string) (holder, error)
	apply(ctx context.Context, e edit, p holder) error
	close()
}

func (d *Directory) write(ctx context.Context, name string, o EnrollOptions, plan func(holder) ([]edit, error)) error {
	w, err := d.source.editor(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	p, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	edits, err := plan(p)
	if err != nil || o.DryRun {
		return err
	}
	for _, e := range edits {
		if o.LDIF != nil {
			_, err = io.WriteString(o.LDIF, e.ldif())
		} else {
			err = w.apply(ctx, e, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enrolment returns what gives p the token e.
func (d *Directory) enrolment(name string, p holder, e Enrolment, o EnrollOptions) ([]edit, error) {
	if d.replica.schema.owner != "" {
		return d.tokenEntry(name, p, e, o)
	}
	s := &d.replica.schema
	change := edit{dn: p.dn}
	old := s.held(p.target)
	if len(old) > 0 && !o.Replace && !o.Add {
		return nil, ErrEnrolled
	}
	slot := sealed.DefaultSlot
	if o.Add {
		slot = strconv.Itoa(len(old) + 1)
	}
	value, params, err := d.keyValue(name, slot, e)
	if err != nil {
		return nil, err
	}
	change.addClass(s.classToken, p.get("objectClass"))
	if len(old) > 0 && o.Replace {
		change.mod(opDelete, s.key, old...)
	}
	change.mod(opAdd, s.key, value)
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
			return fmt.Errorf("schema %q has no place for parameters: only SHA1, 6 digits and 30 s can be enrolled in clear", s.name)
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
func (d *Directory) tokenEntry(name string, p holder, e Enrolment, o EnrollOptions) (edits []edit, err error) {
	s := &d.replica.schema
	if len(p.tokens) > 0 && !o.Replace && !o.Add {
		return nil, ErrEnrolled
	}
	serial := e.Serial
	if serial == "" {
		serial = newUUID()
	}
	value, _, err := d.keyValue(name, serial, e)
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
	edits = append(edits, token)
	if o.Replace {
		edits = append(edits, removals(p.tokens)...)
	}
	return edits, nil
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
	if old := s.held(p.target); len(old) > 0 {
		change.mod(opDelete, s.key, old...)
	}
	if s.token != "" && len(p.get(s.token)) > 0 {
		change.mod(opDelete, s.token, p.get(s.token)...)
		for _, class := range p.get("objectClass") {
			if isClass(class, "oathTOTPUser") {
				change.mod(opDelete, "objectClass", class) // which must have the attribute
			}
		}
	}
	if len(change.mods) == 0 {
		return nil, ErrNotEnrolled
	}
	return []edit{change}, nil
}
