package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

func groupDN(name string) string { return "cn=" + name + ",ou=groups,dc=example,dc=org" }

// aGroup is the LDIF of a group with members, by DN.
func aGroup(name string, members ...string) string {
	return "dn: " + groupDN(name) + "\nobjectClass: groupOfNames\ncn: " + name + "\nmember: " + strings.Join(members, "\nmember: ") + "\n\n"
}

const groupsOU = "dn: ou=groups,dc=example,dc=org\nobjectClass: organizationalUnit\nou: groups\n\n"

// odd is a group whose name has all that needs an escape somewhere.
const odd = `cn=a\, (b)*\\ \#c,ou=groups,dc=example,dc=org`

// someGroups has alice in them directly and down to three levels, in a circle.
var someGroups = groupsOU +
	aGroup("direct", dn("alice"), dn("carol")) +
	"dn: " + groupDN("unique") + "\nobjectClass: groupOfUniqueNames\ncn: unique\nuniqueMember: " + dn("alice") + "\n\n" +
	aGroup("one", dn("alice"), groupDN("three")) +
	aGroup("two", groupDN("one")) +
	aGroup("three", dn("carol"), groupDN("two")) +
	"dn: " + groupDN("mixed") + "\nobjectClass: groupOfUniqueNames\ncn: mixed\nuniqueMember: " + groupDN("two") + "\n\n" +
	aGroup("others", dn("carol"), groupDN("others")) +
	"dn: " + odd + "\nobjectClass: groupOfNames\ncn: a, (b)*\\ #c\nmember: " + dn("alice") + "\n\n"

// in asks about an account that may never have been asked about before.
func in(t testing.TB, d *Directory, user, group string, nested bool) (bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return d.Memberships(lookup(t, d, user)).In(ctx, group, nested)
}

// drained closes what searches have left open at the end of t.
func drained(t testing.TB, d *Directory) *Directory {
	if p, ok := d.source.(*poller); ok {
		t.Cleanup(p.groups.pool.drain)
	}
	return d
}

func TestMembership(t *testing.T) {
	t.Parallel()
	both := []struct {
		user, group    string
		direct, nested bool
	}{
		{"alice", groupDN("direct"), true, true},
		{"alice", "CN=Direct, OU=groups,DC=example,dc=ORG", true, true},
		{"alice", groupDN("unique"), true, true},
		{"alice", groupDN("one"), true, true},
		{"alice", groupDN("two"), false, true},
		{"alice", groupDN("three"), false, true},
		{"alice", groupDN("mixed"), false, true},
		{"alice", groupDN("others"), false, false},
		{"alice", groupDN("missing"), false, false},
		{"alice", "cn=x,dc=elsewhere", false, false},
		{"alice", dn("alice"), false, false},
		{"alice", odd, true, true},
		{"bob", groupDN("direct"), false, false},
		{"bob", groupDN("one"), false, false},
		{"bob", groupDN("two"), false, false},
	}
	check := func(t *testing.T, d *Directory) {
		drained(t, d)
		for _, tt := range both {
			for nested, want := range map[bool]bool{false: tt.direct, true: tt.nested} {
				if got, err := in(t, d, tt.user, tt.group, nested); err != nil || got != want {
					t.Errorf("%s in %s, nested %v: %v, %v; want %v", tt.user, tt.group, nested, got, err, want)
				}
			}
		}
		// All of one login, in any order.
		for _, nestedFirst := range []bool{true, false} {
			m := d.Memberships(lookup(t, d, "alice"))
			for _, nested := range []bool{nestedFirst, !nestedFirst} {
				for _, tt := range both[:11] {
					want := tt.direct || nested && tt.nested
					if got, err := m.In(t.Context(), tt.group, nested); err != nil || got != want {
						t.Errorf("in %s, nested %v: %v, %v; want %v", tt.group, nested, got, err, want)
					}
				}
			}
		}
	}
	t.Run("OpenLDAP", func(t *testing.T) {
		t.Parallel()
		s := testenv.Slapd(t)
		s.Add(t, enrolled("alice")+enrolled("bob")+someGroups)
		check(t, refreshed(t, configFor(s)))
		below := configFor(s)
		below.BaseDN = "ou=people,dc=example,dc=org"
		d := refreshed(t, below)
		check(t, d)
		for _, nested := range []bool{false, true} {
			// Which only the server can know.
			if got, err := in(t, d, "alice", "commonName=direct,2.5.4.11=groups,dc=example,dc=org", nested); err != nil || !got {
				t.Errorf("another name for cn, nested %v: %v, %v", nested, got, err)
			}
		}
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		path := ldifFile(t, inFile("alice", aliceInFile)+inFile("bob", aliceInFile)+someGroups)
		check(t, refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: "ou=people,dc=example,dc=org"}))
	})
}

// Members by name are people with that name, in the attribute uid or that of
// logins, in any spelling.
func TestMemberUidInAFile(t *testing.T) {
	t.Parallel()
	group := func(name string, uids ...string) string {
		return "dn: " + groupDN(name) + "\nobjectClass: posixGroup\ncn: " + name + "\nmemberUid: " + strings.Join(uids, "\nmemberUid: ") + "\n\n"
	}
	path := ldifFile(t, inFile("alice", aliceInFile, "mail: a@example.org", "uid: Al")+
		group("byname", "ALICE")+group("byalias", "al")+group("bymail", "a@example.org")+group("others", "bob", "")+
		aGroup("above", groupDN("byalias")))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, LoginAttribute: "mail"})
	for name, want := range map[string]bool{"byname": true, "byalias": true, "bymail": true, "others": false, "above": true} {
		if got, err := in(t, d, "a@example.org", groupDN(name), true); err != nil || got != want {
			t.Errorf("in %s: %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestGroupsOfAFileFollowIt(t *testing.T) {
	t.Parallel()
	people := inFile("alice", aliceInFile)
	path := ldifFile(t, people)
	d := open(t, Config{URLs: []string{"ldif:" + path}})
	if _, err := d.Memberships(Account{DN: dn("alice")}).In(t.Context(), groupDN("g"), true); !errors.Is(err, ErrNotReady) {
		t.Errorf("before it was read: %v", err)
	}
	if _, err := d.Group(t.Context(), groupDN("g")); !errors.Is(err, ErrNotReady) {
		t.Errorf("before it was read: %v", err)
	}
	for _, tt := range []struct {
		text string
		want bool
	}{{people, false}, {people + aGroup("g", dn("alice")), true}, {people + "broken", true}, {people + aGroup("g", dn("bob")), false}} {
		write(t, path, tt.text)
		d.Refresh(t.Context())
		if got, err := in(t, d, "alice", groupDN("g"), true); err != nil || got != tt.want {
			t.Errorf("with %q: %v, %v", tt.text[len(people):], got, err)
		}
	}
}

// What is deeper or more than is looked at could be what matters.
func TestGroupsWithoutEnd(t *testing.T) {
	t.Parallel()
	deep := groupsOU + aGroup("0", dn("alice"))
	for i := range 12 {
		deep += aGroup(fmt.Sprint(i+1), groupDN(fmt.Sprint(i)))
	}
	wide := groupsOU
	for i := range maxGroups + 1 {
		wide += aGroup(fmt.Sprint("w", i), dn("alice"))
	}
	for _, tt := range []struct {
		name, groups, group string
		want                bool
		err                 error
	}{
		{"ten levels", deep, "9", true, nil},
		{"eleven levels", deep, "10", false, errGroups},
		{"another group, past ten levels", deep, "other", false, errGroups},
		{"a thousand groups and one", wide, "other", false, errGroups},
	} {
		path := ldifFile(t, inFile("alice", aliceInFile)+tt.groups)
		d := refreshed(t, Config{URLs: []string{"ldif:" + path}})
		m := d.Memberships(lookup(t, d, "alice"))
		for range 3 { // an error stays one
			if got, err := m.In(t.Context(), groupDN(tt.group), true); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestManyLevelsAtSlapd(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	text := enrolled("alice") + groupsOU
	var wide []string
	for i := range 120 { // more than one search asks about
		text += aGroup(fmt.Sprint("w", i), dn("alice"))
		wide = append(wide, groupDN(fmt.Sprint("w", i)))
	}
	s.Add(t, text+aGroup("last", wide[119])+aGroup("above", groupDN("last")))
	d := drained(t, refreshed(t, configFor(s)))
	if got, err := in(t, d, "alice", groupDN("above"), true); err != nil || !got {
		t.Errorf("%v, %v", got, err)
	}
}

// A group that is missing has no members, which is said once.
func TestMissingGroupIsToldOnce(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+groupsOU)
	c := configFor(s)
	var logged func() string
	c.Log, logged = logTo(t)
	d := drained(t, refreshed(t, c))
	ask := func(want bool) {
		t.Helper()
		for _, nested := range []bool{true, false, true} {
			if got, err := in(t, d, "alice", groupDN("late"), nested); err != nil || got != want {
				t.Errorf("nested %v: %v, %v; want %v", nested, got, err, want)
			}
		}
	}
	ask(false)
	if n := strings.Count(logged(), "group is not there"); n != 1 || !strings.Contains(logged(), groupDN("late")) {
		t.Errorf("told %d times\n%s", n, logged())
	}
	s.Add(t, aGroup("late", dn("alice")))
	ask(true)
	if n := strings.Count(logged(), "group is there now"); n != 1 {
		t.Errorf("told %d times that it is there\n%s", n, logged())
	}
	s.Modify(t, "dn: "+groupDN("late")+"\nchangetype: delete\n")
	ask(false)
}

func TestGroupIsLookedAt(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+someGroups)
	// People may read their own entry and nothing else.
	blind := configFor(s)
	blind.BindDN, blind.BindPassword = dn("alice"), opaque.Text("alice-pw")
	path := ldifFile(t, inFile("alice", aliceInFile)+someGroups)
	blindDirectory := drained(t, open(t, blind))
	for _, tt := range []struct {
		name  string
		d     *Directory
		group string
		want  Group
	}{
		{"OpenLDAP", drained(t, refreshed(t, configFor(s))), groupDN("mixed"), Group{Found: true, Members: true}},
		{"OpenLDAP, no group", drained(t, refreshed(t, configFor(s))), dn("alice"), Group{Found: true}},
		{"OpenLDAP, nothing", drained(t, refreshed(t, configFor(s))), groupDN("x"), Group{}},
		{"OpenLDAP, not readable", blindDirectory, groupDN("mixed"), Group{}},
		{"file", refreshed(t, Config{URLs: []string{"ldif:" + path}}), "CN=Mixed,ou=groups,dc=example,dc=org", Group{Found: true, Members: true}},
		{"file, no group", refreshed(t, Config{URLs: []string{"ldif:" + path}}), dn("alice"), Group{Found: true}},
		{"file, nothing", refreshed(t, Config{URLs: []string{"ldif:" + path}}), groupDN("x"), Group{}},
	} {
		if got, err := tt.d.Group(t.Context(), tt.group); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	// The same account sees no member, and that is what it says.
	for _, nested := range []bool{false, true} {
		if got, err := blindDirectory.Memberships(Account{DN: dn("alice")}).In(t.Context(), groupDN("direct"), nested); err != nil || got {
			t.Errorf("a group that may not be read, nested %v: %v, %v", nested, got, err)
		}
	}
}

// The connections of users' binds would see what the user sees.
func TestSearchesHaveConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+someGroups)
	c := configFor(s)
	c.Pool = 1
	d := drained(t, refreshed(t, c))
	before := s.Binds(t)
	for range 5 {
		if err := check(t, d, lookup(t, d, "alice"), "alice-pw"); err != nil {
			t.Fatal(err)
		}
		if got, err := in(t, d, "alice", groupDN("three"), true); err != nil || !got {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if n := s.Binds(t) - before; n != 6 {
		t.Errorf("%d binds for 5 logins, want 5 and one of the service account", n)
	}
}

// A directory that is away or hangs says neither yes nor no.
func TestGroupsOfADirectoryThatIsAway(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+someGroups)
	c := configFor(s)
	c.Timeout = 300 * time.Millisecond
	d := drained(t, refreshed(t, c))
	for _, tt := range []struct {
		name       string
		away, back func()
	}{
		{"frozen", func() { s.Freeze(t) }, func() { s.Thaw(t) }},
		{"stopped", func() { s.Stop(t) }, func() { s.Start(t) }},
	} {
		for _, nested := range []bool{false, true} {
			if got, err := in(t, d, "alice", groupDN("one"), nested); err != nil || !got {
				t.Fatalf("before: %v, %v", got, err)
			}
		}
		tt.away()
		for _, nested := range []bool{false, true} {
			began := time.Now()
			if got, err := in(t, d, "alice", groupDN("one"), nested); err == nil || got {
				t.Errorf("%s: %v, %v; want an error", tt.name, got, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: took %s", tt.name, took)
			}
			if _, err := d.Group(t.Context(), groupDN("one")); err == nil {
				t.Errorf("%s: the group could be looked at", tt.name)
			}
		}
		tt.back()
		eventually(t, "answers are back", func() bool { got, err := in(t, d, "alice", groupDN("one"), true); return err == nil && got })
	}
}

func TestLowestAbove(t *testing.T) {
	for _, tt := range []struct{ base, group, want string }{
		{"dc=example,dc=com", "cn=g,ou=groups,dc=example,dc=com", "dc=example,dc=com"},
		{"ou=people,dc=example,dc=com", "cn=g, OU=Groups, DC=Example, DC=com", "dc=Example,dc=com"},
		{"ou=people,dc=example,dc=com", "cn=g,ou=people,dc=example,dc=com", "ou=people,dc=example,dc=com"},
		{"ou=people,dc=example,dc=com", "cn=g,dc=other,dc=com", "dc=com"},
		{"dc=example", "cn=g,ou=x,dc=other", "ou=x,dc=other"},
		{"dc=example", `cn=a\,b,ou=\+x,dc=other`, `ou=\+x,dc=other`},
		{"dc=example,dc=com", "dc=example,dc=com", "dc=example,dc=com"},
	} {
		if got := lowestAbove(tt.base, tt.group); got != tt.want {
			t.Errorf("lowestAbove(%q, %q) = %q, want %q", tt.base, tt.group, got, tt.want)
		}
	}
}

// Whatever stands in the directory, a filter asks what it is meant to.
func FuzzListing(f *testing.F) {
	f.Add("uid=a,dc=x", "a")
	f.Add(")(uid=*", "*)(|(")
	f.Add("dc=x", "")
	f.Add(`cn=\2c\`, "\x00\xff")
	f.Fuzz(func(t *testing.T, dn, name string) {
		filter, err := ldap.CompileFilter(listing([]string{dn}, []string{name}))
		if err != nil {
			t.Fatal(err)
		}
		if len(filter.Children) != 3 {
			t.Fatalf("%d parts", len(filter.Children))
		}
		for i, want := range []string{dn, dn, name} {
			c := filter.Children[i]
			if c.Tag != ldap.FilterEqualityMatch || c.Children[1].Data.String() != want {
				t.Errorf("part %d asks for %q", i, c.Children[1].Data.String())
			}
		}
		lowestAbove(dn, name)
	})
}
