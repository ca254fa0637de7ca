package ldif

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
)

// NormalizeDN returns dn in the one form that all spellings of it share: case
// folded, without spaces that mean nothing, escapes and the parts of a
// multi-valued RDN put in order. Two DNs with the same form name one entry.
//
// The case of values is folded whatever their schema says. Names of attribute
// types are not resolved: "cn=x", "commonName=x" and "2.5.4.3=x" stay three. A
// DN is refused if it is empty, malformed, not UTF-8, holds NUL, or has a value
// in the hexadecimal form ("#04...") of RFC 4514. The error does not quote it.
func NormalizeDN(dn string) (string, error) {
	switch {
	case strings.Contains(dn, "=#"):
		// ParseDN decodes BER here, and trusts the length that it announces.
		return "", errors.New("DN with a value in hexadecimal (=#) is not supported")
	case !utf8.ValidString(dn):
		return "", errors.New("DN is not UTF-8")
	}
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "", errors.New("malformed DN")
	}
	if len(parsed.RDNs) == 0 {
		return "", errors.New("empty DN")
	}
	for _, rdn := range parsed.RDNs {
		for _, attr := range rdn.Attributes {
			if err := normalize(attr); err != nil {
				return "", err
			}
		}
	}
	return parsed.String(), nil
}

func normalize(attr *ldap.AttributeTypeAndValue) error {
	if !validType(attr.Type) {
		return errors.New("malformed DN")
	}
	if strings.ContainsRune(attr.Value, 0) {
		return errors.New("NUL in a DN")
	}
	attr.Value = strings.Join(strings.Fields(cases.Fold().String(attr.Value)), " ")
	return nil
}
