package ldapsync

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// schema is how tokens are laid out in the entries of a directory: which
// attribute holds what. An empty name means that there is none.
type schema struct {
	name     string // as it is configured
	login    string
	key      string
	encoding string // of a key that is not sealed: "base32" or "raw"

	algorithm, digits, period string
	algorithms                map[string]string // values of algorithm, in lower case, to our names
	fixPeriod                 bool              // periods under 5 s mean the default

	params string // DN of an entry with the three above
	token  string // DN of an entry with the key
	owner  string // DN of the entry of whoever owns the token that this entry is
	serial string

	disabled, notBefore, notAfter string // of tokens

	classToken, classParams string // auxiliary classes that allow key and parameters

	control   bool // the key is in FreeRADIUS's notation
	directory bool // codes are checked by the directory, in the bind; keys are not read
}

// Values of the algorithm attributes (RFC 8018, appendix C, for the OIDs).
var (
	algorithmOIDs = map[string]string{
		"1.2.840.113549.2.7":  "SHA1",
		"1.2.840.113549.2.9":  "SHA256",
		"1.2.840.113549.2.11": "SHA512",
	}
	algorithmNames = map[string]string{
		"sha1": "SHA1", "sha256": "SHA256", "sha512": "SHA512",
		"hmac-sha1": "SHA1", "hmac-sha256": "SHA256", "hmac-sha512": "SHA512",
		"hmacsha1": "SHA1", "hmacsha256": "SHA256", "hmacsha512": "SHA512",
		"sha-1": "SHA1", "sha-256": "SHA256", "sha-512": "SHA512",
	}
)

var schemas = map[string]schema{
	// draft OATH-LDAP, as OpenLDAP's overlay otp has it
	"oath": {
		key: "oathSecret", algorithm: "oathHMACAlgorithm", digits: "oathOTPLength", period: "oathTOTPTimeStepPeriod",
		algorithms: algorithmOIDs, params: "oathTOTPParams", token: "oathTOTPToken", serial: "oathTokenSerialNumber",
		classToken: "oathTOTPToken", classParams: "oathTOTPParams",
	},
	"freeipa": {
		key: "ipatokenOTPkey", encoding: "raw", algorithm: "ipatokenOTPalgorithm", digits: "ipatokenOTPdigits", period: "ipatokenTOTPtimeStep",
		algorithms: algorithmNames, fixPeriod: true, owner: "ipatokenOwner", serial: "ipatokenUniqueID",
		disabled: "ipatokenDisabled", notBefore: "ipatokenNotBefore", notAfter: "ipatokenNotAfter",
		classToken: "ipatokenTOTP",
	},
	"freeradius": {key: "radiusControlAttribute", encoding: "base32", control: true},
	// An attribute of the base schema that people cannot write in their own entry.
	"ad":     {login: "sAMAccountName", key: "adminDescription", encoding: "base32"},
	"custom": {algorithms: algorithmNames},
}

var attributeName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*$`)

func newSchema(c Config) (schema, error) {
	s, ok := schemas[c.Schema]
	if !ok {
		return s, fmt.Errorf("schema %q: want oath, freeipa, freeradius, ad or custom", c.Schema)
	}
	s.name = c.Schema
	s.login = cmp.Or(c.LoginAttribute, s.login, "uid")
	s.key = cmp.Or(c.KeyAttribute, s.key)
	s.encoding = cmp.Or(s.encoding, c.KeyEncoding, "base32")
	s.directory = c.Delegate
	if c.Schema == "custom" {
		s.algorithm, s.digits, s.period = c.AlgorithmAttribute, c.DigitsAttribute, c.PeriodAttribute
		s.serial, s.disabled = c.SerialAttribute, c.DisabledAttribute
	} else if c.AlgorithmAttribute+c.DigitsAttribute+c.PeriodAttribute+c.SerialAttribute+c.DisabledAttribute != "" {
		return s, fmt.Errorf("attributes for parameters go with schema custom, not with %q", c.Schema)
	}
	return s, s.check()
}

func (s schema) check() error {
	if s.key == "" {
		return errors.New("schema custom needs a key attribute")
	}
	for _, attr := range s.named() {
		if !attributeName.MatchString(attr) {
			return fmt.Errorf("%q is no name of an attribute", attr)
		}
	}
	if s.encoding != "base32" && s.encoding != "raw" {
		return fmt.Errorf("key encoding %q: want base32 or raw", s.encoding)
	}
	if s.directory && s.owner == "" && s.token == "" {
		return fmt.Errorf("schema %q cannot leave codes to the directory; freeipa and oath can", s.name)
	}
	return nil
}

// named returns the names of the attributes that hold something of the schema.
func (s schema) named() []string {
	all := []string{s.login, s.key, s.algorithm, s.digits, s.period, s.params, s.token, s.owner, s.serial, s.disabled, s.notBefore, s.notAfter}
	return slices.DeleteFunc(all, func(attr string) bool { return attr == "" })
}

// Attributes by which directories disable whole entries.
const (
	attrLocked  = "nsAccountLock"        // 389-DS and FreeIPA: TRUE
	attrControl = "userAccountControl"   // Active Directory: bit 2
	attrPolicy  = "pwdAccountLockedTime" // draft-behera: 000001010000Z is for ever
)

// attributes are what is asked for of each entry. A delegated code needs no key,
// and the service account had better not be able to read one.
func (s schema) attributes() []string {
	names := append(s.named(), "objectClass", attrLocked, attrControl, attrPolicy)
	if s.directory {
		names = slices.DeleteFunc(names, func(attr string) bool { return attr == s.key })
	}
	return names
}

// identifying are the attributes that name an entry for good, and say when it
// was changed. In RFC 4533 the protocol does the first.
var identifying = []string{"entryUUID", "objectGUID", "nsUniqueId", "modifyTimestamp", "uSNChanged"}

// filter finds the entries that matter: those with a key or the name of an entry
// that has one, parameters, and where the tokens are entries of their own those
// of people who are disabled.
func (s schema) filter() string {
	switch {
	case s.owner != "":
		return "(|(objectClass=" + s.classToken + ")(" + attrLocked + "=TRUE))"
	case s.token != "":
		return "(|(" + s.key + "=*)(" + s.token + "=*)(objectClass=" + s.classParams + "))"
	}
	return "(" + s.key + "=*)"
}

// keys returns the values of the key attribute that are keys, undecoded.
func (s schema) keys(values []string) []string {
	if !s.control {
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

// isTrue reads the Boolean syntax (RFC 4517, section 3.3.3), and "1".
func isTrue(v []byte) bool { return strings.EqualFold(string(v), "TRUE") || string(v) == "1" }
