package ldapsync

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// asked is a search as a fakeServer gets it.
type asked struct {
	base   string
	scope  int64
	filter string
}

func searched(r request) asked {
	filter, err := ldap.DecompileFilter(r.op.Children[6])
	if err != nil {
		filter = err.Error()
	}
	return asked{r.op.Children[0].Value.(string), r.op.Children[1].Value.(int64), filter}
}

// anEntry is a search result entry.
func anEntry(dn string, attributes ...[]string) *reply {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(dn))
	attrs := ber.NewSequence("")
	for _, a := range attributes {
		attr := ber.NewSequence("")
		attr.AppendChild(text(a[0]))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range a[1:] {
			set.AppendChild(text(v))
		}
		attr.AppendChild(set)
		attrs.AppendChild(attr)
	}
	p.AppendChild(attrs)
	return &reply{op: p}
}

func searchDone(code int64) *reply { return result(ldap.ApplicationSearchResultDone, code, "") }

func sid(numbers ...uint32) string {
	b := []byte{1, byte(len(numbers)), 0, 0, 0, 0, 0, 5}
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return string(b)
}

// fakeDirectory answers searches by their base; what it does not know is not
// there. It notes what was asked.
type fakeDirectory struct {
	mu      sync.Mutex
	answers map[string]func(filter string) []*reply // by base and, of subtrees, " sub"
	asked   []asked
}

func (f *fakeDirectory) answer(r request) []*reply {
	if r.op.Tag != ldap.ApplicationSearchRequest {
		return []*reply{result(ldap.ApplicationBindResponse, 0, "")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := searched(r)
	f.asked = append(f.asked, a)
	key := a.base
	if a.scope == ldap.ScopeWholeSubtree {
		key += " sub"
	}
	if answer := f.answers[key]; answer != nil {
		return answer(a.filter)
	}
	return []*reply{searchDone(ldap.LDAPResultNoSuchObject)}
}

// lists answers with the entry of a DN, if the filter has one of the parts.
func lists(dn string, parts ...string) func(string) []*reply {
	return func(filter string) []*reply {
		if slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(filter, p) }) {
			return []*reply{anEntry(dn), searchDone(0)}
		}
		return []*reply{searchDone(0)}
	}
}

func always(entry *reply) func(string) []*reply {
	return func(string) []*reply { return []*reply{entry, searchDone(0)} }
}

// patient is c for a machine that has much else to do.
func patient(c Config) Config {
	c.Timeout = 20 * time.Second
	return c
}

const adUser = "CN=Müller\\, A (x),OU=Staff,DC=ad,DC=example"

// activeDirectory is what one answers of somebody whose primary group is Domain
// Users, number 513.
func activeDirectory() *fakeDirectory {
	inChain := func(dn string) string {
		return "(member:1.2.840.113556.1.4.1941:=" + ldap.EscapeFilter(dn) + ")"
	}
	const domainUsers = "CN=Domain Users,CN=Users,DC=ad,DC=example"
	direct := "(member=" + ldap.EscapeFilter(adUser) + ")"
	primary := "(objectSid=" + ldap.EscapeFilter(sid(21, 1, 2, 3, 513)) + ")"
	return &fakeDirectory{answers: map[string]func(string) []*reply{
		"":                           always(anEntry("", []string{"supportedCapabilities", "1.2.840.113556.1.4.1670", capabilityAD})),
		adUser:                       always(anEntry(adUser, []string{"objectSid", sid(21, 1, 2, 3, 1105)}, []string{"primaryGroupID", "513"})),
		"<SID=S-1-5-21-1-2-3-513>":   always(anEntry(domainUsers)),
		domainUsers:                  lists(domainUsers, primary),
		"CN=VPN,DC=ad,DC=example":    lists("CN=VPN,DC=ad,DC=example", direct, inChain(adUser)),
		"CN=Nested,DC=ad,DC=example": lists("CN=Nested,DC=ad,DC=example", inChain(adUser)),
		"CN=All,DC=ad,DC=example":    lists("CN=All,DC=ad,DC=example", inChain(domainUsers)),
		"CN=Other,DC=ad,DC=example":  lists("CN=Other,DC=ad,DC=example", "(member="+domainUsers+")"),
	}}
}

func TestMembershipInActiveDirectory(t *testing.T) {
	t.Parallel()
	f := activeDirectory()
	d := drained(t, open(t, patient(fakeConfig(serve(t, f.answer)))))
	for _, tt := range []struct {
		group          string
		direct, nested bool
	}{
		{"CN=VPN,DC=ad,DC=example", true, true},
		{"CN=Nested,DC=ad,DC=example", false, true},
		{"CN=Domain Users,CN=Users,DC=ad,DC=example", true, true},
		{"CN=All,DC=ad,DC=example", false, true},
		{"CN=Other,DC=ad,DC=example", false, false},
		{"CN=Missing,DC=ad,DC=example", false, false},
	} {
		m := d.Memberships(Account{DN: adUser})
		for nested, want := range map[bool]bool{false: tt.direct, true: tt.nested} {
			if got, err := m.In(t.Context(), tt.group, nested); err != nil || got != want {
				t.Errorf("in %s, nested %v: %v, %v; want %v", tt.group, nested, got, err, want)
			}
		}
	}
	for _, a := range f.asked {
		if a.scope != ldap.ScopeBaseObject {
			t.Errorf("searched a subtree: %+v", a)
		}
	}
	for base, want := range map[string]int{"": 1, "<SID=S-1-5-21-1-2-3-513>": 1, adUser: 6} {
		n := 0
		for _, a := range f.asked {
			if a.base == base {
				n++
			}
		}
		if n != want {
			t.Errorf("%q was read %d times, want %d", base, n, want)
		}
	}
}

// Each search of a question fails in turn. None of that is a no.
func TestGroupSearchesThatFail(t *testing.T) {
	t.Parallel()
	const group, user = "CN=Other,DC=ad,DC=example", adUser
	openLDAP := func() *fakeDirectory {
		return &fakeDirectory{answers: map[string]func(string) []*reply{
			"":                     always(anEntry("", []string{"objectClass", "top"})),
			user:                   always(anEntry(user, []string{"uid", "Alice"})),
			group:                  lists(group, "(objectClass=*)"),
			"dc=ad,dc=example sub": func(string) []*reply { return []*reply{searchDone(0)} },
		}}
	}
	failures := map[string][]*reply{
		"closes":          nil,
		"never answers":   {},
		"operations":      {searchDone(1)},
		"time limit":      {searchDone(3)},
		"size limit":      {searchDone(4)},
		"referral":        {searchDone(10)},
		"admin limit":     {searchDone(11)},
		"no rights":       {searchDone(50)},
		"busy":            {searchDone(51)},
		"unavailable":     {searchDone(52)},
		"unwilling":       {searchDone(53)},
		"other":           {searchDone(80)},
		"entry, then not": {anEntry(group), searchDone(4)},
	}
	for _, tt := range []struct {
		name   string
		server func() *fakeDirectory
		nested bool
		breaks []string // bases
	}{
		{"elsewhere, direct", openLDAP, false, []string{"", user, group}},
		{"elsewhere, nested", openLDAP, true, []string{"", user, group, "dc=ad,dc=example sub"}},
		{"Active Directory, direct", activeDirectory, false, []string{"", user, group}},
		{"Active Directory, nested", activeDirectory, true, []string{"", user, group, "<SID=S-1-5-21-1-2-3-513>"}},
	} {
		for _, base := range tt.breaks {
			for failure, replies := range failures {
				t.Run(tt.name+", "+base+", "+failure, func(t *testing.T) {
					t.Parallel()
					f := tt.server()
					c := fakeConfig(serve(t, f.answer))
					c.BaseDN, c.Timeout = "dc=ad,dc=example", 20*time.Second
					d := drained(t, open(t, c))
					if got, err := d.Memberships(Account{DN: user}).In(t.Context(), group, tt.nested); err != nil || got {
						t.Fatalf("as long as all is well: %v, %v", got, err)
					}
					if len(replies) == 0 { // which is waited for
						c.Timeout = 300 * time.Millisecond
					}
					d = drained(t, open(t, c))
					f.mu.Lock()
					f.answers[base] = func(string) []*reply { return replies }
					f.mu.Unlock()
					if got, err := d.Memberships(Account{DN: user}).In(t.Context(), group, tt.nested); err == nil || got {
						t.Errorf("%v, %v; want an error", got, err)
					}
				})
			}
		}
	}
}

// An account that is not there is in no group, and no rule would refuse it.
func TestGroupsOfAnAccountThatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(string) []*reply{
		"no such object": nil,
		"no entry":       func(string) []*reply { return []*reply{searchDone(0)} },
		"without a SID":  always(anEntry(adUser, []string{"primaryGroupID", "513"})),
		"a broken SID":   always(anEntry(adUser, []string{"primaryGroupID", "513"}, []string{"objectSid", "\x01\x05xxx"})),
		"no group":       always(anEntry(adUser, []string{"objectSid", sid(21, 1)}, []string{"primaryGroupID", "-1"})),
	} {
		f := activeDirectory()
		f.answers[adUser] = answer
		d := drained(t, open(t, patient(fakeConfig(serve(t, f.answer)))))
		if got, err := d.Memberships(Account{DN: adUser}).In(t.Context(), "CN=Other,DC=ad,DC=example", true); err == nil || got {
			t.Errorf("%s: %v, %v; want an error", name, got, err)
		}
	}
}

// Names in memberUid are the server's, not the canonical one of the login.
func TestMemberUidAtAServer(t *testing.T) {
	t.Parallel()
	f := &fakeDirectory{answers: map[string]func(string) []*reply{
		"":                always(anEntry("")),
		dn("alice"):       always(anEntry(dn("alice"), []string{"UID", "Alice", "al*"}, []string{"mail", "a@x"})),
		groupDN("direct"): lists(groupDN("direct"), "(objectClass=*)", "(memberUid=Alice)"),
		"dc=example,dc=org sub": func(filter string) []*reply {
			switch {
			case strings.Contains(filter, "(memberUid=Alice)(memberUid=a@x)(memberUid=al\\2a)"):
				return []*reply{anEntry(groupDN("direct")), searchDone(0)}
			case strings.Contains(filter, "(member="+groupDN("direct")+")") && !strings.Contains(filter, "memberUid"):
				return []*reply{anEntry(groupDN("above")), searchDone(0)}
			}
			return []*reply{searchDone(0)}
		},
		groupDN("above"): lists(groupDN("above"), "(objectClass=*)"),
	}}
	c := patient(fakeConfig(serve(t, f.answer)))
	c.LoginAttribute = "mail"
	d := drained(t, open(t, c))
	for _, tt := range []struct {
		group  string
		nested bool
		want   bool
	}{{"direct", false, true}, {"direct", true, true}, {"above", true, true}, {"above", false, false}} {
		if got, err := d.Memberships(Account{Name: "alice", DN: dn("alice")}).In(t.Context(), groupDN(tt.group), tt.nested); err != nil || got != tt.want {
			t.Errorf("in %s, nested %v: %v, %v; want %v", tt.group, tt.nested, got, err, tt.want)
		}
	}
}

// What was learned in one login is not asked again in it.
func TestAQuestionIsAskedOnce(t *testing.T) {
	t.Parallel()
	f := activeDirectory()
	d := drained(t, open(t, patient(fakeConfig(serve(t, f.answer)))))
	m := d.Memberships(Account{DN: adUser})
	for range 3 {
		for _, group := range []string{"CN=VPN,DC=ad,DC=example", "CN=Other,DC=ad,DC=example"} {
			m.In(t.Context(), group, false)
		}
	}
	if n := len(f.asked); n != 4 {
		t.Errorf("%d searches, want one of the root DSE, one of the account, one of each group: %+v", n, f.asked)
	}
}

// The service account's own trouble is nobody's membership.
func TestGroupsWhereTheServiceAccountIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, func(r request) []*reply {
		if r.op.Tag == ldap.ApplicationBindRequest {
			return []*reply{result(ldap.ApplicationBindResponse, 49, "")}
		}
		return []*reply{searchDone(0)}
	})
	c := patient(fakeConfig(s))
	c.BindDN = "cn=other"
	d := drained(t, open(t, c))
	got, err := d.Memberships(Account{DN: adUser}).In(t.Context(), "cn=x", false)
	if err == nil || got || errors.As(err, new(*PasswordError)) || !strings.Contains(err.Error(), "is its password right?") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTextSID(t *testing.T) {
	for octets, want := range map[string]string{
		sid(21, 1, 2, 3, 513): "S-1-5-21-1-2-3-513",
		sid(1 << 31):          "S-1-5-2147483648",
		"\x01\x01\x01\x00\x00\x00\x00\x00\x20\x02\x00\x00": "S-1-1099511627776-544",
	} {
		if got := textSID(octets); got != want {
			t.Errorf("%x is %s, want %s", octets, got, want)
		}
	}
}

func FuzzPrimarySID(f *testing.F) {
	f.Add([]byte(sid(21, 1, 2, 3, 1105)), "513")
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 5}, "-1")
	f.Add([]byte{1, 255}, "99999999999999999999")
	f.Fuzz(func(t *testing.T, octets []byte, rid string) {
		e := ldap.NewEntry("cn=x", map[string][]string{attrSID: {string(octets)}, attrPrimaryGroup: {rid}})
		got, err := primarySID(e)
		if err != nil {
			return
		}
		if len(got) != len(octets) || got[:len(got)-4] != string(octets[:len(octets)-4]) || !strings.HasPrefix(textSID(got), "S-1-") || strings.ContainsAny(textSID(got), "<>,=") {
			t.Errorf("%x of %q is %x, %s", octets, rid, got, textSID(got))
		}
	})
}

func reference(url string) *reply {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 19, nil, "")
	p.AppendChild(text(url))
	return &reply{op: p}
}

// The groups below the base are at another server, which the search says.
func TestGroupsElsewhereAreNotANo(t *testing.T) {
	t.Parallel()
	const group, user = "cn=suspended,dc=example,dc=org", "uid=alice,ou=people,dc=example,dc=org"
	f := &fakeDirectory{answers: map[string]func(string) []*reply{
		"":    always(anEntry("", []string{"objectClass", "top"})),
		user:  always(anEntry(user, []string{"uid", "alice"})),
		group: lists(group, "(objectClass=*)"),
		"dc=example,dc=org sub": func(string) []*reply {
			return []*reply{reference("ldap://other/ou=groups,dc=example,dc=org"), searchDone(0)}
		},
	}}
	c := fakeConfig(serve(t, f.answer))
	d := drained(t, open(t, patient(c)))
	if in, err := d.Memberships(Account{DN: user}).In(t.Context(), group, true); err == nil {
		t.Errorf("in the group: %v; want an error, since nobody can tell", in)
	}
}

// The first server dies between two searches, and the second is still loading its
// data, when 389-DS says of every entry that it is not there.
func TestServerThatLoadsItsDataIsNotANo(t *testing.T) {
	t.Parallel()
	const group, user = "cn=suspended,dc=example,dc=org", "uid=alice,ou=people,dc=example,dc=org"
	var dead atomic.Bool
	known := &fakeDirectory{answers: map[string]func(string) []*reply{
		"":   always(anEntry("", []string{"objectClass", "top"})),
		user: always(anEntry(user, []string{"uid", "alice"})),
	}}
	first := serve(t, func(r request) []*reply {
		if dead.Load() {
			return nil
		}
		if r.op.Tag == ldap.ApplicationSearchRequest && searched(r).base == user {
			dead.Store(true)
		}
		return known.answer(r)
	})
	loading := &fakeDirectory{answers: map[string]func(string) []*reply{"": always(anEntry("", []string{"objectClass", "top"}))}}
	second := serve(t, loading.answer)
	d := drained(t, open(t, patient(fakeConfig(first, second))))
	if in, err := d.Memberships(Account{DN: user}).In(t.Context(), group, false); err == nil {
		t.Errorf("in the group: %v; want an error, since nobody can tell", in)
	}
}
