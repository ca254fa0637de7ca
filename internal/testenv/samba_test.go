package testenv

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

const samPassword = "Right.12345"

func TestSambaAD(t *testing.T) {
	t.Parallel()
	s := SambaAD(t)
	alice := s.AddUser(t, "alice", samPassword)
	for _, name := range []string{alice, "alice@example.org", s.Domain + `\alice`} {
		if err := s.Bind(t, name, samPassword); err != nil {
			t.Errorf("bind as %q: %v", name, err)
		}
	}
	testSurvives(t, &s.Directory, alice, samPassword)
	testTLS(t, &s.Directory)
}

func TestSambaADRefusals(t *testing.T) {
	t.Parallel()
	s := SambaAD(t)
	for _, tt := range []struct {
		name         string
		do           func(testing.TB, string)
		right, wrong string // what is said to the right and to a wrong password
	}{
		{"must-change", s.MustChange, "data 773,", "data 52e,"},
		{"disabled", s.Disable, "data 533,", "data 52e,"},
		{"expired", s.Expire, "data 701,", "data 52e,"},
		{"locked", s.Lock, "data 775,", "data 775,"},
		{"old", s.ExpirePassword, "data 532,", "data 52e,"},
	} {
		dn := s.AddUser(t, tt.name, samPassword)
		tt.do(t, dn)
		said := func(password, want string) bool {
			err := s.Bind(t, dn, password)
			return ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) && strings.Contains(err.Error(), want)
		}
		if !said(samPassword, tt.right) {
			t.Errorf("%s: bind with the right password: %v, want %s", tt.name, s.Bind(t, dn, samPassword), tt.right)
		}
		if !said("wrong", tt.wrong) {
			t.Errorf("%s: bind with a wrong password: %v, want %s", tt.name, s.Bind(t, dn, "wrong"), tt.wrong)
		}
	}
	if err := s.Bind(t, "CN=nobody,"+s.PeopleDN, "wrong"); err == nil || !strings.Contains(err.Error(), "data 52e,") {
		t.Errorf("unknown user: %v", err)
	}
}

func TestSambaADNestedGroups(t *testing.T) {
	t.Parallel()
	s := SambaAD(t)
	alice, bob := s.AddUser(t, "alice", samPassword), s.AddUser(t, "bob", samPassword)
	staff := s.AddGroup(t, "staff", alice)
	vpn := s.AddGroup(t, "vpn", staff, bob)
	c := s.As(t, s.ServiceDN, s.ServicePassword)
	in := func(group string) (names []string) {
		t.Helper()
		result, err := c.Search(ldap.NewSearchRequest(s.PeopleDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			"(&(objectCategory=person)(memberOf:1.2.840.113556.1.4.1941:="+group+"))", []string{"sAMAccountName"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range result.Entries {
			names = append(names, e.GetAttributeValue("sAMAccountName"))
		}
		slices.Sort(names)
		return names
	}
	if got, want := in(vpn), []string{"alice", "bob"}; !slices.Equal(got, want) {
		t.Errorf("in vpn: %q, want %q", got, want)
	}
	if got, want := in(staff), []string{"alice"}; !slices.Equal(got, want) {
		t.Errorf("in staff: %q, want %q", got, want)
	}
}
