package ldapsync

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

func TestTheNextServerIsReadFromScratch(t *testing.T) {
	t.Parallel()
	c1 := csn("001:1")
	for _, tt := range []struct {
		name string
		talk talk // of the first server, the last one
	}{
		{"the first dies", talk{says: whole(c1, is("alice", 1), is("bob", 2)), hangUp: true}},
		{"the first has no time", talk{says: whole(c1, is("alice", 1), is("bob", 2)), end: ldaptest.Done(51, "")}},
		{"the first shuts down", talk{says: whole(c1, is("alice", 1), is("bob", 2)), end: ldaptest.Notice(52, "")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.talk.want = "alice bob"
			p := &play{t: t, root: openLDAP, talks: []talk{tt.talk, {says: whole(csn("001:9"), is("alice", 1)), want: "alice"}}}
			one, two := ldaptest.Serve(t, p.act), ldaptest.Serve(t, p.act)
			played(t, p, func(c *Config) { c.URLs = []string{one.URL, two.URL} })
			if got := p.d.Status().URL; got != two.URL {
				t.Errorf("follows %s, want %s", got, two.URL)
			}
		})
	}
}

func TestAServerThatDoesNotTellAfterAllIsPolled(t *testing.T) {
	t.Parallel()
	refusal := ldaptest.Done(12, "critical extension is unavailable")
	page := []message{ldaptest.Entry(dn("alice"), "uid", "alice", "oathSecret", key1, "entryUUID", uuidText(1))}
	p := started(t, &play{talks: []talk{{end: refusal, want: "not ready"}}, page: page},
		func(c *Config) { c.pace.full = time.Hour })
	eventually(t, "alice is there", func() bool { return has(p.d, "alice") })
	eventually(t, "the mode is told", func() bool { st := p.d.Status(); return st.Mode == "poll" && st.Healthy })

	p = started(t, &play{talks: []talk{{end: refusal, want: "not ready"}}, page: page},
		func(c *Config) { c.Follow = "syncrepl"; c.pace.full = time.Hour })
	eventually(t, "the refusal is told", func() bool { return strings.Contains(p.log(), "overlay syncprov") })
	if known(p.d) != "not ready" {
		t.Error("polled, against the configuration")
	}
}

// lateCSN is what the server says that its newest change is, from when it is set.
func lateCSN(p *play, first string) (set func(string)) {
	var now atomic.Value
	now.Store(first)
	p.csn = func() string { _, c, _ := strings.Cut(now.Load().(string), "csn="); return c }
	return func(c string) { now.Store(c) }
}

func TestASessionThatTheServerHasForgottenIsEnded(t *testing.T) {
	t.Parallel()
	c1, c2 := csn("001:1"), csn("001:2")
	p := &play{talks: []talk{
		{says: whole(c1, is("alice", 1)), want: "alice"},
		{cookie: c1, says: []message{is("bob", 2), ldaptest.RefreshDelete(true).Cookie(c2)}, want: "alice bob"},
	}}
	lateCSN(p, c2)
	played(t, p, func(c *Config) { c.pace.watch = 20 * time.Millisecond })
	if !strings.Contains(p.log(), errBehind.Error()) {
		t.Errorf("not told:\n%s", p.log())
	}
}

// A server may say that there is a change a moment before it tells of it.
func TestASessionThatIsOnlyLateGoesOn(t *testing.T) {
	t.Parallel()
	c1, c2 := csn("001:1"), csn("001:2")
	var looks atomic.Int64
	p := &play{talks: []talk{{says: whole(c1, is("alice", 1)), want: "alice"}}}
	p.csn = func() string {
		_, now, _ := strings.Cut(c1, "csn=")
		if looks.Add(1)%2 == 0 {
			_, now, _ = strings.Cut(c2, "csn=")
		}
		return now
	}
	started(t, p, func(c *Config) { c.pace.watch = 5 * time.Millisecond })
	eventually(t, "many looks", func() bool { return looks.Load() > 10 })
	p.over()
}

func TestEverythingIsReadAnewNowAndThen(t *testing.T) {
	t.Parallel()
	c1 := csn("001:1")
	p := &play{talks: []talk{
		{says: append(whole(c1, is("alice", 1), is("bob", 2)), ldaptest.NewCookie(c1)), want: "alice bob"},
		{says: whole(c1, is("alice", 1)), hangUp: true, want: "alice"},
		{cookie: c1, says: []message{ldaptest.RefreshDelete(true)}, want: "alice"},
	}}
	played(t, p, func(c *Config) { c.pace.whole = 100 * time.Millisecond })
}

// A server that answers nothing more, neither here nor there.
func TestASessionWithAFrozenServerIsEnded(t *testing.T) {
	t.Parallel()
	c1 := csn("001:1")
	var frozen atomic.Bool
	p := &play{t: t, root: openLDAP, talks: []talk{
		{says: whole(c1, is("alice", 1)), want: "alice"},
		{cookie: c1, says: []message{ldaptest.RefreshDelete(true)}, want: "alice"},
	}}
	block := make(chan struct{})
	p.csn = func() string {
		if frozen.Load() {
			<-block
		}
		return ""
	}
	started(t, p, func(c *Config) { c.pace.watch, c.Timeout = 10*time.Millisecond, 300*time.Millisecond })
	t.Cleanup(func() { close(block) }) // before the server waits for its scripts
	eventually(t, "alice is there", func() bool { return has(p.d, "alice") })
	frozen.Store(true)
	eventually(t, "it is told", func() bool { return strings.Contains(p.log(), "no answer from") })
	frozen.Store(false)
	eventually(t, "it is followed again", func() bool { return has(p.d, "last-word") })
}

// A server that asks for a new refresh at each is not asked without a pause.
func TestAServerThatWantsEverythingReadAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := Config{URLs: []string{"ldap://127.0.0.1"}, BaseDN: "dc=x"}
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		p := d.source.(*poller)
		began := time.Now()
		p.plan(began, true, errAnew)
		if got := p.nextPoll.Sub(began); got != time.Second {
			t.Errorf("the next session after a short one: in %s, want 1s", got)
		}
		time.Sleep(time.Minute)
		p.plan(began, true, fmt.Errorf("x: %w", errAnew))
		if p.nextPoll.After(time.Now()) {
			t.Errorf("the next session after a long one: in %s, want at once", time.Until(p.nextPoll))
		}
	})
}

const ipaBase = ",cn=otp,dc=example,dc=org"

func ipaToken(id int, owner string, more ...string) message {
	serial := fmt.Sprint("t", id)
	return ldaptest.Entry("ipatokenUniqueID="+serial+ipaBase, append([]string{"objectClass", "ipatokenTOTP", "ipatokenUniqueID", serial,
		"ipatokenOTPkey", "12345678901234567890", "ipatokenOwner", dn(owner)}, more...)...).State(wire.Add, ldaptest.UUID(id))
}

// tokens tells of each account how many tokens it has.
func tokens(d *Directory, name string) string {
	a, err := d.Lookup(name)
	var unusable *UnusableError
	switch {
	case errors.As(err, &unusable):
		return unusable.Why
	case err != nil:
		return err.Error()
	}
	var all []string
	for _, token := range a.Tokens {
		all = append(all, token.Name)
	}
	return strings.Join(append(all, a.Problems...), " ")
}

func TestTokensOfFreeIPA(t *testing.T) {
	t.Parallel()
	var now clock
	start := now.now()
	at := func(d time.Duration) string { return start.Add(d).UTC().Format("20060102150405Z") }
	nine := []message{}
	for n := 21; n <= 29; n++ {
		nine = append(nine, ipaToken(n, "many"))
	}
	user := func(name string, id int, locked string) message {
		return ldaptest.Entry(dn(name), "objectClass", "person", "uid", name, "nsAccountLock", locked).State(wire.Modify, ldaptest.UUID(id))
	}
	p := &play{root: otherServer, talks: []talk{{
		says: append(whole("", append(nine,
			ipaToken(1, "alice"), ipaToken(2, "alice", "ipatokenDisabled", "TRUE"),
			ipaToken(3, "timed", "ipatokenNotBefore", at(10*time.Second), "ipatokenNotAfter", at(20*time.Second)),
			ipaToken(4, "gone"), user("gone", 50, "TRUE"),
			ipaToken(5, "back"), user("back", 51, "TRUE"),
			ipaToken(6, "shy", "ipatokenNotAfter", "tomorrow"),
			ipaToken(9, "ancient", "ipatokenNotAfter", "00010101000000Z"),
			ldaptest.Entry("ipatokenUniqueID=t7"+ipaBase, "objectClass", "ipatokenTOTP", "ipatokenUniqueID", "t7", "ipatokenOwner", dn("blind")).State(wire.Add, ldaptest.UUID(7)),
			ldaptest.Entry("ipatokenUniqueID=t8"+ipaBase, "objectClass", "ipatokenTOTP", "ipatokenUniqueID", "t8", "ipatokenOTPkey", "12345678901234567890").State(wire.Add, ldaptest.UUID(8)),
		)...), user("back", 51, "FALSE"), ipaToken(60, "changes", "ipatokenDisabled", "TRUE"), ipaToken(60, "changes")),
	}}}
	lastWord := ipaToken(9999, "last-word")
	p.talks[0].end = lastWord
	started(t, p, func(c *Config) { c.Schema, c.Now = "freeipa", now.now })
	eventually(t, "all is told", func() bool { return has(p.d, "last-word") })
	for _, tt := range []struct{ name, want string }{
		{"alice", `t1 token "t2": token disabled`},
		{"many", "9 tokens: want at most 8"},
		{"gone", "disabled in the directory (nsAccountLock)"},
		{"back", "t5"},
		{"shy", `token "t6": ipatokenNotAfter "tomorrow": want a time such as 20260101000000Z`},
		{"ancient", `token "t9": not valid after 0001-01-01T00:00:00Z`},
		{"blind", `token "t7": its ipatokenOTPkey may not be read by the service account`},
		{"changes", "t60"},
	} {
		if got := tokens(p.d, tt.name); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		pass time.Duration
		want string
	}{
		{0, "not valid before"}, {10*time.Second - 1, "not valid before"}, {1, "t3"},
		{10 * time.Second, "t3"}, {1, "not valid after"}, {time.Hour, "not valid after"},
	} {
		now.advance(tt.pass)
		if got := tokens(p.d, "timed"); got != tt.want && (tt.want == "t3" || !strings.Contains(got, tt.want)) {
			t.Errorf("at %s: %s, want %s", now.now().Sub(start), got, tt.want)
		}
	}
}

func TestSeparateEntriesInAnyOrder(t *testing.T) {
	t.Parallel()
	user := ldaptest.Entry(dn("alice"), "uid", "alice", "objectClass", "oathTOTPUser", "oathTOTPToken", "cn=tok,dc=example,dc=org").State(wire.Add, ldaptest.UUID(1))
	token := ldaptest.Entry("CN=Tok, dc=Example,dc=org", "objectClass", "oathTOTPToken", "oathSecret", key1, "oathTokenSerialNumber", "s1",
		"oathTOTPParams", "cn=p,dc=example,dc=org").State(wire.Add, ldaptest.UUID(2))
	params := ldaptest.Entry("cn=p,dc=example,dc=org", "objectClass", "oathTOTPParams", "oathOTPLength", "8", "oathHMACAlgorithm", "1.2.840.113549.2.9",
		"oathTOTPTimeStepPeriod", "60").State(wire.Add, ldaptest.UUID(3))
	all := []message{user, token, params}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, live := range []bool{false, true} {
			t.Run(fmt.Sprint(order, live), func(t *testing.T) {
				t.Parallel()
				said := []message{all[order[0]], all[order[1]], all[order[2]]}
				says := whole("", said...)
				if live {
					says = append(whole(""), said...)
				}
				p := &play{talks: []talk{{says: says, want: "alice"}}}
				played(t, p)
				a := lookup(t, p.d, "alice")
				if len(a.Tokens) != 1 || len(a.Problems) != 0 {
					t.Fatalf("%+v", a)
				}
				got := a.Tokens[0]
				if got.Name != "s1" || got.Digits != 8 || got.Algorithm != "SHA256" || got.Period != time.Minute {
					t.Errorf("%+v", got)
				}
			})
		}
	}
	// What is named goes, and comes back elsewhere.
	p := &play{talks: []talk{{says: append(whole("", all...), state("", 3, wire.Delete)), want: "alice!"}}}
	played(t, p)
	if got := tokens(p.d, "alice"); !strings.Contains(got, "oathTOTPParams names") {
		t.Errorf("without parameters: %s", got)
	}
	p = &play{talks: []talk{{says: append(whole("", all...), state("", 2, wire.Delete)), want: "alice!"}}}
	played(t, p)
	if got := tokens(p.d, "alice"); !strings.Contains(got, "oathTOTPToken names") {
		t.Errorf("without the token: %s", got)
	}
}

func TestDisabledEntries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, attribute, value, want string }{
		{"389-DS", "nsAccountLock", "true", "disabled in the directory (nsAccountLock)"},
		{"389-DS, not", "nsAccountLock", "FALSE", "1"},
		{"Active Directory", "userAccountControl", "514", "disabled in the directory (userAccountControl)"},
		{"Active Directory, not", "userAccountControl", "512", "1"},
		{"Active Directory, other flags", "userAccountControl", "66049", "1"},
		{"draft-behera, by an admin", "pwdAccountLockedTime", "000001010000Z", "locked in the directory by an admin (pwdAccountLockedTime)"},
		{"draft-behera, for a while", "pwdAccountLockedTime", "20261122120000Z", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := "alice"
			if tt.want != "1" {
				want += "!"
			}
			p := &play{talks: []talk{{says: append(whole("", is("alice", 1)), is("alice", 1, tt.attribute, tt.value)), want: want}}}
			played(t, p)
			if got := tokens(p.d, "alice"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			p = &play{talks: []talk{{says: append(whole("", is("alice", 1, tt.attribute, tt.value)), is("alice", 1)), want: "alice"}}}
			played(t, p)
		})
	}
}

func TestManyTokensOfOneUser(t *testing.T) {
	t.Parallel()
	keys := func(n int) (more []string) {
		for i := range n {
			more = append(more, "oathSecret", fmt.Sprintf("%sAA%c%c", key1[:28], 'A'+i, 'A'))
		}
		return more
	}
	p := &play{talks: []talk{{says: whole("", is("eight", 1, keys(7)...), is("nine", 2, keys(8)...)), want: "eight nine!"}}}
	played(t, p)
	if got := tokens(p.d, "eight"); got != "1 2 3 4 5 6 7 8" {
		t.Errorf("eight: %s", got)
	}
	if got := tokens(p.d, "nine"); got != "9 tokens: want at most 8" {
		t.Errorf("nine: %s", got)
	}
}

// Nothing secret is in the log, whatever the server says.
func TestSessionsLogNoKey(t *testing.T) {
	t.Parallel()
	p := &play{talks: []talk{
		{says: append(whole("", is("alice", 1, "oathOTPLength", "9"), is("bob", 2, "oathSecret", "canary!")), is("x", 3, "uid", "alice")),
			end: ldaptest.Raw("\x30\x10\x02\x01\x02" + key1), want: "alice! bob x"},
		{says: whole("", is("alice", 1)), want: "alice"},
	}}
	played(t, p, func(c *Config) { c.BindPassword = opaque.Text("canary-pw") })
	for _, secret := range []string{key1, "canary", "12345678901234567890"} {
		if strings.Contains(p.log(), secret) {
			t.Errorf("%q in the log:\n%s", secret, p.log())
		}
	}
}

// Nobody tells that the service account may read now what it could not.
func TestNobodyEnrolledIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	p := &play{talks: []talk{{says: whole(csn("001:1"))}, {says: whole(csn("001:1"), is("alice", 1)), want: "alice"}}}
	lateCSN(p, csn("001:1"))
	started(t, p, func(c *Config) { c.pace.watch = 5 * time.Millisecond })
	eventually(t, "alice is there", func() bool { return has(p.d, "last-word") })
	p.over()
	if n := strings.Count(p.log(), "no enrolled account found"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, p.log())
	}
}
