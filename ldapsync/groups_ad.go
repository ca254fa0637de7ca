package ldapsync

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// What Active Directory has besides (MS-ADTS, sections 3.1.1.3.4.3 and
// 3.1.1.3.4.4, and MS-DTYP, section 2.4.2.2).
const (
	capabilityAD     = "1.2.840.113556.1.4.800"
	ruleInChain      = "1.2.840.113556.1.4.1941"
	attrSID          = "objectSid"
	attrPrimaryGroup = "primaryGroupID"
)

// activeDirectory tells whether the directory is one, by its root DSE.
func (g *ldapGroups) activeDirectory(ctx context.Context) (bool, error) {
	g.mu.Lock()
	known := g.isAD
	g.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	const attr = "supportedCapabilities"
	found, err := g.search(ctx, "", ldap.ScopeBaseObject, "(objectClass=*)", false, []string{attr})
	if err != nil {
		return false, fmt.Errorf("read the root DSE: %w", err)
	}
	yes := len(found) > 0 && slices.Contains(found[0].GetEqualFoldAttributeValues(attr), capabilityAD)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isAD = &yes
	return yes, nil
}

// inAD asks about one group alone, which is quick also where the chain of
// groups is long. The primary group of an account does not list it.
func (m *ldapMembers) inAD(ctx context.Context, group string, nested bool) (bool, error) {
	member := "member"
	if nested {
		member += ":" + ruleInChain + ":"
	}
	filter := "(" + member + "=" + ldap.EscapeFilter(m.dn) + ")(" + attrSID + "=" + ldap.EscapeFilter(m.primary) + ")"
	if nested {
		dn, err := m.primaryGroup(ctx)
		if err != nil {
			return false, err
		}
		filter += "(" + member + "=" + ldap.EscapeFilter(dn) + ")"
	}
	e, err := m.entry(ctx, group, "(|"+filter+")", none)
	return e != nil, err
}

// primaryGroup returns the DN of the account's primary group. There are few of
// them, and they do not move.
func (m *ldapMembers) primaryGroup(ctx context.Context) (string, error) {
	m.mu.Lock()
	dn, ok := m.ldapGroups.primary[m.primary]
	m.mu.Unlock()
	if ok {
		return dn, nil
	}
	found, err := m.search(ctx, "<SID="+textSID(m.primary)+">", ldap.ScopeBaseObject, "(objectClass=*)", true, []string{none})
	if err == nil && len(found) == 0 {
		err = errors.New("it is not there, or may not be read")
	}
	if err != nil {
		return "", fmt.Errorf("find the account's primary group: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ldapGroups.primary[m.primary] = found[0].DN
	return found[0].DN, nil
}

// primarySID returns the SID of an account's primary group, in octets: that of
// the account with another last number.
func primarySID(e *ldap.Entry) (string, error) {
	sid := e.GetEqualFoldRawAttributeValue(attrSID)
	rid, err := strconv.ParseUint(e.GetEqualFoldAttributeValue(attrPrimaryGroup), 10, 32)
	if err != nil || !validSID(sid) {
		return "", fmt.Errorf("%s and %s of the account cannot be read", attrSID, attrPrimaryGroup)
	}
	return string(binary.LittleEndian.AppendUint32(slices.Clone(sid[:len(sid)-4]), uint32(rid))), nil
}

// validSID tells whether sid is a revision, a count, 6 octets of authority, and
// as many numbers of 4 octets as it counts, one at least.
func validSID(sid []byte) bool {
	return len(sid) >= 12 && sid[0] == 1 && sid[1] <= 15 && len(sid) == 8+4*int(sid[1])
}

// textSID writes a valid SID as "S-1-5-21-…".
func textSID(sid string) string {
	var authority uint64
	for _, b := range []byte(sid[2:8]) {
		authority = authority<<8 | uint64(b)
	}
	text := "S-1-" + strconv.FormatUint(authority, 10)
	for rest := []byte(sid[8:]); len(rest) > 0; rest = rest[4:] {
		text += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(rest)), 10)
	}
	return text
}
