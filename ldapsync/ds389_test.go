package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

// configAt is for a server of any make, at the pace of a test: what is told is
// seen at once, and else nothing for an hour.
func configAt(s *testenv.Directory) Config {
	return Config{
		URLs: []string{s.URL}, BaseDN: s.BaseDN, BindDN: s.ServiceDN, BindPassword: opaque.Text(s.ServicePassword), Timeout: 10 * time.Second,
		pace: pace{changes: time.Hour, full: time.Hour, watch: 200 * time.Millisecond, stall: 5 * time.Second},
	}
}

// within fails unless ok becomes true within a second of when a change was
// acknowledged.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	eventually(t, what, ok)
	if took := time.Since(began); took > time.Second {
		t.Errorf("%s: seen after %s", what, took)
	}
}

// sameAsServer fails unless d becomes what a search finds: who is enrolled, and
// with which key.
func sameAsServer(t *testing.T, d *Directory, s *testenv.Directory) {
	t.Helper()
	result, err := s.As(t, s.ServiceDN, s.ServicePassword).Search(ldap.NewSearchRequest(s.BaseDN, ldap.ScopeWholeSubtree,
		ldap.NeverDerefAliases, 0, 0, false, "(oathSecret=*)", []string{"uid", "oathSecret"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	differs := func() (n int) {
		for _, e := range result.Entries {
			a, err := d.Lookup(e.GetAttributeValue("uid"))
			if err != nil || unpadded.EncodeToString(a.Tokens[0].Key.Reveal()) != e.GetAttributeValue("oathSecret") {
				n++
			}
		}
		return n
	}
	if !testenv.Await(func() bool { return d.Status().Entries == len(result.Entries) && differs() == 0 }) {
		t.Errorf("%d entries, %d of them other than at the server, which has %d", d.Status().Entries, differs(), len(result.Entries))
	}
}

// keyNumber is a key in base32, another for each n.
func keyNumber(n int) string { return unpadded.EncodeToString(fmt.Appendf(nil, "key number %09d", n)) }

// changing gives n people of [testenv.DS389Server.Load] a new key each, whatever
// becomes of the server meanwhile. done is called after each.
func changing(t *testing.T, s *testenv.Directory, n int, done func(int)) {
	var l *ldap.Conn
	defer func() { l.Close() }()
	for i := range n {
		m := ldap.NewModifyRequest("uid="+testenv.LoadedUser(i)+","+s.PeopleDN, nil)
		m.Replace("oathSecret", []string{keyNumber(i)})
		if !testenv.Await(func() bool {
			var err error
			if l == nil || l.IsClosing() {
				if l, err = ldap.DialURL(s.URL); err != nil {
					l = nil
					return false
				}
				l.SetTimeout(10 * time.Second)
				if l.Bind(s.AdminDN, s.AdminPassword) != nil {
					l.Close()
					return false
				}
			}
			return l.Modify(m) == nil
		}) {
			t.Errorf("change %d could not be made", i)
			return
		}
		done(i + 1)
	}
}

func TestDirectoryServer389IsFollowed(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Load(t, 2000)
	g := gateTo(t, s.URL)
	c := configAt(&s.Directory)
	c.URLs = []string{g.url}
	log, logged := logTo(t)
	c.Log = log
	d := open(t, c)
	run(t, d)
	if st := d.Status(); st.Mode != "syncrepl" || st.Entries != 2000 || !st.Healthy {
		t.Fatalf("Status() = %+v", st)
	}
	t.Run("changes are told", func(t *testing.T) { testTold(t, d, &s.Directory) })
	t.Run("changes while disconnected", func(t *testing.T) { testMissed(t, d, &s.Directory, g) })
	t.Run("killed and restarted while changes are made", func(t *testing.T) {
		reached := make(chan int, 500)
		var wait sync.WaitGroup
		wait.Go(func() { changing(t, &s.Directory, 500, func(n int) { reached <- n }); close(reached) })
		for n := range reached {
			switch n {
			case 150:
				s.Kill(t)
				s.Start(t)
			case 350:
				s.Stop(t)
				s.Start(t)
			}
		}
		wait.Wait()
		eventually(t, "it is followed again", func() bool { return d.Status().Healthy })
		sameAsServer(t, d, &s.Directory)
	})
	if strings.Contains(logged(), "would remove many") {
		t.Errorf("an alarm for nothing:\n%s", logged())
	}
}

// testTold makes each kind of change, all of which d must be told.
func testTold(t *testing.T, d *Directory, s *testenv.Directory) {
	s.Add(t, enrolled("alice")+enrolled("bob"))
	within(t, "new entries", func() bool { return has(d, "alice") && has(d, "bob") })
	s.Modify(t, modification("alice", "replace: oathSecret", "oathSecret: "+key2, "-"))
	within(t, "a new key", func() bool {
		return strings.HasPrefix(string(lookup(t, d, "alice").Tokens[0].Key.Reveal()), "12345")
	})
	s.Modify(t, modification("bob", "delete: oathSecret", "-"))
	within(t, "an entry that has left the filter", func() bool { return !has(d, "bob") })
	s.Modify(t, modification("bob", "add: oathSecret", "oathSecret: "+key1, "-"))
	within(t, "an entry that has come into the filter", func() bool { return has(d, "bob") })
	id := lookup(t, d, "alice").ID
	s.Modify(t, "dn: "+dn("alice")+"\nchangetype: modrdn\nnewrdn: uid=alicia\ndeleteoldrdn: 1\n")
	within(t, "a renamed entry", func() bool { return has(d, "alicia") && !has(d, "alice") })
	if a := lookup(t, d, "alicia"); a.ID != id || a.DN != dn("alicia") {
		t.Errorf("renamed: %+v, want ID %s", a, id)
	}
	s.Modify(t, modification("alicia", "add: nsAccountLock", "nsAccountLock: TRUE", "-"))
	within(t, "a disabled entry", func() bool {
		var unusable *UnusableError
		_, err := d.Lookup("alicia")
		return errors.As(err, &unusable) && strings.Contains(unusable.Why, "nsAccountLock")
	})
	s.Modify(t, modification("alicia", "delete: nsAccountLock", "-"))
	within(t, "one that is not disabled any more", func() bool { return has(d, "alicia") })
	id = lookup(t, d, "bob").ID
	s.Modify(t, "dn: "+dn("bob")+"\nchangetype: delete\n")
	within(t, "a deleted entry", func() bool { _, err := d.Lookup("bob"); return errors.Is(err, ErrNoAccount) })
	s.Add(t, enrolled("bob"))
	within(t, "one made anew", func() bool { a, err := d.Lookup("bob"); return err == nil && a.ID != id })
}

// testMissed changes what d is not told of, as long as the gate is shut. A server
// that is asked to go on where it was would not tell who has left the filter.
func testMissed(t *testing.T, d *Directory, s *testenv.Directory, g *gate) {
	s.Add(t, enrolled("left")+enrolled("deleted")+enrolled("renamed")+enrolled("changed")+person("entered"))
	within(t, "new entries", func() bool { return has(d, "left") && has(d, "deleted") && has(d, "renamed") && has(d, "changed") })
	if cookie := d.source.(*poller).lastCookie(); cookie != "" {
		t.Errorf("it would go on from %q", cookie)
	}
	g.close()
	s.Modify(t, modification("left", "delete: oathSecret", "-")+"\n"+
		"dn: "+dn("deleted")+"\nchangetype: delete\n\n"+
		"dn: "+dn("renamed")+"\nchangetype: modrdn\nnewrdn: uid=other\ndeleteoldrdn: 1\n\n"+
		modification("changed", "replace: oathSecret", "oathSecret: "+key2, "-")+"\n"+
		modification("entered", "add: objectClass", "objectClass: oathTOTPToken", "-", "add: oathSecret", "oathSecret: "+key1, "-"))
	g.open()
	eventually(t, "what was missed", func() bool {
		return !has(d, "left") && !has(d, "deleted") && !has(d, "renamed") && has(d, "other") && has(d, "entered")
	})
	sameAsServer(t, d, s)
}

// At its limit of 2000 entries the server falls silent: it neither goes on nor
// says that there is more.
func TestDirectoryServer389SizeLimit(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t, testenv.WithServerLimits())
	s.Load(t, 1995)
	g := gateTo(t, s.URL)
	c := configAt(&s.Directory)
	c.URLs, c.pace.stall = []string{g.url}, time.Second
	log, logged := logTo(t)
	c.Log = log
	d := open(t, c)
	run(t, d)
	var more strings.Builder
	for i := range 10 {
		more.WriteString(enrolled(fmt.Sprintf("more%d", i)))
	}
	s.Add(t, more.String())
	within(t, "entries over the limit, one by one", func() bool { return d.Status().Entries == 2005 })
	g.close()
	g.open()
	told := func(d *Directory) func() bool {
		return func() bool {
			err := d.Status().Err
			return err != nil && strings.Contains(err.Error(), "Raise nsSizeLimit")
		}
	}
	eventually(t, "a refresh stalls, and says what to do", told(d))
	if n := d.Status().Entries; n != 2005 || !has(d, "more9") || !has(d, testenv.LoadedUser(1994)) {
		t.Errorf("%d entries are left of 2005", n)
	}
	if err := d.Healthy(); err != nil {
		t.Errorf("Healthy() = %v, but logins can be decided", err)
	}
	tries := g.through.Load()
	eventually(t, "it has stalled again", func() bool { return g.through.Load() >= tries+2 })
	if n := strings.Count(logged(), "Raise nsSizeLimit"); n != 1 {
		t.Errorf("told %d times in the log, want once:\n%s", n, logged())
	}

	c.URLs = []string{s.URL}
	never := open(t, c)
	trying(t, never)
	eventually(t, "the first refresh stalls", told(never))
	if _, err := never.Lookup("more0"); !errors.Is(err, ErrNotReady) {
		t.Errorf("ready after a part of the first refresh: %v", err)
	}
}

// trying is run without the wait for what may never come.
func trying(t *testing.T, d *Directory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { d.Run(ctx) })
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// policy389 are the settings of the password policy that the tests need, for all.
const policy389 = `dn: cn=config
replace: passwordLockout
passwordLockout: on
-
replace: passwordMaxFailure
passwordMaxFailure: 3
-
replace: passwordMustChange
passwordMustChange: on
-
replace: passwordExp
passwordExp: on
-
replace: passwordMaxAge
passwordMaxAge: 864000
-
replace: passwordWarning
passwordWarning: 86400
-
`

func TestDirectoryServer389Passwords(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Modify(t, policy389)
	old := modification("%", "replace: passwordExpirationTime", "passwordExpirationTime: 20200101000000Z", "-")
	inAnHour := time.Now().Add(time.Hour).UTC().Format("20060102150405Z")
	for _, tt := range []struct {
		name   string
		change string // % is the name
		right  string // what is said to the right password, "" if it is taken
		wrong  string // to a wrong one
		info   PasswordInfo
	}{
		{name: "fine", wrong: "invalid credentials"},
		{name: "inactive", change: modification("%", "add: nsAccountLock", "nsAccountLock: TRUE", "-"), right: "disabled", wrong: "disabled"},
		{name: "old", change: old, right: "expired", wrong: "invalid credentials"},
		{name: "reset", change: modification("%", "replace: userPassword", "userPassword: %-pw", "-"), right: "must be changed", wrong: "invalid credentials"},
		{name: "aging", change: modification("%", "replace: passwordExpirationTime", "passwordExpirationTime: "+inAnHour, "-"),
			wrong: "invalid credentials", info: PasswordInfo{ExpiresIn: 24 * time.Hour}}, // from the first warning on
		{name: "locked", right: "locked", wrong: "locked"},
		{name: "graced", change: old, wrong: "invalid credentials", info: PasswordInfo{Expired: true, GraceLogins: 1}},
	} {
		s.Add(t, enrolled(tt.name))
		// A password that an admin has set must be changed, but for the first.
		s.Modify(t, modification(tt.name, "replace: passwordExpirationTime", "passwordExpirationTime: 20380101000000Z", "-"))
		if tt.change != "" {
			s.Modify(t, strings.ReplaceAll(tt.change, "%", tt.name))
		}
		d := refreshed(t, configAt(&s.Directory))
		a := Account{Name: tt.name, DN: dn(tt.name)}
		switch tt.name {
		case "locked":
			for range 3 {
				check(t, d, a, "wrong")
			}
		case "graced":
			s.Modify(t, "dn: cn=config\nreplace: passwordGraceLimit\npasswordGraceLimit: 2\n")
		}
		if err := check(t, d, a, "wrong"); cause(err) != tt.wrong {
			t.Errorf("%s: wrong password: %v, want %s", tt.name, err, tt.wrong)
		}
		info, err := d.CheckPassword(t.Context(), a, opaque.Text(tt.name+"-pw"))
		info.ExpiresIn = info.ExpiresIn.Round(time.Minute)
		if tt.right == "" && err != nil || tt.right != "" && cause(err) != tt.right || tt.right == "" && info != tt.info {
			t.Errorf("%s: right password: %+v, %v, want %+v, %q", tt.name, info, err, tt.info, tt.right)
		}
	}
}

// inGroups says how a user of d is a member of a group, and how deep.
type inGroups []struct {
	user, group    string
	direct, nested bool
}

func (all inGroups) test(t *testing.T, d *Directory) {
	t.Helper()
	drained(t, d)
	for _, tt := range all {
		for nested, want := range map[bool]bool{false: tt.direct, true: tt.nested} {
			if got, err := in(t, d, tt.user, tt.group, nested); err != nil || got != want {
				t.Errorf("%s in %s, nested %v: %v, %v; want %v", tt.user, tt.group, nested, got, err, want)
			}
		}
	}
}

func TestDirectoryServer389Groups(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	s.Add(t, enrolled("alice")+enrolled("bob")+strings.TrimPrefix(someGroups, groupsOU))
	d := refreshed(t, configAt(&s.Directory))
	inGroups{
		{"alice", groupDN("direct"), true, true},
		{"alice", strings.ToUpper(groupDN("unique")), true, true},
		{"alice", groupDN("two"), false, true},
		{"alice", groupDN("three"), false, true},
		{"alice", groupDN("mixed"), false, true},
		{"alice", groupDN("others"), false, false},
		{"alice", groupDN("missing"), false, false},
		{"alice", odd, true, true},
		{"bob", groupDN("direct"), false, false},
		{"bob", groupDN("three"), false, false},
	}.test(t, d)
	// Asked anew at each login, whoever keeps memberOf.
	s.Modify(t, "dn: "+groupDN("direct")+"\nadd: member\nmember: "+dn("bob")+"\n")
	if got, err := in(t, d, "bob", groupDN("direct"), false); err != nil || !got {
		t.Errorf("just added: %v, %v", got, err)
	}
	if g, err := d.Group(t.Context(), groupDN("mixed")); err != nil || g != (Group{Found: true, Members: true}) {
		t.Errorf("Group() = %+v, %v", g, err)
	}
}
