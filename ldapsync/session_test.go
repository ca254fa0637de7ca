package ldapsync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// whole is a first refresh, as OpenLDAP and 389-DS both end it.
func whole(cookie string, entries ...message) []message {
	end := ldaptest.RefreshDelete(true)
	if cookie != "" {
		end = end.Cookie(cookie)
	}
	return append(slices.Clone(entries), end)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	var (
		c1, c2     = csn("001:1"), csn("001:2")
		alice, bob = is("alice", 1), is("bob", 2)
		carol      = is("carol", 3)
		first      = talk{says: whole(c1, alice, bob), hangUp: true, want: "alice bob"}
		nothing    = []message{ldaptest.RefreshDelete(true).Cookie(c1)} // has changed
	)
	for _, tt := range []struct {
		name  string
		talks []talk
		root  func() message
		log   string // a part of
	}{
		{name: "the cookie of a refresh is what the next session sends", talks: []talk{
			first, {cookie: c1, says: nothing, want: "alice bob"},
		}, log: "directory read"},
		{name: "an end in a present phase does as well", talks: []talk{
			{says: []message{alice, bob, ldaptest.RefreshPresent(true).Cookie(c1)}, hangUp: true, want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}},
		{name: "a delete phase on resuming drops what it names", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.IDSet(true, ldaptest.UUID(2), ldaptest.UUID(77)).Cookie(c2), carol, ldaptest.RefreshDelete(true).Cookie(c2)},
				want: "alice carol"},
		}},
		{name: "a delete phase on resuming drops nothing else", talks: []talk{
			first, {cookie: c1, says: []message{carol, ldaptest.RefreshDelete(true).Cookie(c2)}, want: "alice bob carol"},
		}},
		{name: "a delete phase without a cookie drops what was not seen", talks: []talk{
			{says: whole("", alice, bob), hangUp: true, want: "alice bob"},
			{says: whole("", alice, carol), want: "alice carol"},
		}},
		{name: "a present phase on resuming drops what was not seen", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 1)...), carol, ldaptest.RefreshPresent(true).Cookie(c2)}, want: "alice carol"},
		}},
		{name: "present entries one by one", talks: []talk{
			first,
			{cookie: c1, says: []message{state("alice", 1, wire.Present), ldaptest.RefreshPresent(true).Cookie(c2)}, want: "alice"},
		}},
		{name: "two phases on resuming", talks: []talk{
			{says: whole(c1, alice, bob, carol), hangUp: true, want: "alice bob carol"},
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 2)...), ldaptest.RefreshPresent(false),
				ldaptest.IDSet(true, ids(2, 2)...), is("dave", 4), ldaptest.RefreshDelete(true).Cookie(c2)}, want: "alice dave"},
		}},
		{name: "cut between two phases", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 1)...), ldaptest.RefreshPresent(false).Cookie(c2)}, hangUp: true, want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}},
		{name: "two phases without a cookie", talks: []talk{
			{says: whole("", alice, bob, carol), hangUp: true, want: "alice bob carol"},
			{says: []message{alice, ldaptest.RefreshPresent(false), bob, ldaptest.RefreshDelete(true)}, want: "alice bob"},
		}},
		{name: "two phases without a cookie, the other way round, cut", talks: []talk{
			{says: whole("", alice, bob, carol), hangUp: true, want: "alice bob carol"},
			{says: []message{alice, ldaptest.RefreshDelete(false)}, hangUp: true, want: "alice bob carol"},
			{says: []message{alice, ldaptest.RefreshDelete(false), bob, ldaptest.RefreshPresent(true)}, want: "alice bob"},
		}},
		{name: "an empty new cookie is none", talks: []talk{
			{says: append(whole(c1, alice), ldaptest.NewCookie("")), hangUp: true, want: "alice"},
			{cookie: c1, says: nothing, want: "alice"},
		}},
		{name: "an empty cookie at the end of a refresh is none", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.RefreshDelete(true).Cookie("")}, hangUp: true, want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}},
		{name: "a new cookie is kept", talks: []talk{
			{says: append(whole(c1, alice), ldaptest.NewCookie(c2)), hangUp: true, want: "alice"},
			{cookie: c2, says: nothing, want: "alice"},
		}},
		{name: "the cookie of a change is kept", talks: []talk{
			{says: append(whole(c1, alice), bob.Cookie(c2)), hangUp: true, want: "alice bob"},
			{cookie: c2, says: nothing, want: "alice bob"},
		}},
		{name: "cookies of several servers are merged", talks: []talk{
			{says: append(whole(csn("001:1", "002:1"), alice), bob.Cookie(csn("002:5")), ldaptest.NewCookie(csn("003:4")), carol.Cookie(csn("002:4"))),
				hangUp: true, want: "alice bob carol"},
			{cookie: csn("001:1", "002:5", "003:4"), says: nothing, want: "alice bob carol"},
		}},
		{name: "a cookie of another form replaces one", talks: []talk{
			{says: append(whole(c1, alice), ldaptest.NewCookie("other")), hangUp: true, want: "alice"},
			{cookie: "other", says: nothing, want: "alice"},
		}},
		{name: "cookies in a refresh count when it is complete", talks: []talk{
			first,
			{cookie: c1, says: []message{carol.Cookie(c2), ldaptest.IDSet(true, ldaptest.UUID(9)).Cookie(c2), ldaptest.NewCookie(c2)}, hangUp: true, want: "alice bob carol"},
			{cookie: c1, says: []message{carol.Cookie(c2), ldaptest.RefreshDelete(true)}, hangUp: true, want: "alice bob carol"},
			{cookie: c2, says: nothing, want: "alice bob carol"},
		}},
		{name: "an entry added that is known is changed", talks: []talk{
			first, {cookie: c1, says: []message{is("alice", 1, "oathOTPLength", "7"), ldaptest.RefreshDelete(true)}, want: "alice! bob"},
		}},
		{name: "an entry changed that is not known is added", talks: []talk{
			{says: append(whole(c1, alice), entry("bob").State(wire.Modify, ldaptest.UUID(2))), want: "alice bob"},
		}},
		{name: "an entry deleted that is not known", talks: []talk{
			{says: append(whole(c1, alice), state("bob", 2, wire.Delete)), want: "alice"},
		}},
		{name: "a present entry that is not known has everything read anew", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 3)...), ldaptest.RefreshPresent(true).Cookie(c2)}, want: "alice bob"},
			{says: whole(c2, alice, bob, carol), want: "alice bob carol"},
		}, log: "takes an entry for known that is not"},
		{name: "but not one that is told later", talks: []talk{
			first,
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 3)...), state("dave", 4, wire.Present), is("dave", 4), carol, ldaptest.RefreshPresent(true)},
				want: "alice bob carol dave"},
		}},
		{name: "so does one that is named alone", talks: []talk{
			first,
			{cookie: c1, says: []message{state("carol", 3, wire.Present), ldaptest.RefreshDelete(true).Cookie(c2)}, want: "alice bob"},
			{says: whole(c2, alice, bob, carol), want: "alice bob carol"},
		}},
		{name: "but not where everything is read anyhow", talks: []talk{
			{says: whole(c1, alice, ldaptest.IDSet(false, ids(7, 7)...)), want: "alice"},
		}, log: "takes an entry for known that is not"},
		{name: "a renamed entry", talks: []talk{
			{says: append(whole(c1, alice), entry("alison").State(wire.Modify, ldaptest.UUID(1))), want: "alison"},
		}},
		{name: "two that change places", talks: []talk{
			{says: append(whole(c1, alice, bob), entry("x").State(wire.Modify, ldaptest.UUID(1)),
				entry("alice").State(wire.Modify, ldaptest.UUID(2)), entry("bob").State(wire.Modify, ldaptest.UUID(1))), want: "alice bob"},
		}},
		{name: "an entry made anew before its deletion is told", talks: []talk{
			{says: append(whole(c1, alice), is("alice", 11), state("alice", 1, wire.Delete)), want: "alice"},
		}},
		{name: "an entry made anew on resuming", talks: []talk{
			first,
			{cookie: c1, says: []message{is("bob", 12), ldaptest.IDSet(false, ids(1, 1)...), ldaptest.RefreshPresent(true)}, want: "alice bob"},
		}},
		{name: "an entry leaves the filter and comes back", talks: []talk{
			{says: append(whole(c1, alice, bob), state("bob", 2, wire.Delete), state("alice", 1, wire.Delete), bob), want: "bob"},
		}},
		{name: "an entry whose key cannot be read any more", talks: []talk{
			{says: append(whole(c1, alice, bob), ldaptest.Entry(dn("bob"), "uid", "bob").State(wire.Modify, ldaptest.UUID(2))), want: "alice"},
		}},
		{name: "two entries of one name", talks: []talk{
			{says: append(whole(c1, alice, bob), is("x", 4, "uid", "ＡＬＩＣＥ")), want: "alice! bob x"},
		}, log: "several entries have one login name"},
		{name: "two entries of one name, one goes", talks: []talk{
			{says: append(whole(c1, alice, is("x", 4, "uid", "Alice")), state("x", 4, wire.Delete)), want: "alice"},
		}},
		{name: "the server does not know the cookie any more", talks: []talk{
			first, {cookie: c1, end: ldaptest.Done(refreshRequired, ""), want: "alice bob"}, {says: whole(c2, alice), want: "alice"},
		}, log: "does not know any more what was told"},
		{name: "the server is older than the cookie", talks: []talk{
			first, {cookie: c1, end: ldaptest.Done(53, "consumer state is newer than provider!"), want: "alice bob"}, {says: whole(c2, alice), want: "alice"},
		}, log: "consumer state is newer"},
		{name: "a refresh is asked for later", talks: []talk{
			{says: whole(c1, alice, bob), end: ldaptest.Done(refreshRequired, ""), want: "alice bob"}, {says: whole(c2, alice), want: "alice"},
		}},
		{name: "the server ends the search, which means no deletions", talks: []talk{
			{says: whole(c1, alice, bob), end: ldaptest.Done(0, "").SyncDone(false).Cookie(c2), want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}, log: "ended the search"},
		{name: "the server ends the search and says that deletions were told", talks: []talk{
			{says: whole(c1, alice, bob), end: ldaptest.Done(0, "").SyncDone(true), want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}},
		{name: "a delta for a whole, as 389-DS ends it", root: otherServer, talks: []talk{
			first, {says: []message{alice}, end: ldaptest.Done(0, "").SyncDone(false), want: "alice bob"},
			{says: whole("", alice, bob), want: "alice bob"},
		}},
		{name: "another server than OpenLDAP is never resumed", root: otherServer, talks: []talk{
			{says: append(whole("h:389#cn=svc:dc=x:(a=*)#7", alice, bob), carol.Cookie("h:389#cn=svc:dc=x:(a=*)#8")), hangUp: true, want: "alice bob carol"},
			{says: whole("h:389#cn=svc:dc=x:(a=*)#9", alice), want: "alice"},
		}},
		{name: "an end that comes twice changes nothing", talks: []talk{
			{says: append(whole(c1, alice, bob), ldaptest.RefreshPresent(true), ldaptest.RefreshDelete(true)), want: "alice bob"},
		}},
		{name: "what is not known is passed over", talks: []talk{
			{says: append(whole(c1, alice, ldaptest.Intermediate("1.2.3.4", "x"), ldaptest.Reference("ldap://evil/")),
				bob, ldaptest.Intermediate("1.2.3.4", "x"), ldaptest.Reference("ldap://evil/").State(wire.Add, ldaptest.UUID(8))), want: "alice bob"},
		}},
		{name: "an entry becomes a reference", talks: []talk{
			{says: append(whole(c1, alice, bob), ldaptest.Reference("ldap://evil/").State(wire.Delete, ldaptest.UUID(2))), want: "alice"},
		}},
		{name: "a notice of disconnection", talks: []talk{
			{says: whole(c1, alice, bob), end: ldaptest.Notice(52, "shutting down"), want: "alice bob"},
			{cookie: c1, says: nothing, want: "alice bob"},
		}, log: "shutting down"},
		{name: "an entry without its sync state", talks: []talk{
			{says: whole(c1, alice, bob), end: entry("dave"), want: "alice bob"}, {cookie: c1, says: nothing, want: "alice bob"},
		}, log: "without a sync state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &play{talks: tt.talks, root: tt.root}
			played(t, p)
			if !strings.Contains(p.log(), tt.log) {
				t.Errorf("no %q in the log:\n%s", tt.log, p.log())
			}
		})
	}
}

// What ends a session before it is complete takes nothing away, and the next one
// goes on from where the last complete one was.
func TestIncompleteSessions(t *testing.T) {
	t.Parallel()
	c1, c2 := csn("001:1"), csn("001:2")
	alice, bob, carol := is("alice", 1), is("bob", 2), is("carol", 3)
	for _, tt := range []struct {
		name   string
		end    message
		hangUp bool
		log    string
	}{
		{name: "size limit", end: ldaptest.Done(4, ""), log: "raise the limits"},
		{name: "time limit", end: ldaptest.Done(3, ""), log: "raise the limits"},
		{name: "insufficient access", end: ldaptest.Done(50, ""), log: "Result Code 50"},
		{name: "busy", end: ldaptest.Done(51, ""), log: "Result Code 51"},
		{name: "unavailable", end: ldaptest.Done(52, ""), log: "Result Code 52"},
		{name: "referral", end: ldaptest.Done(10, ""), log: "name that one"},
		{name: "base has gone", end: ldaptest.Done(32, ""), log: "is the base DN"},
		{name: "success", end: ldaptest.Done(0, ""), log: "ended the search"},
		{name: "closed", hangUp: true, log: "closed by the server"},
		{name: "silence", log: "incomplete"},
		{name: "notice of disconnection", end: ldaptest.Notice(52, "bye"), log: "bye"},
		{name: "an endless length", end: ldaptest.Raw("\x30\x80\x02\x01\x02"), log: "read message"},
		{name: "no LDAP", end: ldaptest.Raw("HTTP/1.1 400 Bad Request\r\n\r\n"), log: "read message"},
		{name: "a broken entry", end: ldaptest.Raw("\x30\x0c\x02\x01\x02\x64\x07\x04\x20uid=x"), log: "read message"},
		{name: "an answer to another question", end: ldaptest.Done(0, "").ID(77), log: "request 77"},
		{name: "cut within a message", end: ldaptest.Raw("\x30\x20\x02"), hangUp: true, log: "octets of a message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &play{talks: []talk{
				{says: []message{alice, bob}, end: tt.end, hangUp: tt.hangUp, want: "not ready"},
				{says: whole(c1, alice, bob), hangUp: true, want: "alice bob"},
				{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 1)...), carol.Cookie(c2)}, end: tt.end, hangUp: tt.hangUp, want: "alice bob carol"},
				{cookie: c1, says: []message{carol, ldaptest.RefreshDelete(true)}, want: "alice bob carol"},
			}}
			played(t, p, func(c *Config) { c.pace.stall = 200 * time.Millisecond })
			if !strings.Contains(p.log(), tt.log) || !strings.Contains(p.log(), "followed again") {
				t.Errorf("no %q in the log, or not that it has ended:\n%s", tt.log, p.log())
			}
		})
	}
}

// A refresh that is cut after any of its messages.
func TestARefreshIsCutAnywhere(t *testing.T) {
	t.Parallel()
	c1, c2 := csn("001:1"), csn("001:2")
	before := []message{is("alice", 1), is("bob", 2), is("carol", 3)}
	refresh := []message{ldaptest.IDSet(false, ids(1, 1)...), ldaptest.IDSet(false, ids(2, 2)...).Cookie(c2), ldaptest.NewCookie(c2),
		ldaptest.RefreshPresent(false).Cookie(c2), is("bob", 2).Cookie(c2), ldaptest.IDSet(true, ids(50, 60)...).Cookie(c2)}
	for n := range len(refresh) + 1 {
		t.Run(fmt.Sprint("resuming, after ", n), func(t *testing.T) {
			t.Parallel()
			played(t, &play{talks: []talk{
				{says: whole(c1, before...), hangUp: true, want: "alice bob carol"},
				{cookie: c1, says: refresh[:n], hangUp: true, want: "alice bob carol"},
				{cookie: c1, says: append(slices.Clone(refresh), ldaptest.RefreshDelete(true)), want: "alice bob"},
			}})
		})
	}
	for n := range len(before) + 1 {
		t.Run(fmt.Sprint("first, after ", n), func(t *testing.T) {
			t.Parallel()
			played(t, &play{talks: []talk{
				{says: before[:n], hangUp: true, want: "not ready"},
				{says: whole(c1, before...), want: "alice bob carol"},
			}})
		})
		t.Run(fmt.Sprint("everything anew, after ", n), func(t *testing.T) {
			t.Parallel()
			played(t, &play{root: otherServer, talks: []talk{
				{says: whole("", before...), hangUp: true, want: "alice bob carol"},
				{says: before[:n], hangUp: true, want: "alice bob carol"},
				{says: whole("", before[0]), want: "alice"},
			}})
		})
	}
}

func many(from, to int) (all []message) {
	for n := from; n <= to; n++ {
		all = append(all, is(fmt.Sprintf("u%04d", n), n))
	}
	return all
}

func names(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("u%04d", n))
	}
	return strings.Join(all, " ")
}

func TestAPresentPhaseInPieces(t *testing.T) {
	t.Parallel()
	c1 := csn("001:1")
	played(t, &play{talks: []talk{
		{says: whole(c1, many(1, 600)...), hangUp: true, want: names(1, 600)},
		{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 256)...), ldaptest.IDSet(false, ids(257, 512)...), ldaptest.IDSet(false, ids(513, 595)...),
			ldaptest.RefreshPresent(true).Cookie(c1)}, want: names(1, 595)},
	}})
}

func TestManyDeletionsMustBeSeenTwice(t *testing.T) {
	t.Parallel()
	c1, c2 := csn("001:1"), csn("001:2")
	const alarm, again = "would remove many accounts", `msg="read again" removed=`
	all := talk{says: whole(c1, many(1, 40)...), hangUp: true, want: names(1, 40)}
	held := talk{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 20)...), ldaptest.RefreshPresent(true).Cookie(c2)}, want: names(1, 40)}
	for _, tt := range []struct {
		name  string
		talks []talk
		log   []string // in this order, once each
	}{
		{"confirmed", []talk{all, held, {says: whole(c2, many(1, 20)...), want: names(1, 20)}}, []string{alarm, again + "20 of=40"}},
		{"not confirmed", []talk{all, held, {says: whole(c2, many(1, 40)...), want: names(1, 40)}}, []string{alarm, again + "0 of=40"}},
		{"the second look is cut", []talk{all, held,
			{says: many(1, 5), hangUp: true, want: names(1, 40)},
			{says: whole(c2, many(1, 20)...), want: names(1, 20)}}, []string{alarm, again + "20 of=40"}},
		{"seen by a refresh of everything", []talk{
			{says: whole("", many(1, 40)...), hangUp: true, want: names(1, 40)},
			{says: whole("", many(1, 20)...), want: names(1, 40)},
			{says: whole("", many(1, 20)...), want: names(1, 20)}}, []string{alarm, again + "20 of=40"}},
		{"confirmed, and later again", []talk{all, held,
			{says: whole(c2, many(1, 20)...), hangUp: true, want: names(1, 20)},
			{cookie: c2, says: []message{ldaptest.RefreshPresent(true)}, want: names(1, 20)},
			{says: whole(c2, many(1, 1)...), want: names(1, 1)}}, []string{alarm, again + "20 of=40", alarm, again + "19 of=20"}},
		{"ten are not many", []talk{all,
			{cookie: c1, says: []message{ldaptest.IDSet(false, ids(1, 30)...), ldaptest.RefreshPresent(true).Cookie(c2)}, want: names(1, 30)}}, nil},
		{"nor are those that are named", []talk{all,
			{cookie: c1, says: []message{ldaptest.IDSet(true, ids(2, 40)...), ldaptest.RefreshDelete(true).Cookie(c2)}, want: names(1, 1)}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &play{talks: tt.talks}
			played(t, p)
			log := p.log()
			for _, want := range append(tt.log, "") {
				at := strings.Index(log, want)
				if at < 0 {
					t.Fatalf("no %q in the log:\n%s", want, p.log())
				}
				log = log[at+len(want):]
			}
			if strings.Contains(log, alarm) || strings.Contains(log, again) {
				t.Errorf("more alarms than %q:\n%s", tt.log, p.log())
			}
		})
	}
}
