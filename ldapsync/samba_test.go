package ldapsync

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/ldapsync/sealed"
	schemafiles "lockstep/packaging/schema"
)

const adPassword = "Right.12345"

// adConfig polls s, and opens and seals with a key of its own. Nothing is read in
// full but at first, and where a test says so.
func adConfig(t testing.TB, s *testenv.SambaServer) Config {
	t.Helper()
	private, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := configAt(&s.Directory)
	c.Schema, c.SealTo, c.pace.changes = "ad", private.Public(), 50*time.Millisecond
	if c.Keyring, err = sealed.NewKeyring(private); err != nil {
		t.Fatal(err)
	}
	return c
}

func adAdmin(s *testenv.SambaServer) EnrollOptions {
	return EnrollOptions{BindDN: s.AdminDN, BindPassword: opaque.Text(s.AdminPassword)}
}

// adKey is what the key attribute of an entry holds.
func adKey(t testing.TB, s *testenv.SambaServer, dn, attr string) string {
	t.Helper()
	result, err := s.As(t, s.AdminDN, s.AdminPassword).Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{attr}, nil))
	if err != nil {
		t.Fatal(err)
	}
	return result.Entries[0].GetAttributeValue(attr)
}

func TestSambaADIsPolled(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	alice, bob := s.AddUser(t, "alice", adPassword), s.AddUser(t, "bob", adPassword)
	c := adConfig(t, s)
	log, logged := logTo(t)
	c.Log = log
	d := open(t, c)
	run(t, d)
	// The whole domain, with the parts that the server only refers to.
	if st := d.Status(); st.Mode != "poll" || st.Entries != 0 || !st.Healthy {
		t.Fatalf("Status() = %+v\n%s", st, logged())
	}
	// In a second if the machine has nothing else to do: see plan.
	seen := func(what string, ok func() bool) {
		t.Helper()
		began := time.Now()
		eventually(t, what, ok)
		t.Logf("%s: seen after %s", what, time.Since(began).Round(time.Millisecond))
	}
	key := opaque.Text("a key of twenty octs")
	for _, name := range []string{"alice", "Bob"} {
		if err := d.Enroll(t.Context(), name, Enrolment{Key: key, Digits: 8}, adAdmin(s)); err != nil {
			t.Fatal(err)
		}
	}
	seen("enrolments", func() bool { return has(d, "alice") && has(d, "bob") })
	if v := adKey(t, s, alice, "adminDescription"); !sealed.Sealed(v) || strings.Contains(v, "twenty") {
		t.Errorf("what is there: %q", v)
	}
	a := lookup(t, d, `EXAMPLE\Alice`)
	if string(a.Tokens[0].Key.Reveal()) != "a key of twenty octs" || a.Tokens[0].Digits != 8 || len(a.ID) != 36 || a.DN != alice {
		t.Errorf("alice = %+v", a)
	}
	for _, name := range []string{"alice", "ALICE@example.org", "alice@EXAMPLE", `example.org\alice`} {
		if got := lookup(t, d, name); got.ID != a.ID {
			t.Errorf("Lookup(%q) = %+v, want alice", name, got)
		}
	}
	if _, err := d.Lookup("alice@example.net"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("of another domain: %v", err)
	}
	if err := check(t, d, a, adPassword); err != nil {
		t.Error(err)
	}
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key}, adAdmin(s)); !errors.Is(err, ErrEnrolled) {
		t.Errorf("Enroll again: %v", err)
	}

	s.Disable(t, alice)
	seen("a disabled account", func() bool {
		_, err := d.Lookup("alice")
		var unusable *UnusableError
		return errors.As(err, &unusable) && strings.Contains(unusable.Why, "userAccountControl")
	})
	s.Modify(t, "dn: "+alice+"\nreplace: userAccountControl\nuserAccountControl: 512\n")
	seen("one that is not disabled any more", func() bool { return has(d, "alice") })

	replace := adAdmin(s)
	replace.Replace = true
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key}, replace); err != nil {
		t.Fatal(err)
	}
	seen("a new key", func() bool { return lookup(t, d, "alice").Tokens[0].Digits == 6 })

	// The sealed key is bound to the login name, which stays.
	admin := s.As(t, s.AdminDN, s.AdminPassword)
	if err := admin.ModifyDN(ldap.NewModifyDNRequest(alice, "CN=Alice Adams", true, "CN=Users,"+s.BaseDN)); err != nil {
		t.Fatal(err)
	}
	moved := "CN=Alice Adams,CN=Users," + s.BaseDN
	seen("one who has moved", func() bool { return lookup(t, d, "alice").DN == moved })
	if got := lookup(t, d, "alice"); got.ID != a.ID || check(t, d, got, adPassword) != nil {
		t.Errorf("moved: %+v, %v", got, check(t, d, got, adPassword))
	}
	s.Modify(t, "dn: "+moved+"\nreplace: sAMAccountName\nsAMAccountName: adams\n")
	seen("another login name", func() bool { _, err := d.Lookup("adams"); return !errors.Is(err, ErrNoAccount) })
	wantUnusable(t, d, "adams", "sealed")
	if _, err := d.Lookup("alice"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("the name before: %v", err)
	}

	if err := d.Revoke(t.Context(), "bob", adAdmin(s)); err != nil {
		t.Fatal(err)
	}
	seen("one who is enrolled no more", func() bool { return !has(d, "bob") })
	if err := d.Enroll(t.Context(), "bob", Enrolment{Key: key}, adAdmin(s)); err != nil {
		t.Fatal(err)
	}
	seen("one who is enrolled again", func() bool { return has(d, "bob") })
	s.Modify(t, "dn: "+bob+"\nchangetype: delete\n")
	if err := d.Refresh(t.Context()); err != nil || has(d, "bob") {
		t.Errorf("a refresh: %v, deleted and still there: %v", err, has(d, "bob"))
	}
}

// Every user of the domain can read the attribute: what is in clear there is known.
func TestSambaADTakesNoPlaintext(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	alice, bob, carol := s.AddUser(t, "alice", adPassword), s.AddUser(t, "bob", adPassword), s.AddUser(t, "carol", adPassword)
	for _, dn := range []string{alice, bob} {
		s.Modify(t, "dn: "+dn+"\nreplace: adminDescription\nadminDescription: "+key1+"\n")
	}
	c := adConfig(t, s)
	log, logged := logTo(t)
	c.Log = log
	d := refreshed(t, c)
	wantUnusable(t, d, "alice", "key in clear")
	if !strings.Contains(logged(), "keys in clear are refused") {
		t.Errorf("not told in the log:\n%s", logged())
	}
	// Somebody else can read them, indeed.
	result, err := s.As(t, carol, adPassword).Search(ldap.NewSearchRequest(alice, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"adminDescription"}, nil))
	if err != nil || result.Entries[0].GetAttributeValue("adminDescription") != key1 {
		t.Errorf("what carol reads: %+v, %v", result, err)
	}
	clear := c
	clear.SealTo = nil
	e := refreshed(t, clear)
	if err := e.Enroll(t.Context(), "carol", Enrolment{Key: opaque.Text(strings.Repeat("x", 20))}, adAdmin(s)); err == nil || !strings.Contains(err.Error(), "lockstep keygen") {
		t.Errorf("Enroll in clear: %v", err)
	}
	if v := adKey(t, s, carol, "adminDescription"); v != "" {
		t.Errorf("what is there: %q", v)
	}
	if done, err := d.Rewrap(t.Context(), adAdmin(s), nil); err != nil || done.Sealed != 2 || len(done.Failed) != 0 {
		t.Fatalf("Rewrap() = %+v, %v", done, err)
	}
	refresh := func() {
		t.Helper()
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	if got := string(lookup(t, d, "alice").Tokens[0].Key.Reveal()); got != "Hello!\xde\xad\xbe\xefHello!\xde\xad\xbe\xef" {
		t.Errorf("sealed, it is another key")
	}

	// A value is good for nobody but whom it was sealed for.
	a, b := adKey(t, s, alice, "adminDescription"), adKey(t, s, bob, "adminDescription")
	s.Modify(t, "dn: "+alice+"\nreplace: adminDescription\nadminDescription: "+b+"\n")
	s.Modify(t, "dn: "+bob+"\nreplace: adminDescription\nadminDescription: "+a+"\n")
	refresh()
	wantUnusable(t, d, "alice", sealed.ErrBinding.Error())
	wantUnusable(t, d, "bob", sealed.ErrBinding.Error())
}

// The attribute that keys are in must be none that people can write themselves:
// whoever has a password could enrol a key for it, sealed or not.
func TestSambaADKeysAreNotForUsersToWrite(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	alice := s.AddUser(t, "alice", adPassword)
	own := s.As(t, alice, adPassword)
	result, err := own.Search(ldap.NewSearchRequest(alice, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"allowedAttributesEffective"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	rights := func(attr string) serverInfo {
		t.Helper()
		c := adConfig(t, s)
		c.KeyAttribute = attr
		d := refreshed(t, c)
		return d.source.(*poller).info
	}
	writable := result.Entries[0].GetAttributeValues("allowedAttributesEffective")
	if len(writable) < 20 || slices.Contains(writable, schemas["ad"].key) {
		t.Errorf("users may write %q", writable)
	}
	for _, attr := range writable {
		if i := rights(attr); !i.ownWrite(attr) || !i.mustSeal(attr) {
			t.Errorf("users may write %s: %+v", attr, i)
		}
	}
	for _, attr := range []string{schemas["ad"].key, "info", "msDS-cloudExtensionAttribute1"} {
		m := ldap.NewModifyRequest(alice, nil)
		m.Replace(attr, []string{"x"})
		err := own.Modify(m)
		theirs := attr != schemas["ad"].key
		if refused := ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights); refused == theirs || !refused && err != nil {
			t.Errorf("%s: written by alice: %v", attr, err)
		}
		c := adConfig(t, s)
		c.KeyAttribute = attr
		log, logged := logTo(t)
		c.Log = log
		refreshed(t, c)
		if told := strings.Contains(logged(), "may write this attribute"); told != theirs {
			t.Errorf("%s: told %v\n%s", attr, told, logged())
		}
	}
}

func TestSambaADPasswords(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	c := adConfig(t, s)
	d := refreshed(t, c)
	for _, tt := range []struct {
		name         string
		do           func(testing.TB, string)
		right, wrong string
	}{
		{"fine", func(testing.TB, string) {}, "", "invalid credentials"},
		{"reset", s.MustChange, "must be changed", "invalid credentials"},
		{"disabled", s.Disable, "disabled", "invalid credentials"},
		{"over", s.Expire, "account expired", "invalid credentials"},
		{"locked", s.Lock, "locked", "locked"},
		{"old", s.ExpirePassword, "expired", "invalid credentials"},
	} {
		a := Account{Name: tt.name, DN: s.AddUser(t, tt.name, adPassword)}
		tt.do(t, a.DN)
		if err := check(t, d, a, "wrong"); cause(err) != tt.wrong {
			t.Errorf("%s: wrong password: %v, want %s", tt.name, err, tt.wrong)
		}
		if err := check(t, d, a, adPassword); tt.right == "" && err != nil || tt.right != "" && cause(err) != tt.right {
			t.Errorf("%s: right password: %v, want %q", tt.name, err, tt.right)
		}
	}
	if err := check(t, d, Account{DN: "CN=nobody," + s.PeopleDN}, adPassword); cause(err) != "invalid credentials" {
		t.Errorf("nobody: %v", err)
	}
}

func TestSambaADPages(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	admin := s.As(t, s.AdminDN, s.AdminPassword)
	const people = 1200
	for i := range people {
		// Contacts take the least to make. Their login name is as good as any.
		add := ldap.NewAddRequest(fmt.Sprintf("CN=u%d,%s", i, s.PeopleDN), nil)
		add.Attribute("objectClass", []string{"contact"})
		add.Attribute("adminDescription", []string{"{HPKE}"})
		if err := admin.Add(add); err != nil {
			t.Fatal(err)
		}
	}
	c := adConfig(t, s)
	c.LoginAttribute = "cn"
	d := refreshed(t, c)
	if n := d.Status().Entries; n != people {
		t.Errorf("%d entries, want %d", n, people)
	}
	for i := range people {
		if _, err := d.Lookup(fmt.Sprint("u", i)); !errors.As(err, new(*UnusableError)) {
			t.Fatalf("u%d: %v", i, err)
		}
	}
}

func TestSambaADGroups(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	c := adConfig(t, s)
	d := open(t, c)
	run(t, d)
	alice, bob := s.AddUser(t, "alice", adPassword), s.AddUser(t, "Bob (b)", adPassword)
	key := opaque.Text("a key of twenty octs")
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key}, adAdmin(s)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alice is enrolled", func() bool { return has(d, "alice") })
	everybody := "CN=Domain Users,CN=Users," + s.BaseDN
	direct := s.AddGroup(t, "direct", alice, bob)
	two := s.AddGroup(t, "two", direct)
	three := s.AddGroup(t, "three", two)
	s.Modify(t, "dn: "+direct+"\nadd: member\nmember: "+three+"\n") // a circle
	above := s.AddGroup(t, "above-all", everybody)
	others := s.AddGroup(t, "others", bob)
	inGroups{
		{"alice", direct, true, true},
		{"alice", strings.ToLower(direct), true, true},
		{"alice", two, false, true},
		{"alice", three, false, true},
		{"alice", everybody, true, true},
		{"alice", above, false, true},
		{"alice", others, false, false},
		{"alice", "CN=Domain Admins,CN=Users," + s.BaseDN, false, false},
		{"alice", "CN=missing," + s.PeopleDN, false, false},
	}.test(t, d)
	m := d.Memberships(Account{DN: bob})
	for group, want := range map[string]bool{direct: true, three: true, above: true, others: true, "CN=Domain Admins,CN=Users," + s.BaseDN: false} {
		if got, err := m.In(t.Context(), group, true); err != nil || got != want {
			t.Errorf("bob in %s: %v, %v; want %v", group, got, err, want)
		}
	}
	s.Modify(t, "dn: "+direct+"\ndelete: member\nmember: "+alice+"\n")
	inGroups{{"alice", direct, false, false}, {"alice", three, false, false}}.test(t, d)
	if g, err := d.Group(t.Context(), two); err != nil || g != (Group{Found: true, Members: true}) {
		t.Errorf("Group() = %+v, %v", g, err)
	}
}

// A confidential attribute of one's own may hold keys in clear; that flag counts for
// nothing in the schema that Active Directory comes with.
func TestSambaADConfidential(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	s.Modify(t, strings.ReplaceAll(schemafiles.ActiveDirectory, "DC=X", s.BaseDN))
	s.GrantConfidential(t, "oathSecret")
	alice := s.AddUser(t, "alice", adPassword)
	c := adConfig(t, s)
	c.KeyAttribute, c.SealTo = "oathSecret", nil
	d := refreshed(t, c)
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("a key of twenty octs")}, adAdmin(s)); err != nil {
		t.Fatal(err)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); string(a.Tokens[0].Key.Reveal()) != "a key of twenty octs" {
		t.Errorf("alice = %+v", a)
	}
	own, err := s.As(t, alice, adPassword).Search(ldap.NewSearchRequest(alice, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(oathSecret=*)", []string{"oathSecret"}, nil))
	if err != nil || len(own.Entries) != 0 {
		t.Errorf("what alice reads: %+v, %v", own, err)
	}
	const base = "CN=Admin-Description,CN=Schema,CN=Configuration,"
	s.Modify(t, "dn: "+base+s.BaseDN+"\nreplace: searchFlags\nsearchFlags: 128\n")
	c.KeyAttribute = ""
	if i := refreshed(t, c).source.(*poller).info; !i.mustSeal("adminDescription") || i.key.attr != "adminDescription" {
		t.Errorf("%+v", i)
	}
	c.KeyAttribute = "no-such-attribute"
	if i := refreshed(t, c).source.(*poller).info; !i.mustSeal("no-such-attribute") || i.ownWrite("no-such-attribute") {
		t.Errorf("%+v", i)
	}
}

// Every object of a domain, once a second, would be much to ask for.
func TestWhereNobodyIsEnrolledNotEverythingIsRead(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	s := serve(t, func(r request) []*reply {
		mu.Lock()
		defer mu.Unlock()
		filter, err := ldap.DecompileFilter(r.op.Children[6])
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, filter)
		return []*reply{result(ldap.ApplicationSearchResultDone, 0, "")}
	})
	c := fakeConfig(s)
	c.Schema = "ad"
	d := refreshed(t, c)
	for range 3 {
		if err := d.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := slices.Repeat([]string{"(adminDescription=*)"}, 4); !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
