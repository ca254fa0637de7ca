package testenv

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func TestSlapd(t *testing.T) {
	t.Parallel()
	s := Slapd(t, WithTLS(), WithPPolicy())
	s.Add(t, "dn: uid=alice,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\n"+
		"uid: alice\ncn: alice\nsn: alice\nuserPassword: right\noathSecret: abc\n")
	bind := func(password string) error {
		c, err := ldap.DialURL(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Bind("uid=alice,ou=people,dc=example,dc=org", password)
	}
	before := s.Binds(t)
	if err := bind("right"); err != nil {
		t.Error(err)
	}
	if err := bind("wrong"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Errorf("bind with a wrong password: %v", err)
	}
	if n := s.Binds(t) - before; n != 2 {
		t.Errorf("%d binds counted, want 2", n)
	}
	s.Stop(t)
	if _, err := ldap.DialURL(s.URL); err == nil {
		t.Error("still there after Stop")
	}
	s.Start(t)
	if err := bind("right"); err != nil {
		t.Errorf("bind after Start: %v", err)
	}
	if n := s.Binds(t); n != 1 {
		t.Errorf("%d binds counted after Start, want 1", n)
	}
	s.Modify(t, "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n-\n")
	if err := bind("new"); err != nil {
		t.Errorf("bind after Modify: %v", err)
	}
	s.Modify(t, "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: delete\n")
	if err := bind("new"); err == nil {
		t.Error("bind after delete")
	}
}
