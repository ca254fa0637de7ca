package testenv

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

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
	testSurvives(t, &s.Directory, "uid=alice,ou=people,dc=example,dc=org", "right")
	testTLS(t, &s.Directory)
	s.Stop(t)
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

func TestSlapdFollows(t *testing.T) {
	t.Parallel()
	s := Slapd(t, WithSyncprov())
	s.Add(t, person("alice", "oathSecret: abc\n"))
	testFollows(t, &s.Directory)
}

// The overlay otp takes over the binds of those who are oathTOTPUser, and of
// nobody else.
func TestSlapdOTPOverlay(t *testing.T) {
	t.Parallel()
	s := Slapd(t, WithOTPOverlay())
	const key = "12345678901234567890"
	own := "oathTOTPParams: cn=totp," + s.BaseDN + "\noathSecret: " + key + "\n"
	s.Add(t, "dn: cn=totp,"+s.BaseDN+"\nobjectClass: applicationProcess\nobjectClass: oathTOTPParams\noathTOTPTimeStepPeriod: 30\n"+
		"oathTOTPTimeStepWindow: 1\noathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\n\n"+
		person("alice", own)+"\n"+person("bob", own+"objectClass: oathTOTPUser\noathTOTPToken: uid=bob,"+s.PeopleDN+"\n"))
	alice, bob := "uid=alice,"+s.PeopleDN, "uid=bob,"+s.PeopleDN
	if err := s.Bind(t, alice, "right alice"); err != nil {
		t.Errorf("one who has a token: %v", err)
	}
	if err := s.Bind(t, bob, "right bob"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Errorf("the password alone of one who is oathTOTPUser: %v", err)
	}
	code := hotp(key, uint64(time.Now().Unix()/30))
	if err := s.Bind(t, bob, "right bob"+code); err != nil {
		t.Errorf("the password and a code: %v", err)
	}
	if err := s.Bind(t, bob, "right bob"+code); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Errorf("a code once more: %v", err)
	}
}

// hotp is a code of six digits (RFC 4226, section 5.3).
func hotp(key string, counter uint64) string {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(binary.BigEndian.AppendUint64(nil, counter))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&0xf:])&0x7fffffff%1_000_000)
}
