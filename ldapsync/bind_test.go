package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

func TestCheckPasswordCostsOneBind(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+enrolled("bob"))
	d := refreshed(t, configFor(s))
	alice := lookup(t, d, "alice")
	for _, tt := range []struct {
		name, password string
		want           string
		binds          int64
	}{
		{"right", "alice-pw", "", 1},
		{"right again, on a used connection", "alice-pw", "", 1},
		{"wrong", "alice-pW", "invalid credentials", 1},
		{"of somebody else", "bob-pw", "invalid credentials", 1},
		{"right after wrong", "alice-pw", "", 1},
		{"empty", "", "empty", 0},
		{"blank", "   ", "blank", 0},
		{"NUL in it", "alice-pw\x00", "NUL in it", 0},
		{"NUL alone", "\x00", "NUL in it", 0},
		{"filter characters", "*", "invalid credentials", 1},
		{"not UTF-8", "\xff\xfe", "invalid credentials", 1},
		{"1 KiB", strings.Repeat("x", 1024), "invalid credentials", 1},
	} {
		before := s.Binds(t)
		err := check(t, d, alice, tt.password)
		if tt.want == "" && err != nil || tt.want != "" && cause(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if n := s.Binds(t) - before; n != tt.binds {
			t.Errorf("%s: %d binds, want %d", tt.name, n, tt.binds)
		}
	}
	if err := check(t, d, Account{Name: "nobody"}, "x"); err == nil || cause(err) == "" || errors.As(err, new(*PasswordError)) {
		t.Errorf("an account without DN: %v, want an error that is no refusal", err)
	}
}

func TestManyChecksShareFewConnections(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+enrolled("bob"))
	c := configFor(s)
	c.Pool = 4
	d := refreshed(t, c)
	accounts := []Account{lookup(t, d, "alice"), lookup(t, d, "bob")}
	before := s.Binds(t)
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			a := accounts[i%2]
			right := i%4 < 2
			password := a.Name + "-pw"
			if !right {
				password = "wrong"
			}
			for range 5 {
				if err := check(t, d, a, password); right && err != nil || !right && cause(err) != "invalid credentials" {
					t.Errorf("%s, right %v: %v", a.Name, right, err)
				}
			}
		})
	}
	wait.Wait()
	if n := s.Binds(t) - before; n != 100 {
		t.Errorf("%d binds, want 100", n)
	}
	idle := 0
	for _, conns := range d.source.(*poller).pool.idle {
		idle += len(conns)
	}
	if idle > 4 {
		t.Errorf("%d connections, want 4 at most", idle)
	}
}

func TestStoppedServer(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice"))
	log, logged := logTo(t)
	c := configFor(s)
	c.Log = log
	d := open(t, c)
	run(t, d)
	alice := lookup(t, d, "alice")
	if err := check(t, d, alice, "alice-pw"); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	for _, password := range []string{"alice-pw", "wrong"} {
		if err := check(t, d, alice, password); err == nil || errors.As(err, new(*PasswordError)) {
			t.Errorf("server stopped, password %q: %v, want an error that is no refusal", password, err)
		}
	}
	eventually(t, "it is not healthy", func() bool { return d.Healthy() != nil && d.Status().Err != nil })
	if !has(d, "alice") {
		t.Error("the replica was dropped with the server")
	}
	s.Start(t)
	eventually(t, "logins work again", func() bool { return check(t, d, alice, "alice-pw") == nil })
	eventually(t, "it is healthy again", func() bool { return d.Healthy() == nil && d.Status().Healthy })
	if n := strings.Count(logged(), "cannot be followed"); n != 1 {
		t.Errorf("outage told %d times, want once:\n%s", n, logged())
	}
}

// Nothing follows the directory here that could notice that the connections in
// the pool have gone.
func TestStaleConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice"))
	d := refreshed(t, configFor(s))
	alice := lookup(t, d, "alice")
	if err := check(t, d, alice, "alice-pw"); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	s.Start(t)
	if err := check(t, d, alice, "alice-pw"); err != nil {
		t.Errorf("first check after a restart: %v", err)
	}
	if n := s.Binds(t); n != 1 {
		t.Errorf("%d binds after the restart, want 1", n)
	}
}

func TestFrozenServer(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice"))
	c := configFor(s)
	c.Timeout = 500 * time.Millisecond
	d := refreshed(t, c)
	alice := lookup(t, d, "alice")
	if err := check(t, d, alice, "alice-pw"); err != nil {
		t.Fatal(err)
	}
	s.Freeze(t)
	began := time.Now()
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if err := check(t, d, alice, "alice-pw"); err == nil || errors.As(err, new(*PasswordError)) {
				t.Errorf("server frozen: %v, want an error that is no refusal", err)
			}
		})
	}
	wait.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s with a timeout of 500 ms", took)
	}
	if err := d.Healthy(); err == nil {
		t.Error("healthy though no server answers")
	}
	// A caller with less time gets its answer in that.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := d.CheckPassword(ctx, alice, opaque.Text("alice-pw")); err == nil {
		t.Error("no error from a frozen server")
	}
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("took %s, the caller had 50 ms", took)
	}
	s.Thaw(t)
	eventually(t, "logins work again", func() bool { return check(t, d, alice, "alice-pw") == nil })
}

func TestFollowingNoticesAFrozenServer(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice"))
	c := configFor(s)
	c.Timeout = 100 * time.Millisecond
	d := open(t, c)
	run(t, d)
	s.Freeze(t)
	eventually(t, "it is not healthy, though nobody logs in", func() bool { return d.Healthy() != nil })
	s.Thaw(t)
	eventually(t, "it is healthy again", func() bool { return d.Healthy() == nil && d.Status().Healthy })
}

func TestFailover(t *testing.T) {
	t.Parallel()
	first, second := testenv.Slapd(t), testenv.Slapd(t)
	for _, s := range []*testenv.SlapdServer{first, second} {
		s.Add(t, enrolled("alice"))
	}
	// The second does not know the service account of the first, and need not.
	c := configFor(first, first.URL, second.URL)
	c.Timeout = 500 * time.Millisecond
	d := refreshed(t, c)
	alice := lookup(t, d, "alice")

	before := second.Binds(t)
	if err := check(t, d, alice, "wrong"); cause(err) != "invalid credentials" {
		t.Errorf("wrong password: %v", err)
	}
	if n := second.Binds(t) - before; n != 0 {
		t.Errorf("a wrong password cost %d binds at the second server", n)
	}
	first.Freeze(t)
	for i := range 3 {
		if err := check(t, d, alice, "alice-pw"); err != nil {
			t.Errorf("check %d with the first server frozen: %v", i, err)
		}
	}
	if err := check(t, d, alice, "wrong"); cause(err) != "invalid credentials" {
		t.Errorf("wrong password at the second: %v", err)
	}
	if n := second.Binds(t) - before; n != 4 {
		t.Errorf("%d binds at the second server, want 4", n)
	}
	first.Thaw(t)
	first.Stop(t)
	if err := check(t, d, alice, "alice-pw"); err != nil {
		t.Errorf("first server stopped: %v", err)
	}
	first.Start(t)
	eventually(t, "the first server is used again", func() bool {
		return check(t, d, alice, "alice-pw") == nil && first.Binds(t) > 0
	})
}

func TestFollowingMovesToTheNextServer(t *testing.T) {
	t.Parallel()
	first, second := testenv.Slapd(t), testenv.Slapd(t)
	first.Add(t, enrolled("alice"))
	second.Add(t, enrolled("alice")+enrolled("bob"))
	for _, s := range []*testenv.SlapdServer{first, second} {
		s.Modify(t, "dn: "+s.ServiceDN+"\nchangetype: modify\nreplace: userPassword\nuserPassword: service\n-\n")
	}
	c := configFor(first, first.URL, second.URL)
	c.BindPassword = opaque.Text("service")
	d := open(t, c)
	run(t, d)
	if has(d, "bob") {
		t.Fatal("the second server was read first")
	}
	first.Stop(t)
	eventually(t, "the second server is followed", func() bool { return has(d, "bob") && d.Status().URL == second.URL })
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, stranger := testenv.Slapd(t, testenv.WithTLS()), testenv.Slapd(t, testenv.WithTLS())
	s.Add(t, enrolled("alice"))
	plain := "ldap://localhost:" + s.URL[strings.LastIndex(s.URL, ":")+1:]
	wrongName := "ldaps://127.0.0.2:" + s.TLSURL[strings.LastIndex(s.TLSURL, ":")+1:]
	for _, tt := range []struct {
		name, url string
		ca        []byte
		startTLS  bool
		want      string
	}{
		{"ldaps", s.TLSURL, s.CA, false, ""},
		{"ldaps, with StartTLS for other servers", s.TLSURL, s.CA, true, ""},
		{"StartTLS", plain, s.CA, true, ""},
		{"ldaps with another CA", s.TLSURL, stranger.CA, false, "certificate"},
		{"StartTLS with another CA", plain, stranger.CA, true, "certificate"},
		{"ldaps with the system's CAs", s.TLSURL, nil, false, "certificate"},
		{"StartTLS with the system's CAs", plain, nil, true, "certificate"},
		{"ldaps to a name not in the certificate", wrongName, s.CA, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := configFor(s, tt.url)
			c.CA, c.StartTLS = tt.ca, tt.startTLS
			if tt.url == wrongName {
				tt.want = "127.0.0.2"
			}
			d := open(t, c)
			err := d.Refresh(t.Context())
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Refresh() = %v, want an error with %q", err, tt.want)
				}
				if err := d.Healthy(); err == nil {
					t.Error("healthy")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			alice := lookup(t, d, "alice")
			for range 2 {
				if err := check(t, d, alice, "alice-pw"); err != nil {
					t.Error(err)
				}
				if err := check(t, d, alice, "wrong"); cause(err) != "invalid credentials" {
					t.Error(err)
				}
			}
		})
	}
	// Nothing of a bind may go to a server that refuses StartTLS.
	noTLS := testenv.Slapd(t)
	c := configFor(noTLS)
	c.StartTLS = true
	if err := open(t, c).Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "StartTLS") {
		t.Errorf("server without StartTLS: %v", err)
	}
	if n := noTLS.Binds(t); n != 0 {
		t.Errorf("%d binds in clear", n)
	}
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithPPolicy())
	s.Add(t, "dn: cn=default,dc=example,dc=org\nobjectClass: device\nobjectClass: pwdPolicy\ncn: default\n"+
		"pwdAttribute: userPassword\npwdMustChange: TRUE\npwdLockout: TRUE\npwdMaxFailure: 2\npwdMaxAge: 1\npwdExpireWarning: 0\n\n")
	s.Add(t, "dn: cn=young,dc=example,dc=org\nobjectClass: device\nobjectClass: pwdPolicy\ncn: young\n"+
		"pwdAttribute: userPassword\npwdMustChange: TRUE\npwdLockout: TRUE\npwdMaxFailure: 2\n\n")
	young := "pwdPolicySubentry: cn=young,dc=example,dc=org"
	s.Add(t, enrolled("alice", young)+enrolled("bob", young)+enrolled("carol", young)+enrolled("dave"))
	d := refreshed(t, configFor(s))
	s.Modify(t, modification("bob", "replace: pwdReset", "pwdReset: TRUE", "-"))

	if err := check(t, d, lookup(t, d, "bob"), "bob-pw"); cause(err) != "must be changed" {
		t.Errorf("must-change password: %v", err)
	}
	if err := check(t, d, lookup(t, d, "alice"), "alice-pw"); err != nil {
		t.Errorf("somebody else after that: %v", err)
	}
	carol := lookup(t, d, "carol")
	for range 2 {
		if err := check(t, d, carol, "wrong"); cause(err) != "invalid credentials" {
			t.Errorf("wrong password: %v", err)
		}
	}
	if err := check(t, d, carol, "carol-pw"); cause(err) != "locked" {
		t.Errorf("locked account: %v", err)
	}
	dave := lookup(t, d, "dave")
	eventually(t, "an old password has expired", func() bool { return cause(check(t, d, dave, "dave-pw")) == "expired" })
}

func TestServiceAccountRefused(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	c := configFor(s)
	c.BindPassword = opaque.Text("not it")
	err := open(t, c).Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is its password right?") || strings.Contains(err.Error(), "not it") {
		t.Errorf("Refresh() = %v", err)
	}
	if n := s.Binds(t); n != 1 {
		t.Errorf("%d binds, want 1: the service account could be locked", n)
	}
}

func ExampleCanonical() {
	for _, name := range []string{"Alice", "  alice ", "ＡＬＩＣＥ"} {
		fmt.Println(Canonical(name))
	}
	// Output:
	// alice <nil>
	// alice <nil>
	// alice <nil>
}
