package tokenfile

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// What Lockstep can use; the verifier and the directory say the same.
const (
	minKey    = 10
	maxKey    = 128
	minPeriod = 15 * time.Second
	maxPeriod = 120 * time.Second
	maxName   = 253
)

const skipHOTP = "HOTP, which counts logins and not time"

// check fills in what the file left out and refuses what is out of range.
func (t *Token) check(format string) {
	if t.Algorithm == "" {
		t.Algorithm = "SHA1"
	}
	if t.Digits == 0 {
		t.Digits = 6
	}
	if t.Period == 0 {
		t.Period = 30 * time.Second
	}
	t.User, t.Serial = t.name(t.User, "user name"), t.name(t.Serial, "serial number")
	switch n := t.Key.Len(); {
	case n == 0 && format != CSV:
		t.refuse("it has no key")
	case n != 0 && (n < minKey || n > maxKey):
		t.refuse(fmt.Sprintf("key of %d octets, want %d to %d", n, minKey, maxKey))
	case t.Digits != 6 && t.Digits != 8:
		t.refuse(fmt.Sprintf("%d digits, want 6 or 8", t.Digits))
	case t.Period < minPeriod || t.Period > maxPeriod:
		t.refuse(fmt.Sprintf("period of %d s, want 15 to 120", t.Period/time.Second))
	}
}

// name returns s if it can be printed, else "".
func (t *Token) name(s, what string) string {
	if len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	t.refuse("its " + what + " is too long or holds control characters")
	return ""
}

// setAlgorithm takes the names in use: SHA256, sha-256, HMAC-SHA256, HmacSHA256.
func (t *Token) setAlgorithm(s string) {
	switch name := strings.TrimPrefix(strings.NewReplacer("-", "", "_", "").Replace(strings.ToUpper(s)), "HMAC"); name {
	case "":
	case "SHA1", "SHA256", "SHA512":
		t.Algorithm = name
	default:
		t.refuse("its algorithm is none of SHA1, SHA256 and SHA512")
	}
}

// setDigits takes a number; "" leaves the default.
func (t *Token) setDigits(s string) {
	n, ok := number(s, 99)
	if !ok {
		t.refuse("its number of digits is not a number")
	}
	t.Digits = n
}

// setPeriod takes a number of seconds; "" leaves the default.
func (t *Token) setPeriod(s string) {
	n, ok := number(s, 1_000_000)
	if !ok {
		t.refuse("its period is not a number of seconds")
	}
	t.Period = time.Duration(n) * time.Second
}

// number reads a number from 1 to limit. Text of no length is 0 and no fault.
func number(s string, limit int) (n int, ok bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		return 0, false
	}
	return n, true
}

// setKey decodes s, or refuses the token with a text that holds nothing of it.
func (t *Token) setKey(s string, decode func(string) ([]byte, error)) {
	key, err := decode(s)
	if err != nil {
		t.refuse(err.Error())
		return
	}
	t.Key = opaque.Of(key)
}

// setDates narrows NotBefore and NotAfter by what more than one place says.
func (t *Token) setDates(start, end string, layouts ...string) {
	if from, ok := date(start, layouts); !ok {
		t.refuse("its start date cannot be read")
	} else if from.After(t.NotBefore) {
		t.NotBefore = from
	}
	if to, ok := date(end, layouts); !ok {
		t.refuse("its expiry date cannot be read")
	} else if !to.IsZero() && (t.NotAfter.IsZero() || to.Before(t.NotAfter)) {
		t.NotAfter = to
	}
}

// date reads s by the first layout that fits. Text of no length is the zero
// time and no fault. A time without a zone is UTC.
func date(s string, layouts []string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	for _, layout := range layouts {
		if when, err := time.Parse(layout, s); err == nil {
			return when.UTC(), true
		}
	}
	return time.Time{}, false
}

// The texts of the decoders below are their own: those of the standard library
// say where a fault lies and what it is, which is a hint to the key.

var unpadded = base32.StdEncoding.WithPadding(base32.NoPadding)

var typed = strings.NewReplacer(" ", "", "-", "", "\t", "")

// fromBase32 takes base32 as people type it: in any case, in groups, with or
// without padding.
func fromBase32(s string) ([]byte, error) {
	s = strings.TrimRight(typed.Replace(s), "=")
	key, err := unpadded.DecodeString(strings.ToUpper(s))
	// The library drops the last character of a length that cannot be, and
	// ToUpper makes ASCII of some letters that are not.
	if n := len(s) % 8; err != nil || n == 1 || n == 3 || n == 6 || strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return nil, errors.New("its key is not base32")
	}
	return key, nil
}

// fromHex takes hexadecimal digits, and base32 if it cannot be those: an
// exporter may write either. A key in base32 that passes for hexadecimal has no
// letter beyond F, one in 10^13 of 20 octets.
func fromHex(s string) ([]byte, error) {
	if key, err := hex.DecodeString(s); err == nil {
		return key, nil
	}
	key, err := fromBase32(s)
	if err != nil {
		return nil, errors.New("its key is neither hexadecimal nor base32")
	}
	return key, nil
}

// fromBase64 takes base64 with line breaks and spaces within.
func fromBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, errors.New("its key is not base64")
	}
	return b, nil
}

// login returns the login name that a DN names: its uid, or else the cn it
// begins with. What is no DN is a name already; a DN of neither kind is "".
func login(s string) string {
	if !strings.Contains(s, "=") || len(s) > 4096 {
		return s
	}
	if strings.Contains(s, "=#") {
		// ParseDN decodes BER here, and trusts the length that it announces.
		return ""
	}
	dn, err := ldap.ParseDN(s)
	if err != nil {
		return s
	}
	for _, rdn := range dn.RDNs {
		if uid := attribute(rdn, "uid"); uid != "" {
			return uid
		}
	}
	// Only in front: further up, cn=users is a container.
	return attribute(dn.RDNs[0], "cn")
}

func attribute(rdn *ldap.RelativeDN, name string) string {
	for _, a := range rdn.Attributes {
		if strings.EqualFold(a.Type, name) {
			return a.Value
		}
	}
	return ""
}
