package ldapsync

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/ldapsync/sealed"
)

// maxID is the length of the longest account ID, in octets: stores have limits
// for what they keep states under.
const maxID = 1000

// maxTokens bounds the tokens of an account: each makes guessing easier.
const maxTokens = 8

// maxOpens bounds the tries to open the sealed keys of an account, some 80 µs each:
// whoever may write an entry must not choose how long that takes.
const maxOpens = 200

// depth says how far the tokens of an account are looked at.
type depth int

const (
	opened   depth = iota
	unopened       // sealed keys are left as they are: good for telling whether all is well formed
	keyless        // that there is a token is enough
)

// builder makes an account of its records.
type builder struct {
	*replica
	depth   depth
	account Account
	names   []string // canonical names of the account, for which its keys may be sealed; see named
	person  *record  // that has them; nil where names is set
	active  int      // tokens that the directory checks
	opens   int      // tries to open sealed keys
}

// build returns the account of records, which belong to one person and are
// found by name.
func (r *replica) build(name string, records []*record, to depth) (Account, error) {
	b := builder{replica: r, depth: to, person: records[0]}
	d := records[0].digest()
	b.account = Account{Name: name, DN: d.first[fieldDN], Delegated: r.schema.directory}
	if owner := d.first[fieldOwner]; owner != "" {
		b.account.ID, b.account.DN = "dn:"+normalizeDN(owner), owner
	} else {
		b.account.ID = idText(d.first[fieldID])
	}
	if err := b.check(d.first[fieldDisabled]); err != nil {
		return b.account, err
	}
	if to == keyless {
		return b.holder(records)
	}
	b.entry(&d)
	for _, rec := range records[1:] {
		d = rec.digest()
		b.entry(&d)
	}
	return b.result()
}

// holder is result of who only has to have a key, whatever it is.
func (b *builder) holder(records []*record) (Account, error) {
	for _, rec := range records {
		if d := rec.digest(); d.holds() || d.is(classToken) {
			return b.account, nil
		}
	}
	return b.account, ErrNoAccount
}

// named returns b.names. They are looked up late, because few logins need them.
func (b *builder) named() []string {
	if b.person != nil {
		b.names, b.person = b.person.all(fieldName), nil
	}
	return b.names
}

// check says why nobody may log in by the account, whatever its tokens. why is what
// the entry found says of that.
func (b *builder) check(why string) error {
	if n := len(b.account.ID); n > maxID {
		return &UnusableError{fmt.Sprintf("ID of %d octets (entryUUID, nsUniqueId or the DN): want at most %d", n, maxID)}
	}
	if b.schema.owner != "" { // then it is the owner's entry that counts
		why = ""
		if owner := b.byDN(b.account.DN); owner != nil {
			why = owner.first(fieldDisabled)
		}
	}
	if why != "" {
		return &UnusableError{why}
	}
	return nil
}

// entry adds the tokens that an entry holds or names.
func (b *builder) entry(d *digest) {
	b.tokens(d)
	tokens := d.all(fieldToken)
	if b.schema.directory {
		b.active += len(tokens)
		return
	}
	for i, dn := range tokens {
		if i == maxLinks {
			b.problem("", fmt.Errorf("%d values of %s, of which %d are looked at", len(tokens), b.schema.token, maxLinks))
			return
		}
		if token, err := b.linked(d.of, dn); err != nil {
			b.problem("", err)
		} else if token != d.of {
			linked := token.digest()
			b.tokens(&linked)
		}
	}
}

// maxLinks bounds how many entries are looked at for the tokens of one.
const maxLinks = 4 * maxTokens

// linked returns the entry that rec names for a token of its owner's. What has a
// login name of its own is somebody else's: its key would be shared, and failures
// with it.
func (b *builder) linked(rec *record, dn string) (*record, error) {
	token := b.byDN(dn)
	if token == nil {
		return nil, fmt.Errorf("%s names %.200q, which is not below the base DN, has no %s, or may not be read", b.schema.token, dn, b.schema.key)
	}
	if name := token.first(fieldName); token != rec && name != "" && !slices.Contains(b.named(), name) {
		return nil, fmt.Errorf("%s names %.200q, which is somebody else's entry", b.schema.token, dn)
	}
	return token, nil
}

// tokens adds the keys of an entry itself.
func (b *builder) tokens(d *digest) {
	serial := d.first[fieldSerial]
	if err := b.valid(d); err != nil {
		b.problem(serial, err)
		return
	}
	keys := d.all(fieldKey)
	if (b.schema.directory || len(keys) == 0) && d.is(classToken) {
		if b.schema.directory {
			b.active++
		} else {
			b.problem(serial, fmt.Errorf("its %s may not be read by the service account", b.schema.key))
		}
		return
	}
	for i, value := range keys {
		if t, err := b.token(d, value); err == nil {
			b.add(t, serial, i == 0)
		} else {
			b.problem(serial, err)
		}
	}
}

// add adds t, whose entry says serial. Of several keys in there the first has it.
func (b *builder) add(t Token, serial string, first bool) {
	t.Name = serial
	if serial == "" || !first {
		t.Name = strconv.Itoa(len(b.account.Tokens) + 1)
	}
	b.account.Tokens = append(b.account.Tokens, t)
}

// valid says why the tokens of an entry do not count now, or nil.
func (b *builder) valid(d *digest) error {
	if why := d.first[fieldDisabled]; why != "" {
		return errors.New(why)
	}
	if err := b.limit(b.schema.notBefore, d.first[fieldNotBefore], -1, "not valid before"); err != nil {
		return err
	}
	return b.limit(b.schema.notAfter, d.first[fieldNotAfter], +1, "not valid after")
}

// limit says, with text, that the time is on the wrong side of v, if that is set:
// before it at -1, after it at +1.
func (b *builder) limit(attr, v string, wrong int, text string) error {
	if v == "" {
		return nil
	}
	at, err := generalizedTime(v)
	if err != nil {
		return fmt.Errorf("%s %.50q: want a time such as 20260101000000Z", attr, v)
	}
	if b.now().Compare(at) == wrong {
		return fmt.Errorf("%s %s", text, at.Format(time.RFC3339))
	}
	return nil
}

// generalizedTime reads the syntax of RFC 4517, section 3.3.13, as servers write it.
func generalizedTime(v string) (time.Time, error) { return time.Parse("20060102150405Z0700", v) }

// token decodes one key of an entry. A sealed one brings its parameters along, which
// nobody who can write to the directory can change.
func (b *builder) token(d *digest, value string) (Token, error) {
	if b.plaintextForbidden() && !sealed.Sealed(value) {
		return Token{}, errPlain
	}
	return b.decode(d, value)
}

// decode is token for keys in clear also where they are forbidden.
func (b *builder) decode(d *digest, value string) (Token, error) {
	if sealed.Sealed(value) {
		return b.open(value, int(d.count[fieldKey]), d.first[fieldSerial])
	}
	p := d.parameters()
	if dn := d.first[fieldParams]; dn != "" {
		from, ok := b.parametersAt(dn)
		if !ok {
			return Token{}, fmt.Errorf("%s names %.200q, which is not below the base DN, lacks objectClass %s or may not be read", b.schema.params, dn, b.schema.classParams)
		}
		p = p.or(from)
	}
	e, err := b.schema.parse(p)
	if err != nil {
		return Token{}, err
	}
	key, err := b.schema.decodeKey(value)
	return Token{Key: key, Algorithm: e.Algorithm, Digits: e.Digits, Period: e.Period}, err
}

// parametersAt returns what the entry of dn says for others, if it may.
func (b *builder) parametersAt(dn string) (p parameters, ok bool) {
	rec := b.byDN(dn)
	if rec == nil {
		return p, false
	}
	d := rec.digest()
	return d.parameters(), d.is(classParams)
}

// open opens a sealed key with each name and slot that it can have been sealed for.
func (b *builder) open(value string, slots int, serial string) (Token, error) {
	switch {
	case b.depth == unopened:
		return Token{}, sealed.Check(value)
	case b.keyring == nil:
		return Token{}, errors.New("sealed key, but directory.sealing_key_file is not set")
	}
	tried := []string{serial}
	for i := range max(slots, maxTokens) { // those before it may have gone
		tried = append(tried, strconv.Itoa(i+1))
	}
	var first error
	for _, slot := range tried {
		if slot == "" {
			continue
		}
		for _, name := range b.named() {
			if b.opens++; b.opens > maxOpens {
				return Token{}, fmt.Errorf("too many keys and login names in one account: more than %d tries to open them", maxOpens)
			}
			c, err := b.keyring.Open(sealed.Binding{Realm: b.realm, User: name, Slot: slot}, value)
			if err == nil {
				return Token{Key: c.Key, Algorithm: c.Algorithm, Digits: c.Digits, Period: c.Period}, nil
			}
			if !errors.Is(err, sealed.ErrBinding) {
				return Token{}, err
			}
			first = err
		}
	}
	return Token{}, first
}

func (b *builder) problem(serial string, err error) {
	text := err.Error()
	if serial != "" {
		text = fmt.Sprintf("token %.100q: %s", serial, text)
	}
	b.account.Problems = append(b.account.Problems, text)
}

// result returns the account if anything in it can be used.
func (b *builder) result() (Account, error) {
	a := b.account
	n := max(len(a.Tokens), b.active)
	switch {
	case n > maxTokens:
		a.Tokens = nil
		return a, &UnusableError{fmt.Sprintf("%d tokens: want at most %d", n, maxTokens)}
	case n > 0:
		return a, nil
	case len(a.Problems) == 0:
		return a, ErrNoAccount
	}
	why := strings.Join(a.Problems, "; ")
	a.Tokens, a.Problems = nil, nil
	return a, &UnusableError{why}
}
