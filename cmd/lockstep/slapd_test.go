package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/testenv"
)

// slapdSite is an installation with a real OpenLDAP server behind it.
func slapdSite(t *testing.T, people ...user) (*site, *testenv.SlapdServer) {
	t.Helper()
	slapd := testenv.Slapd(t)
	for _, u := range people {
		slapd.Add(t, entry(u)+"objectClass: oathTOTPToken\noathSecret: "+u.base32()+"\n")
	}
	return newSite(t, slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword + "\n"}), slapd
}

func slapdDirectory(slapd *testenv.SlapdServer) string {
	return fmt.Sprintf("[directory]\nurl = [%q]\nbase_dn = \"dc=example,dc=org\"\nbind_dn = %q\nbind_password_file = \"ldap.secret\"\ntimeout = \"500ms\"",
		slapd.URL, slapd.ServiceDN)
}

func entry(u user) string {
	return fmt.Sprintf("dn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[2]s\n", u.name, u.password)
}

// A right code costs the directory one bind, a wrong one none, whatever is
// wrong with it.
func TestBindsAtSlapd(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	s, slapd := slapdSite(t, alice, bob)
	code, bobs, first := alice.code(0), bob.code(0), ""
	for _, tt := range []struct {
		name  string
		do    func()
		binds int64
	}{
		{"right", func() { s.must(plainClient, "alice", alice.password+code, accept) }, 1},
		{"replayed", func() { s.must(plainClient, "alice", alice.password+code, reject) }, 0},
		{"wrong code", func() { s.must(plainClient, "alice", alice.password+"000000", reject) }, 0},
		{"code out of step", func() { s.must(plainClient, "alice", alice.password+alice.code(7), reject) }, 0},
		{"password alone", func() { s.must(plainClient, "alice", alice.password, reject) }, 0},
		{"unknown name", func() { s.must(plainClient, "nobody", alice.password+alice.code(1), reject) }, 0},
		{"code without a password", func() { s.must(plainClient, "alice", alice.code(1), reject) }, 0},
		{"code with blanks", func() { s.must(plainClient, "alice", "  "+alice.code(1), reject) }, 0},
		{"challenge", func() {
			first = s.must(challengeClient, "alice", alice.password, challenge).Attributes["State"][0]
		}, 0},
		{"wrong answer", func() { s.radclient(challengeClient, "alice", "000000", "State = "+first) }, 0},
		{"code only", func() { s.must(codeClient, "alice", alice.code(1), accept) }, 0},
		{"wrong password", func() { s.must(plainClient, "bob", "wrong"+bobs, reject) }, 1},
		{"right again", func() { s.must(plainClient, "bob", bobs+bob.password, accept) }, 1},
	} {
		before := slapd.Binds(t)
		s.calling = tt.name // or the throttle would step in
		tt.do()
		if got := slapd.Binds(t) - before; got != tt.binds {
			t.Errorf("%s: %d binds, want %d\n%s", tt.name, got, tt.binds, s.tail())
		}
	}
}

// What changes in the directory changes who gets in.
func TestSlapdIsFollowed(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	s, slapd := slapdSite(t, alice)
	known := func(name string) bool { _, err := s.user("show", name); return err == nil }

	slapd.Add(t, entry(bob)+"objectClass: oathTOTPToken\noathSecret: "+bob.base32()+"\n")
	s.eventually("bob to be enrolled", func() bool { return known("bob") })
	s.must(plainClient, "bob", bob.password+bob.code(0), accept)

	bob.key = newUser("").key
	slapd.Modify(t, "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: oathSecret\noathSecret: "+bob.base32()+"\n")
	s.eventually("the new key to be good", func() bool {
		return s.radclient(plainClient, "bob", bob.password+bob.code(0)).Code == accept
	})
	slapd.Modify(t, "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\ndelete: oathSecret\n")
	s.eventually("bob to be forgotten", func() bool { return !known("bob") })
	s.must(plainClient, "bob", bob.password+bob.code(1), reject)
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
}

func TestEightDigitsSHA512AtSlapd(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	alice.key.Algorithm, alice.key.Digits, alice.key.Period = "SHA512", 8, time.Minute
	slapd := testenv.Slapd(t)
	slapd.Add(t, entry(alice)+"objectClass: oathTOTPToken\nobjectClass: oathTOTPParams\noathSecret: "+alice.base32()+
		"\noathOTPLength: 8\noathHMACAlgorithm: 1.2.840.113549.2.11\noathTOTPTimeStepPeriod: 60\n")
	s := newSite(t, slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword})
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
	s.must(plainClient, "alice", alice.password+alice.code(1)[2:], reject)
}

// A directory that is away, or hangs, is silence; when it comes back, so do the
// logins, and the codes typed meanwhile are not spent.
func TestSlapdAwayAndBack(t *testing.T) {
	t.Parallel()
	alice, bob := newUser("alice"), newUser("bob")
	s, slapd := slapdSite(t, alice, bob)
	login := func(u user, typed string) string {
		reply := s.exchange(s.dial(), s.packet(u.name, typed))
		if reply == nil {
			return silence
		}
		return layeh.Code(reply[0]).String()
	}
	for _, tt := range []struct {
		name       string
		user       user
		away, back func()
	}{
		{"stopped", alice, func() { slapd.Stop(t) }, func() { slapd.Start(t) }},
		{"frozen", bob, func() { slapd.Freeze(t) }, func() { slapd.Thaw(t) }},
	} {
		u := tt.user
		tt.away()
		if got := login(u, u.password+u.code(0)); got != silence {
			t.Errorf("%s: %q, want silence", tt.name, got)
		}
		s.eventually("Status-Server to fall silent", func() bool { return s.status() != nil })
		if got := login(u, "wrong000000"); got != reject {
			t.Errorf("%s, wrong code: %q, want a reject: the directory is not needed for that", tt.name, got)
		}
		tt.back()
		s.eventually("logins to work again", func() bool { return login(u, u.password+u.code(0)) == accept })
		s.eventually("Status-Server to be answered", func() bool { return s.status() == nil })
	}
	if !strings.Contains(s.log.String(), "cannot decide, no reply sent") {
		t.Errorf("the log does not say why there was silence:\n%s", s.tail())
	}
}

func TestManyLoginsAtOnceAtSlapd(t *testing.T) {
	t.Parallel()
	var people []user
	for i := range 100 {
		people = append(people, newUser(fmt.Sprintf("user%d", i)))
	}
	s, slapd := slapdSite(t, people...)
	before := slapd.Binds(t)
	var wg sync.WaitGroup
	for _, u := range people {
		conn := s.dial()
		wg.Go(func() {
			code, _ := u.key.Code(u.key.Step(time.Now()))
			if reply := s.exchange(conn, s.packet(u.name, u.password+code)); reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessAccept {
				t.Errorf("%s: %x", u.name, reply)
			}
		})
	}
	wg.Wait()
	if got := slapd.Binds(t) - before; got != 100 {
		t.Errorf("%d binds for 100 logins", got)
	}
}

func TestEnrollAtSlapd(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	slapd := testenv.Slapd(t)
	slapd.Add(t, entry(alice))
	s := newSite(t, slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword, "admin.secret": slapd.AdminPassword})

	// The service account may read only, and is told so.
	out, err := s.user("enroll", "-pending", "alice")
	if err == nil || !strings.Contains(out, slapd.ServiceDN+" may not write oathSecret") {
		t.Errorf("enroll as the service account: %v\n%s", err, out)
	}
	alice.key = enrollByHand(t, s, "-bind-dn", slapd.AdminDN, "-bind-password-file", filepath.Join(s.dir, "admin.secret"))
	s.eventually("the enrolment to be seen", func() bool { _, err := s.user("show", "alice"); return err == nil })
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
}
