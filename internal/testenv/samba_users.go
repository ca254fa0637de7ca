package testenv

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// AddUser adds a user below PeopleDN and returns its DN. Its sAMAccountName is
// name, and its userPrincipalName name@example.org.
func (s *SambaServer) AddUser(t testing.TB, name, password string) (dn string) {
	t.Helper()
	dn = "CN=" + name + "," + s.PeopleDN
	s.addAccount(t, dn, name, password)
	return dn
}

// normalAccount is the userAccountControl of a user (MS-ADTS, section 2.2.16).
const (
	normalAccount  = 0x200
	accountDisable = 0x2
)

func (s *SambaServer) addAccount(t testing.TB, dn, name, password string) {
	t.Helper()
	s.admin(t, func(c *ldap.Conn) error {
		add := ldap.NewAddRequest(dn, nil)
		add.Attribute("objectClass", []string{"user"})
		add.Attribute("sAMAccountName", []string{name})
		add.Attribute("userPrincipalName", []string{name + "@example.org"})
		add.Attribute("userAccountControl", []string{fmt.Sprint(normalAccount)})
		add.Attribute("unicodePwd", []string{unicodePwd(password)})
		return c.Add(add)
	})
}

// unicodePwd is a password as MS-ADTS, section 3.1.1.3.1.5.1, wants it: in
// quotes, in UTF-16.
func unicodePwd(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// AddGroup adds a group below PeopleDN with the given members, which may be
// groups, and returns its DN.
func (s *SambaServer) AddGroup(t testing.TB, name string, members ...string) (dn string) {
	t.Helper()
	dn = "CN=" + name + "," + s.PeopleDN
	text := "dn: " + dn + "\nobjectClass: group\nsAMAccountName: " + name + "\n"
	for _, member := range members {
		text += "member: " + member + "\n"
	}
	s.Add(t, text)
	return dn
}

// MustChange has a user change the password before anything else.
func (s *SambaServer) MustChange(t testing.TB, dn string) {
	t.Helper()
	s.Modify(t, "dn: "+dn+"\nreplace: pwdLastSet\npwdLastSet: 0\n")
}

// Disable disables the account of a user.
func (s *SambaServer) Disable(t testing.TB, dn string) {
	t.Helper()
	s.Modify(t, fmt.Sprintf("dn: %s\nreplace: userAccountControl\nuserAccountControl: %d\n", dn, normalAccount|accountDisable))
}

// Expire has the account of a user end in 2020.
func (s *SambaServer) Expire(t testing.TB, dn string) {
	t.Helper()
	s.Modify(t, fmt.Sprintf("dn: %s\nreplace: accountExpires\naccountExpires: %d\n", dn, longAgo))
}

// Lock locks the account of a user, by wrong passwords.
func (s *SambaServer) Lock(t testing.TB, dn string) {
	t.Helper()
	for range 5 {
		if err := s.Bind(t, dn, "wrong"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			t.Fatalf("bind with a wrong password: %v", err)
		}
	}
}

// longAgo is 2020, as Active Directory writes times: in units of 100 ns since
// 1601 (MS-ADTS, section 2.2.17).
const longAgo = 132223104000000000

// ExpirePassword has the password of a user date from 2020.
func (s *SambaServer) ExpirePassword(t testing.TB, dn string) {
	t.Helper()
	// Beside the server, which sets pwdLastSet to nothing but now and never.
	cmd := exec.CommandContext(t.Context(), Tool(t, "ldbmodify"), "-H", filepath.Join(s.dir, "private/sam.ldb.d", strings.ToUpper(s.BaseDN)+".ldb"))
	cmd.Stdin = strings.NewReader(fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: %d\n", dn, longAgo))
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldbmodify: %v\n%s", err, output)
	}
}
