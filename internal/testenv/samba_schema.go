package testenv

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// userClass is the schemaIDGUID of the class user (MS-ADSC).
const userClass = "bf967aba-0de6-11d0-a285-00aa003049e2"

// GrantConfidential lets the service account read a confidential attribute of
// the users below PeopleDN, as dsacls does on Windows.
func (s *SambaServer) GrantConfidential(t testing.TB, attribute string) {
	t.Helper()
	sid := sidText(s.value(t, s.ServiceDN, "objectSid"))
	guid := guidText(s.value(t, "CN="+attribute+",CN=Schema,CN=Configuration,"+s.BaseDN, "schemaIDGUID"))
	sddl := fmt.Sprintf("(OA;CIIO;RPCR;%s;%s;%s)", guid, userClass, sid)
	output, err := exec.CommandContext(t.Context(), Tool(t, "samba-tool"), "dsacl", "set", "--configfile="+filepath.Join(s.dir, "smb.conf"),
		"-H", filepath.Join(s.dir, "private/sam.ldb"), "--objectdn="+s.PeopleDN, "--sddl="+sddl).CombinedOutput()
	if err != nil {
		t.Fatalf("samba-tool dsacl: %v\n%s", err, output)
	}
}

// value returns one value of an entry.
func (s *SambaServer) value(t testing.TB, dn, attribute string) (value []byte) {
	t.Helper()
	s.admin(t, func(c *ldap.Conn) error {
		result, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
		if err != nil {
			return fmt.Errorf("read %q: %w", dn, err)
		}
		value = result.Entries[0].GetRawAttributeValue(attribute)
		return nil
	})
	return value
}

// sidText writes a SID as MS-DTYP, section 2.4.2.1, does.
func sidText(b []byte) string {
	text := fmt.Sprintf("S-%d-%d", b[0], uint64(binary.BigEndian.Uint16(b[2:]))<<32|uint64(binary.BigEndian.Uint32(b[4:])))
	for b = b[8:]; len(b) >= 4; b = b[4:] {
		text += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(b))
	}
	return text
}

// guidText writes a GUID as MS-DTYP, section 2.3.4.3, does, without braces.
func guidText(b []byte) string {
	return strings.ToLower(fmt.Sprintf("%08X-%04X-%04X-%X-%X", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16]))
}
