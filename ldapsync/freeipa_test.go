package ldapsync

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/ldapsync/sealed"
)

const ipaContainer = "dn: cn=otp,dc=example,dc=org\nobjectClass: nsContainer\n\n"

// ipaKey is a raw key that is not text.
func ipaKey(n byte) []byte { return append([]byte{0, 0xff, '\n', n}, "0123456789abcdef"...) }

// ipaEntry is the LDIF of a token as FreeIPA writes them. more replaces the lines
// of the same attribute.
func ipaEntry(id string, n byte, owner string, more ...string) string {
	lines := []string{"dn: ipatokenUniqueID=" + id + ",cn=otp,dc=example,dc=org", "objectClass: top", "objectClass: ipatoken", "objectClass: ipatokenTOTP",
		"ipatokenUniqueID: " + id, "ipatokenOwner: " + owner, "ipatokenOTPkey:: " + base64.StdEncoding.EncodeToString(ipaKey(n)),
		"ipatokenOTPalgorithm: sha1", "ipatokenOTPdigits: 6", "ipatokenTOTPclockOffset: 0", "ipatokenTOTPtimeStep: 30"}
	for _, line := range more {
		attr, _, _ := strings.Cut(line, ":")
		lines = slices.DeleteFunc(lines, func(have string) bool { return strings.HasPrefix(have, attr+":") })
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n\n"
}

func ipaConfig(s *testenv.DS389Server) Config {
	c := configAt(&s.Directory)
	c.Schema = "freeipa"
	return c
}

// ipaTokens describes the tokens of a user, and what is wrong with others.
func ipaTokens(d *Directory, name string) string {
	a, err := d.Lookup(name)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, t := range a.Tokens {
		all = append(all, fmt.Sprintf("%s %x %s %d %s", t.Name, t.Key.Reveal()[3], t.Algorithm, t.Digits, t.Period))
	}
	slices.Sort(all)
	return strings.Join(append(all, a.Problems...), "; ")
}

func TestDirectoryServer389FreeIPA(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Add(t, person("alice")+person("bob")+person("carol")+ipaContainer+
		ipaEntry("a1", 1, dn("alice"))+
		ipaEntry("a2", 2, "UID=alice, OU=people,DC=example,DC=org", "ipatokenOTPalgorithm: sha512", "ipatokenOTPdigits: 8", "ipatokenTOTPtimeStep: 0")+
		ipaEntry("b1", 3, dn("bob"), "ipatokenNotAfter: 20200101000000Z")+
		ipaEntry("b2", 4, dn("bob"), "ipatokenDisabled: TRUE")+
		ipaEntry("b3", 5, dn("bob"), "ipatokenNotBefore: 20200101000000Z", "ipatokenNotAfter: 20990101000000Z")+
		ipaEntry("nobody", 6, "cn=a group,dc=example,dc=org")+
		"dn: ipatokenUniqueID=hotp,cn=otp,dc=example,dc=org\nobjectClass: ipatokenHOTP\nipatokenOwner: "+dn("carol")+"\nipatokenOTPkey: 0123456789abcdef\n"+
		"ipatokenOTPalgorithm: sha1\nipatokenOTPdigits: 6\nipatokenHOTPcounter: 0\n")
	d := open(t, ipaConfig(s))
	run(t, d)
	if st := d.Status(); st.Mode != "syncrepl" {
		t.Fatalf("Status() = %+v", st)
	}
	became := func(what, user, want string) {
		t.Helper()
		if !testenv.Await(func() bool { return ipaTokens(d, user) == want }) {
			t.Errorf("%s: %s has %q, want %q", what, user, ipaTokens(d, user), want)
		}
	}
	const alices = "a1 1 SHA1 6 30s; a2 2 SHA512 8 30s"
	became("at first", "alice", alices)
	if a := lookup(t, d, "alice"); a.DN != dn("alice") && a.DN != "UID=alice, OU=people,DC=example,DC=org" || a.ID != "dn:"+dn("alice") {
		t.Errorf("alice = %+v", a)
	}
	became("at first", "bob", `b3 5 SHA1 6 30s; token "b1": not valid after 2020-01-01T00:00:00Z; token "b2": token disabled`)
	became("HOTP", "carol", ErrNoAccount.Error())
	if err := check(t, d, lookup(t, d, "alice"), "alice-pw"); err != nil {
		t.Error(err)
	}
	s.Modify(t, modification("alice", "add: nsAccountLock", "nsAccountLock: TRUE", "-"))
	became("locked", "alice", "account unusable: disabled in the directory (nsAccountLock)")
	s.Modify(t, modification("alice", "replace: nsAccountLock", "nsAccountLock: FALSE", "-"))
	became("unlocked", "alice", alices)
	s.Modify(t, "dn: ipatokenUniqueID=a2,cn=otp,dc=example,dc=org\nadd: ipatokenDisabled\nipatokenDisabled: TRUE\n")
	became("one is disabled", "alice", `a1 1 SHA1 6 30s; token "a2": token disabled`)
	s.Modify(t, "dn: ipatokenUniqueID=a1,cn=otp,dc=example,dc=org\nchangetype: delete\n")
	became("none is left", "alice", `account unusable: token "a2": token disabled`)
	s.Modify(t, "dn: ipatokenUniqueID=b3,cn=otp,dc=example,dc=org\nreplace: ipatokenOwner\nipatokenOwner: "+dn("carol")+"\n")
	became("given to somebody else", "carol", "b3 5 SHA1 6 30s")
}

func TestDirectoryServer389FreeIPAEnrolment(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Add(t, person("alice")+person("bob")+ipaContainer)
	admin := EnrollOptions{BindDN: s.AdminDN, BindPassword: opaque.Text(s.AdminPassword)}
	replace, add := admin, admin
	replace.Replace, add.Add = true, true
	private, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := ipaConfig(s)
	d := open(t, c)
	run(t, d)
	c.SealTo = private.Public()
	if c.Keyring, err = sealed.NewKeyring(private); err != nil {
		t.Fatal(err)
	}
	sealing := open(t, c)
	run(t, sealing)
	enroll := func(d *Directory, name string, n byte, o EnrollOptions, e Enrolment) {
		t.Helper()
		e.Key = opaque.Of(ipaKey(n))
		if err := d.Enroll(t.Context(), name, e, o); err != nil {
			t.Fatalf("Enroll(%q): %v", name, err)
		}
	}
	became := func(d *Directory, user, want string) {
		t.Helper()
		if !testenv.Await(func() bool { return ipaTokens(d, user) == want }) {
			t.Errorf("%s has %q, want %q", user, ipaTokens(d, user), want)
		}
	}
	enroll(d, "Alice", 1, admin, Enrolment{Serial: "one, two"})
	became(d, "alice", "one, two 1 SHA1 6 30s")
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: opaque.Of(ipaKey(2))}, admin); !errors.Is(err, ErrEnrolled) {
		t.Errorf("Enroll again: %v", err)
	}
	enroll(d, "alice", 2, add, Enrolment{Serial: "second", Algorithm: "SHA512", Digits: 8, Period: time.Minute})
	became(d, "alice", "one, two 1 SHA1 6 30s; second 2 SHA512 8 1m0s")
	enroll(d, "alice", 3, replace, Enrolment{Serial: "third"})
	became(d, "alice", "third 3 SHA1 6 30s")
	enroll(sealing, "bob", 4, admin, Enrolment{Serial: "sealed", Digits: 8})
	became(sealing, "bob", "sealed 4 SHA1 8 30s")
	result, err := s.As(t, s.ServiceDN, s.ServicePassword).Search(ldap.NewSearchRequest("ipatokenUniqueID=sealed,cn=otp,"+s.BaseDN, ldap.ScopeBaseObject,
		ldap.NeverDerefAliases, 0, 0, false, "(objectClass=ipatokenTOTP)", []string{"ipatokenOTPkey"}, nil))
	if err != nil || len(result.Entries) != 1 || !sealed.Sealed(result.Entries[0].GetAttributeValue("ipatokenOTPkey")) {
		t.Errorf("what is there: %+v, %v", result, err)
	}
	if err := d.Revoke(t.Context(), "alice", admin); err != nil {
		t.Fatal(err)
	}
	became(d, "alice", ErrNoAccount.Error())
	if err := d.Revoke(t.Context(), "alice", admin); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("Revoke again: %v", err)
	}
	err = d.Enroll(t.Context(), "alice", Enrolment{Key: opaque.Of(ipaKey(5))}, EnrollOptions{})
	if err == nil || !strings.Contains(err.Error(), s.ServiceDN+" may not write") {
		t.Errorf("Enroll by who may not: %v", err)
	}
}

// Codes that the directory checks need no key. Here it cannot: it is no FreeIPA, and
// does not know the control that asks for a code, so that nothing can be told.
func TestDirectoryServer389FreeIPADelegates(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Modify(t, fmt.Sprintf("dn: %s\nreplace: aci\naci: (targetattr != \"userPassword || ipatokenOTPkey\")(version 3.0; acl \"service\"; "+
		"allow (read, search, compare) userdn = \"ldap:///%s\";)\n", s.BaseDN, s.ServiceDN))
	s.Add(t, person("alice")+person("bob")+person("carol")+person("dave")+ipaContainer+
		ipaEntry("a1", 1, dn("alice"))+
		ipaEntry("b1", 2, dn("bob"), "ipatokenDisabled: TRUE")+
		ipaEntry("c1", 3, dn("carol"), "ipatokenNotAfter: 20200101000000Z"))
	c := ipaConfig(s)
	unread := refreshed(t, c)
	if got := ipaTokens(unread, "alice"); got != `account unusable: token "a1": its ipatokenOTPkey may not be read by the service account` {
		t.Errorf("without delegation: %s", got)
	}
	c.Delegate = true
	d := open(t, c)
	run(t, d)
	a := lookup(t, d, "alice")
	if !a.Delegated || len(a.Tokens) != 0 || len(a.Problems) != 0 {
		t.Errorf("alice = %+v", a)
	}
	for user, want := range map[string]string{
		"bob":   `account unusable: token "b1": token disabled`,
		"carol": `account unusable: token "c1": not valid after 2020-01-01T00:00:00Z`,
		"dave":  ErrNoAccount.Error(),
	} {
		if got := ipaTokens(d, user); got != want {
			t.Errorf("%s: %q, want %q", user, got, want)
		}
	}
	for _, password := range []string{"alice-pw", "alice-pw123456", "wrong"} {
		err := check(t, d, a, password)
		if err == nil || errors.As(err, new(*PasswordError)) || !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
			t.Errorf("%q: %v, want that it could not be told", password, err)
		}
	}
}
