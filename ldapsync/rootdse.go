package ldapsync

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// serverInfo is what a server says of itself in its root DSE (RFC 4512, section
// 5.1).
type serverInfo struct {
	sync            bool // RFC 4533
	openLDAP        bool
	activeDirectory bool
	suffix          string // the naming context that holds the base DN; "" if none does
	key             keyRights
}

const (
	oidSync            = "1.3.6.1.4.1.4203.1.9.1.1"
	oidActiveDirectory = "1.2.840.113556.1.4.800"
)

// rootDSE asks the server what it is. One that does not say is taken for one
// that can do nothing but be searched.
func (c *conn) rootDSE(ctx context.Context, base string) (info serverInfo, err error) {
	request := ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)",
		[]string{"objectClass", "supportedControl", "supportedCapabilities", "namingContexts", "schemaNamingContext"}, nil)
	var result *ldap.SearchResult
	err = c.do(ctx, c.server.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	if isAnswer(err) || err == nil && len(result.Entries) != 1 {
		return serverInfo{}, nil
	}
	if err != nil {
		return info, err
	}
	e := result.Entries[0]
	info.sync = slices.Contains(e.GetEqualFoldAttributeValues("supportedControl"), oidSync)
	info.openLDAP = slices.Contains(e.GetEqualFoldAttributeValues("objectClass"), "OpenLDAProotDSE")
	info.activeDirectory = slices.Contains(e.GetEqualFoldAttributeValues("supportedCapabilities"), oidActiveDirectory)
	norm := normalizeDN(base)
	for _, context := range e.GetEqualFoldAttributeValues("namingContexts") {
		// The longest: one may lie in another.
		if n := normalizeDN(context); (n == norm || strings.HasSuffix(norm, ","+n)) && len(context) > len(info.suffix) {
			info.suffix = context
		}
	}
	if info.activeDirectory {
		info.key, err = c.keyRights(ctx, e.GetEqualFoldAttributeValue("schemaNamingContext"))
	}
	return info, err
}
