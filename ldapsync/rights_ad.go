package ldapsync

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// keyRights is what the schema of Active Directory says of who may read and write
// the attribute that keys are in.
type keyRights struct {
	attr         string // which that is; "" if nothing is known
	confidential bool   // only who was granted it may read it
	own          bool   // people may write it in their own entry, unless an admin has changed that
}

// Of an attribute in the schema (MS-ADTS, sections 2.2.9 and 2.2.10).
const (
	flagConfidential = 0x80
	flagBaseSchema   = 0x10 // for which the flag above counts for nothing
)

// ownSets are the property sets that people may write in their own entry (MS-ADTS,
// section 3.1.1.2.3.3): Personal Information, Phone and Mail Options, Web
// Information and Private Information.
var ownSets = []string{
	"\x86\xb8\xb5\x77\x4a\x94\xd1\x11\xae\xbd\x00\x00\xf8\x03\x67\xc1",
	"\xb2\x95\x57\xe4\x55\x94\xd1\x11\xae\xbd\x00\x00\xf8\x03\x67\xc1",
	"\xb3\x95\x57\xe4\x55\x94\xd1\x11\xae\xbd\x00\x00\xf8\x03\x67\xc1",
	"\xde\x47\xe6\x91\x6f\xd9\x70\x4b\x95\x57\xd6\x3f\xf4\xf3\xcc\xd8",
}

// keyRights asks the schema. Nothing is known where it does not answer.
func (c *conn) keyRights(ctx context.Context, schemaContext string) (keyRights, error) {
	attr := or(c.server.cfg.KeyAttribute, schemas[c.server.cfg.Schema].key)
	if schemaContext == "" {
		return keyRights{}, nil
	}
	request := ldap.NewSearchRequest(schemaContext, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 1, 0, false,
		"(&(objectClass=attributeSchema)(lDAPDisplayName="+ldap.EscapeFilter(attr)+"))", []string{"searchFlags", "systemFlags", "attributeSecurityGUID"}, nil)
	var result *ldap.SearchResult
	err := c.do(ctx, c.server.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	switch {
	case isAnswer(err) || err == nil && len(result.Entries) != 1:
		return keyRights{}, nil
	case err != nil:
		return keyRights{}, err
	}
	e := result.Entries[0]
	return keyRights{
		attr:         attr,
		confidential: flags(e, "searchFlags")&flagConfidential != 0 && flags(e, "systemFlags")&flagBaseSchema == 0,
		own:          slices.Contains(ownSets, string(e.GetEqualFoldRawAttributeValue("attributeSecurityGUID"))),
	}, nil
}

func flags(e *ldap.Entry, attr string) int64 {
	n, _ := strconv.ParseInt(e.GetEqualFoldAttributeValue(attr), 10, 64) // none are none
	return n
}

// mustSeal tells whether keys in attr can be read by others at such a server, as
// far as is known.
func (i serverInfo) mustSeal(attr string) bool {
	return i.activeDirectory && !(i.key.confidential && strings.EqualFold(i.key.attr, attr))
}

// ownWrite tells whether people may write attr in their own entry. Then a password
// is enough to enrol a key: the public key that it is sealed to is no secret.
func (i serverInfo) ownWrite(attr string) bool {
	return i.activeDirectory && i.key.own && strings.EqualFold(i.key.attr, attr)
}
