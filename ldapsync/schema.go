package ldapsync

import (
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"lockstep/internal/opaque"
)

// Attributes and classes of the OATH-LDAP schema, and the names of its hash
// algorithms (RFC 8018, appendix C).
const (
	attrDigits    = "oathOTPLength"
	attrAlgorithm = "oathHMACAlgorithm"
	attrPeriod    = "oathTOTPTimeStepPeriod"
	attrParams    = "oathTOTPParams" // DN of an entry with the three above
	classParams   = "oathTOTPParams"
	classToken    = "oathTOTPToken"
)

var algorithms = map[string]string{
	"1.2.840.113549.2.7":  "SHA1",
	"1.2.840.113549.2.9":  "SHA256",
	"1.2.840.113549.2.11": "SHA512",
}

// What a key is measured by. RFC 4226 asks for 16 octets and recommends 20;
// authenticators in the field also have 10. HMAC hashes a key over its block,
// 128 octets at most.
const (
	minKey = 10
	maxKey = 128
)

// schema is how keys and parameters are laid out in entries.
type schema struct {
	name     string
	login    string
	key      string
	encoding string // "base32" or "raw"
}

var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

func newSchema(c Config) (schema, error) {
	s := schema{name: c.Schema, login: c.LoginAttribute, key: c.KeyAttribute, encoding: c.KeyEncoding}
	switch c.Schema {
	case "oath":
		s.key = or(s.key, "oathSecret")
	case "freeradius":
		s.key, s.encoding = or(s.key, "radiusControlAttribute"), "base32"
	case "custom":
		if s.key == "" {
			return s, errors.New("schema custom needs a key attribute")
		}
	default:
		return s, fmt.Errorf("schema %q: want oath, freeradius or custom", c.Schema)
	}
	for _, attr := range []string{s.login, s.key} {
		if !attributeName.MatchString(attr) {
			return s, fmt.Errorf("%q is no name of an attribute", attr)
		}
	}
	if s.encoding != "base32" && s.encoding != "raw" {
		return s, fmt.Errorf("key encoding %q: want base32 or raw", s.encoding)
	}
	return s, nil
}

// hasParams tells whether the schema has a place for parameters.
func (s schema) hasParams() bool { return s.name == "oath" }

// attributes are what is asked for of each entry.
func (s schema) attributes() []string {
	names := []string{s.login, s.key, "objectClass", "entryUUID", "objectGUID", "nsUniqueId", "modifyTimestamp"}
	if s.hasParams() {
		names = append(names, attrDigits, attrAlgorithm, attrPeriod, attrParams)
	}
	return names
}

// filter finds the entries that matter: those with a key, and parameters.
func (s schema) filter() string {
	if s.hasParams() {
		return "(|(" + s.key + "=*)(objectClass=" + classParams + "))"
	}
	return "(" + s.key + "=*)"
}

// keys returns the values of the key attribute that are keys, undecoded.
func (s schema) keys(values []string) []string {
	if s.name != "freeradius" {
		return values
	}
	var keys []string
	for _, v := range values {
		if key, ok := controlKey(v); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// controlKey returns the key of a FreeRADIUS control attribute such as
//
//	TOTP-Secret := "JBSWY3DPEHPK3PXP"
//
// and whether v is one at all. Quotes are optional; other attributes and other
// operators are not keys.
func controlKey(v string) (string, bool) {
	const name = "TOTP-Secret"
	v = strings.TrimSpace(v)
	if len(v) < len(name) || !strings.EqualFold(v[:len(name)], name) {
		return "", false
	}
	v = strings.TrimLeft(v[len(name):], " \t")
	for _, operator := range []string{":=", "+=", "="} {
		key, ok := strings.CutPrefix(v, operator)
		if !ok {
			continue
		}
		if key != "" && strings.ContainsRune("=~*", rune(key[0])) {
			return "", false // ==, =~ and =* compare
		}
		key = strings.TrimSpace(key)
		if n := len(key); n >= 2 && (key[0] == '"' || key[0] == '\'') && key[n-1] == key[0] {
			key = key[1 : n-1]
		}
		return key, true
	}
	return "", false
}

// decodeKey returns the octets of a value. Errors quote nothing of it.
func (s schema) decodeKey(v string) (opaque.Bytes, error) {
	// Its text would pass for a raw key.
	if strings.HasPrefix(v, "{HPKE}") {
		return opaque.Bytes{}, errors.New("sealed key, which this version cannot open")
	}
	key := []byte(v)
	if s.encoding == "base32" {
		var err error
		if key, err = decodeBase32(v); err != nil {
			return opaque.Bytes{}, err
		}
	}
	return opaque.Of(key), checkKey(len(key))
}

func checkKey(octets int) error {
	if octets < minKey || octets > maxKey {
		return fmt.Errorf("key of %d octets: want %d to %d", octets, minKey, maxKey)
	}
	return nil
}

var unpadded = base32.StdEncoding.WithPadding(base32.NoPadding)

var typedBase32 = strings.NewReplacer(" ", "", "-", "", "\t", "", "\r", "", "\n", "")

// decodeBase32 takes base32 as people type and copy it: in any case, in
// groups, with or without padding. All else is refused, also a length that no
// number of octets has.
func decodeBase32(v string) ([]byte, error) {
	v = strings.TrimRight(typedBase32.Replace(v), "=")
	key, err := unpadded.DecodeString(strings.ToUpper(v))
	// The library drops the last character of a length that cannot be, and
	// ToUpper makes ASCII of some letters that are not.
	if n := len(v) % 8; err != nil || n == 1 || n == 3 || n == 6 || strings.ContainsFunc(v, func(r rune) bool { return r > 127 }) {
		// The library's error tells where, which is a hint to the key.
		return nil, errors.New("key is not base32")
	}
	return key, nil
}

// encodeKey returns the value to be written for a key.
func (s schema) encodeKey(key opaque.Bytes) string {
	switch {
	case s.name == "freeradius":
		return `TOTP-Secret := "` + unpadded.EncodeToString(key.Reveal()) + `"`
	case s.encoding == "base32":
		return unpadded.EncodeToString(key.Reveal())
	}
	return string(key.Reveal())
}

// parameters are the values of the three parameter attributes, unparsed.
type parameters struct{ algorithm, digits, period []string }

// or returns p with what it lacks from q.
func (p parameters) or(q parameters) parameters {
	if len(p.algorithm) == 0 {
		p.algorithm = q.algorithm
	}
	if len(p.digits) == 0 {
		p.digits = q.digits
	}
	if len(p.period) == 0 {
		p.period = q.period
	}
	return p
}

func (p parameters) none() bool { return len(p.algorithm)+len(p.digits)+len(p.period) == 0 }

var defaults = Enrolment{Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}

// parse returns p as an Enrolment without key. Absent values are SHA1, 6 and
// 30 s; a value that cannot be read is an error, never a default.
func (p parameters) parse() (e Enrolment, err error) {
	e = defaults
	if len(p.algorithm) > 0 {
		var known bool
		if e.Algorithm, known = algorithms[p.algorithm[0]]; !known || len(p.algorithm) > 1 {
			return e, fmt.Errorf("%s %.100q: want one OID of SHA1, SHA256 or SHA512", attrAlgorithm, p.algorithm)
		}
	}
	if len(p.digits) > 0 {
		if e.Digits, err = number(attrDigits, p.digits); err != nil {
			return e, err
		}
	}
	if len(p.period) > 0 {
		seconds, err := number(attrPeriod, p.period)
		if err != nil {
			return e, err
		}
		// Limited first, or a great number would wrap round to a good one.
		e.Period = time.Duration(min(max(seconds, 0), 1000)) * time.Second
	}
	return e, e.checkParameters()
}

func number(attr string, values []string) (int, error) {
	n, err := strconv.Atoi(values[0])
	if err != nil || len(values) > 1 {
		return 0, fmt.Errorf("%s %.100q: want one number", attr, values)
	}
	return n, nil
}

func (e Enrolment) checkParameters() error {
	switch {
	case e.Algorithm != "SHA1" && e.Algorithm != "SHA256" && e.Algorithm != "SHA512":
		return fmt.Errorf("algorithm %q: want SHA1, SHA256 or SHA512", e.Algorithm)
	case e.Digits != 6 && e.Digits != 8:
		return fmt.Errorf("%d digits: want 6 or 8", e.Digits)
	case e.Period < 15*time.Second || e.Period > 2*time.Minute || e.Period%time.Second != 0:
		return fmt.Errorf("period %s: want 15 s to 120 s, whole seconds", e.Period)
	}
	return nil
}

// checked returns e with its defaults in place.
func (e Enrolment) checked() (Enrolment, error) {
	e.Algorithm = or(e.Algorithm, defaults.Algorithm)
	e.Digits = or(e.Digits, defaults.Digits)
	e.Period = or(e.Period, defaults.Period)
	if err := checkKey(e.Key.Len()); err != nil {
		return e, err
	}
	return e, e.checkParameters()
}

// values returns the parameters as they are written.
func (e Enrolment) values() parameters {
	var p parameters
	for oid, name := range algorithms {
		if name == e.Algorithm {
			p.algorithm = []string{oid}
		}
	}
	p.digits = []string{strconv.Itoa(e.Digits)}
	p.period = []string{strconv.Itoa(int(e.Period / time.Second))}
	return p
}
