package testenv

import (
	"fmt"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func person(name, more string) string {
	return fmt.Sprintf("dn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: %[1]s\n"+
		"cn: %[1]s\nsn: %[1]s\nuserPassword: right %[1]s\n%[2]s\n", name, more)
}

func TestDirectoryServer389(t *testing.T) {
	t.Parallel()
	s := DirectoryServer389(t)
	s.Add(t, person("alice", "oathSecret: abc\n"))
	alice := "uid=alice," + s.PeopleDN
	if err := s.Bind(t, alice, "right alice"); err != nil {
		t.Error(err)
	}
	if err := s.Bind(t, alice, "wrong"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Errorf("bind with a wrong password: %v", err)
	}
	readable := func(c *ldap.Conn) int {
		t.Helper()
		result, err := c.Search(ldap.NewSearchRequest(s.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(oathSecret=*)", []string{"oathSecret"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		return len(result.Entries)
	}
	s.Add(t, person("bob", "oathSecret: def\n"))
	for dn, want := range map[string]int{s.ServiceDN: 2, alice: 1, "": 0} {
		password := map[string]string{s.ServiceDN: s.ServicePassword, alice: "right alice"}[dn]
		c, err := ldap.DialURL(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if dn != "" {
			err = c.Bind(dn, password)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := readable(c); got != want {
			t.Errorf("%q reads %d keys, want %d", dn, got, want)
		}
		c.Close()
	}
	testSurvives(t, &s.Directory, alice, "right alice")
	testTLS(t, &s.Directory)
}

func TestDirectoryServer389Follows(t *testing.T) {
	t.Parallel()
	s := DirectoryServer389(t)
	s.Add(t, person("alice", "oathSecret: abc\n"))
	testFollows(t, &s.Directory)
}

func TestDirectoryServer389Limits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options []DS389Option
		limited bool
	}{
		{"the service account has no limits", nil, false},
		{"the service account has the limits that the server comes with", []DS389Option{WithServerLimits()}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := DirectoryServer389(t, tt.options...)
			s.Load(t, 2001)
			result, err := s.As(t, s.ServiceDN, s.ServicePassword).Search(ldap.NewSearchRequest(s.BaseDN, ldap.ScopeWholeSubtree,
				ldap.NeverDerefAliases, 0, 0, false, "(oathSecret=*)", []string{"1.1"}, nil))
			if limited := ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded); limited != tt.limited || err != nil && !limited {
				t.Errorf("%d entries, %v", len(result.Entries), err)
			}
		})
	}
}

func TestDirectoryServer389FreeIPATokens(t *testing.T) {
	t.Parallel()
	s := DirectoryServer389(t)
	s.Add(t, "dn: cn=otp,dc=example,dc=org\nobjectClass: nsContainer\n\n"+
		"dn: ipatokenUniqueID=1,cn=otp,dc=example,dc=org\nobjectClass: ipatokenTOTP\nipatokenOwner: uid=alice,ou=people,dc=example,dc=org\n"+
		"ipatokenOTPkey:: AAECAwQFBgcICQoLDA0ODw==\nipatokenOTPalgorithm: sha1\nipatokenOTPdigits: 6\nipatokenTOTPclockOffset: 0\nipatokenTOTPtimeStep: 30\n")
	s.Modify(t, "dn: ipatokenUniqueID=1,cn=otp,dc=example,dc=org\nadd: ipatokenTOTPwatermark\nipatokenTOTPwatermark: 59000000\n-\nadd: ipatokenDisabled\nipatokenDisabled: TRUE\n-\n")
}

func TestDirectoryServer389Load(t *testing.T) {
	t.Parallel()
	s := DirectoryServer389(t)
	testLoad(t, &s.Directory, s.Load)
	s.Add(t, person("alice", ""))
	if err := s.Bind(t, "uid=alice,"+s.PeopleDN, "right alice"); err != nil {
		t.Error(err)
	}
}
