package ldapsync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/sealed"
)

func peopleFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.ldif")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func editorOf(t *testing.T, c Config, o EnrollOptions) *Editor {
	t.Helper()
	w, err := open(t, c).Editor(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// Check knows the key that is there by its octets and parameters, sealed or not.
func TestCheckKnowsTheKey(t *testing.T) {
	t.Parallel()
	private := privateKey(t)
	ring, err := sealed.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	key := opaque.Text("12345678901234567890") // key2
	path := peopleFile(t, "dn: uid=clear,dc=x\nuid: clear\noathSecret: "+key2+"\n\n"+
		"dn: uid=eight,dc=x\nuid: eight\noathSecret: "+key2+"\noathOTPLength: 8\n\n"+
		"dn: uid=own,dc=x\nuid: own\noathSecret: "+key2+"\noathOTPLength: 6\noathTOTPTimeStepPeriod: 30\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPParams: cn=p,dc=x\n\n"+
		"dn: uid=theirs,dc=x\nuid: theirs\noathSecret: "+key2+"\noathTOTPParams: cn=p,dc=x\n\n"+
		"dn: uid=two,dc=x\nuid: two\noathSecret: "+key1+"\noathSecret: "+key2+"\n\n"+
		"dn: uid=elsewhere,dc=x\nuid: elsewhere\noathTOTPToken: cn=t,dc=x\n\n"+
		"dn: uid=sealed,dc=x\nuid: sealed\n\n"+
		"dn: uid=none,dc=x\nuid: none\n")
	c := Config{URLs: []string{"ldif:" + path}, SealTo: private.Public(), Keyring: ring}
	if err := open(t, c).Enroll(t.Context(), "sealed", Enrolment{Key: key}, EnrollOptions{}); err != nil {
		t.Fatal(err)
	}
	public, clear, only := c, c, c
	public.Keyring = nil
	clear.Keyring, clear.SealTo = nil, nil
	only.SealedOnly = true
	for _, tt := range []struct {
		name string
		c    Config
		want Found // without DN
		err  error
	}{
		{"clear", clear, Found{Keys: 1, Same: true}, ErrEnrolled},
		{"clear", c, Found{Keys: 1, Same: true}, ErrEnrolled},
		{"clear", only, Found{Keys: 1, Unread: 1}, ErrEnrolled}, // is of no use there
		{"eight", clear, Found{Keys: 1}, ErrEnrolled},
		{"own", clear, Found{Keys: 1, Same: true}, ErrEnrolled},
		{"theirs", clear, Found{Keys: 1, Unread: 1}, ErrEnrolled},
		{"two", clear, Found{Keys: 2, Same: true}, ErrEnrolled},
		{"elsewhere", clear, Found{Keys: 1, Unread: 1}, ErrEnrolled},
		{"sealed", c, Found{Keys: 1, Same: true}, ErrEnrolled},
		{"sealed", public, Found{Keys: 1, Unread: 1}, ErrEnrolled},
		{"none", c, Found{}, nil},
	} {
		got, err := editorOf(t, tt.c, EnrollOptions{}).Check(t.Context(), tt.name, Enrolment{Key: key})
		tt.want.DN = "uid=" + tt.name + ",dc=x"
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Check(%s) = %+v, %v; want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	got, err := editorOf(t, c, EnrollOptions{}).Check(t.Context(), "sealed", Enrolment{Key: key, Period: time.Minute})
	if got.Same || !errors.Is(err, ErrEnrolled) {
		t.Errorf("another period: %+v, %v", got, err)
	}
}

// Whoever is enrolled by a name with a domain is who logs in by it.
func TestEnrollFindsWhomALoginFinds(t *testing.T) {
	t.Parallel()
	path := peopleFile(t, "dn: uid=alice,dc=example,dc=org\nuid: alice\n\ndn: uid=bob,dc=example,dc=org\nuid: bob\n\n"+
		"dn: cn=b,dc=example,dc=org\nuid: bob@example.org\n\ndn: cn=c,dc=example,dc=org\nuid: carol\nuid: carol@example.org\n")
	w := editorOf(t, Config{URLs: []string{"ldif:" + path}, BaseDN: "dc=example,dc=org"}, EnrollOptions{})
	for name, want := range map[string]struct {
		dn  string
		err error
	}{
		"alice":             {"uid=alice,dc=example,dc=org", nil},
		`EXAMPLE\Alice`:     {"uid=alice,dc=example,dc=org", nil},
		"alice@example.org": {"uid=alice,dc=example,dc=org", nil},
		"alice@example.com": {"", ErrNoEntry},
		"bob":               {"uid=bob,dc=example,dc=org", nil},
		"bob@example.org":   {"", ErrAmbiguous},
		"carol@example.org": {"cn=c,dc=example,dc=org", nil},
		"dave@example.org":  {"", ErrNoEntry},
	} {
		got, err := w.Check(t.Context(), name, Enrolment{Key: opaque.Text("12345678901234567890")})
		if got.DN != want.dn || !errors.Is(err, want.err) {
			t.Errorf("%q: %q, %v; want %q, %v", name, got.DN, err, want.dn, want.err)
		}
	}
}

// bindsAndFinds is a server that shows its root DSE and one entry, and then does
// as it is told.
func bindsAndFinds(t *testing.T, rootDSE []string, then func(*ldaptest.Conn)) Config {
	t.Helper()
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		c.Next()
		c.Send(ldaptest.BindResponse(0, ""))
		c.Next()
		c.Send(ldaptest.Entry("", rootDSE...), ldaptest.Done(0, ""))
		c.Next()
		c.Send(ldaptest.Entry("uid=alice,dc=x", "uid", "alice"), ldaptest.Done(0, ""))
		then(c)
	})
	return Config{URLs: []string{s.URL}, BaseDN: "dc=x", BindDN: "cn=svc", BindPassword: opaque.Text("x"), Timeout: time.Second}
}

// FreeIPA shows people twice; that makes nobody ambiguous.
func TestEntriesForOldClientsAreNotPeople(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		second string
		err    error
	}{{"uid=alice,cn=users,cn=compat,dc=x", nil}, {"uid=alice,cn=others,dc=x", ErrAmbiguous}} {
		s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
			c.Search()
			c.Send(ldaptest.Entry("", "vendorName", "389 Project"), ldaptest.Done(0, ""))
			c.Search()
			c.Send(ldaptest.Entry("uid=alice,cn=users,dc=x", "uid", "alice"), ldaptest.Entry(tt.second, "uid", "alice"), ldaptest.Done(0, ""))
			c.Search()
			c.Send(ldaptest.Done(0, ""))
		})
		c := Config{URLs: []string{s.URL}, BaseDN: "dc=x", BindDN: "cn=svc", BindPassword: opaque.Text("x"), Schema: "freeipa"}
		got, err := editorOf(t, c, EnrollOptions{}).Check(t.Context(), "alice", Enrolment{Key: opaque.Text("12345678901234567890")})
		if !errors.Is(err, tt.err) || tt.err == nil && got.DN != "uid=alice,cn=users,dc=x" {
			t.Errorf("beside %s: %+v, %v; want %v", tt.second, got, err, tt.err)
		}
	}
}

// A write without an answer is neither done nor not done.
func TestAWriteWithoutAnswerIsUncertain(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*ldaptest.Conn){
		"closed":  func(c *ldaptest.Conn) { c.Next() },
		"silence": (*ldaptest.Conn).Hold,
	} {
		c := bindsAndFinds(t, []string{"vendorName", "x"}, then)
		err := open(t, c).Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("12345678901234567890")}, EnrollOptions{})
		if !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v, want ErrUncertain", name, err)
		}
	}
}

// In attributes that all users of Active Directory can read no key is written in
// clear, whatever the Config says.
func TestNoKeyInClearWhereAllCanReadIt(t *testing.T) {
	t.Parallel()
	written := make(chan bool, 1)
	c := bindsAndFinds(t, []string{"supportedCapabilities", oidActiveDirectory}, func(c *ldaptest.Conn) {
		defer close(written)
		c.Next()
		written <- true
	})
	c.Schema, c.KeyAttribute = "custom", "description"
	err := open(t, c).Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("12345678901234567890")}, EnrollOptions{})
	if err == nil || errors.Is(err, ErrUncertain) {
		t.Errorf("%v, want that it is forbidden", err)
	}
	if <-written {
		t.Error("it was written")
	}
}

// Of two changes of one key in a file the second fails.
func TestFileKeepsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	path := peopleFile(t, "dn: uid=a,dc=x\nuid: a\noathSecret: "+key1+"\n")
	d := open(t, Config{URLs: []string{"ldif:" + path}})
	w, err := d.source.editor(t.Context(), EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change := edit{dn: "uid=a,dc=x"}
	change.mod(opDelete, "oathSecret", key1)
	change.mod(opAdd, "oathSecret", key2)
	if err := w.apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if err := w.apply(t.Context(), change); err == nil {
		t.Error("the second change found what it was to remove")
	}
}
