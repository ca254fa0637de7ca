package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/ldapsync/ldaptest"
)

// A session that lasted hours must not be paid for with twenty times as many of
// silence, if somebody called Update before it.
func TestAfterALongSessionTheNextComesSoon(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	hold, begun := make(chan bool), make(chan int, 10)
	var n atomic.Int32
	alice, bob := is("alice", 1), is("bob", 2)
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for {
			r := c.Search()
			switch {
			case r.Sync != nil:
				k := int(n.Add(1))
				begun <- k
				switch k {
				case 1:
					c.Send(whole(csn("001:1"), alice, bob)...)
					c.Send(ldaptest.Done(4, "")) // and conn stays
				case 2:
					c.Send(whole(csn("001:1"), alice, bob)...)
					<-hold
					c.Send(ldaptest.Done(3, ""))
				default:
					c.Send(whole(csn("001:2"), alice)...)
				}
				c.Hold()
				return
			case slices.Contains(r.Attributes, "supportedControl"):
				c.Send(openLDAP(), ldaptest.Done(0, ""))
			default:
				c.Send(entry("alice").Attribute("entryUUID", []byte(uuidText(1))), entry("bob").Attribute("entryUUID", []byte(uuidText(2))), ldaptest.Done(0, ""))
			}
		}
	})
	c := Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", Timeout: 5 * time.Second,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, pace: pace{watch: time.Hour}}
	d := open(t, c)
	follow(t, d)
	if <-begun != 1 {
		t.Fatal("no session")
	}
	eventually(t, "ready", func() bool { return has(d, "bob") })
	eventually(t, "session 1 over", func() bool { return d.Status().Err != nil })
	if err := d.Update(t.Context()); err != nil { // as "user enroll" does
		t.Fatal(err)
	}
	if <-begun != 2 {
		t.Fatal("no second session")
	}
	eventually(t, "live", func() bool { return d.source.(*poller).live.Load() })
	ahead.Store(int64(5 * time.Hour))
	close(hold)
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		p := d.source.(*poller)
		<-p.turn
		t.Errorf("no session within 10 s after one of 5 h; the next is due in %s", p.nextPoll.Sub(p.cfg.Now()).Round(time.Minute))
		p.turn <- struct{}{}
	}
}

// Update that comes within a refresh returns when the refresh is complete.
func TestUpdateWithinARefreshReturns(t *testing.T) {
	t.Parallel()
	gate, begun := make(chan bool), make(chan bool, 1)
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for {
			r := c.Search()
			switch {
			case r.Sync != nil:
				begun <- true
				c.Send(is("alice", 1))
				<-gate
				c.Send(ldaptest.RefreshDelete(true).Cookie(csn("001:1")))
				c.Hold()
				return
			case slices.Contains(r.Attributes, "supportedControl"):
				c.Send(openLDAP(), ldaptest.Done(0, ""))
			default:
				c.Send(ldaptest.Done(0, ""))
			}
		}
	})
	d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", Timeout: 5 * time.Second})
	follow(t, d)
	<-begun
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		result <- d.Update(ctx)
	}()
	<-time.After(200 * time.Millisecond)
	close(gate)
	eventually(t, "live", func() bool { return d.source.(*poller).live.Load() })
	at := time.Now()
	if err := <-result; err != nil {
		t.Errorf("Update: %v, %s after the refresh was complete", err, time.Since(at).Round(time.Millisecond))
	}
}

// One entry that is too large stops following for everybody.
func TestATooLargeEntryHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	big := is("mallory", 3, "oathTOTPToken", strings.Repeat("x", 1<<20))
	var sessions atomic.Int32
	srv := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for {
			r := c.Search()
			switch {
			case r.Sync != nil:
				sessions.Add(1)
				c.Send(whole(csn("001:1"), is("alice", 1), big, is("bob", 2))...)
				c.Hold()
				return
			case slices.Contains(r.Attributes, "supportedControl"):
				c.Send(openLDAP(), ldaptest.Done(0, ""))
			default:
				c.Send(entry("alice"), entry("bob"), ldaptest.Done(0, ""))
			}
		}
	})
	log, said := logTo(t)
	d := open(t, Config{URLs: []string{srv.URL}, BaseDN: "dc=example,dc=org", Timeout: 5 * time.Second, Log: log,
		pace: pace{changes: time.Millisecond, full: time.Millisecond, watch: time.Hour}})
	follow(t, d)
	deadline := time.Now().Add(5 * time.Second)
	for !has(d, "bob") {
		if time.Now().After(deadline) {
			t.Fatalf("not ready after %d sessions: %s", sessions.Load(), said())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Whoever may write their own entry must not choose how long a change takes.
func TestManyNamesOfOneEntry(t *testing.T) {
	t.Parallel()
	for _, n := range []int{500, 1000, 2000, 4000} {
		r := newReplica(schemaFor(t), Config{}.withDefaults())
		values := make([][]byte, n)
		for i := range values {
			values[i] = fmt.Appendf(nil, "%05x", i)
		}
		e := rawEntry{dn: []byte("uid=m,dc=x"), get: func(attr string) [][]byte {
			switch attr {
			case "uid":
				return values
			case "oathSecret":
				return [][]byte{[]byte(key1)}
			}
			return nil
		}}
		at := time.Now()
		r.begin()
		r.put(e)
		put := time.Since(at)
		at = time.Now()
		if n <= 10000 {
			r.complete(time.Now())
		}
		t.Logf("%d names: put %s (replica locked), settle %s, record %d octets", n, put, time.Since(at), len(r.record(entryID(e)).text))
		if put > time.Second || time.Since(at) > time.Second {
			t.Errorf("%d names stop the replica for %s and %s", n, put, time.Since(at))
		}
	}
}

// The same at slapd, by who may write his own entry.
func TestATooLargeEntryAtSlapd(t *testing.T) {
	t.Parallel()
	var uids strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&uids, "uid: m%04d%s\n", i, strings.Repeat("x", 1000))
	}
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, enrolled("mallory")+enrolled("alice"))
	d, _, said := followed(t, s, func(c *Config) { c.Follow, c.pace.changes = "", 10*time.Millisecond })
	eventually(t, "alice", func() bool { return has(d, "alice") })
	s.Modify(t, modification("mallory", "add: uid", strings.TrimSpace(uids.String()), "-"))
	s.Modify(t, modification("alice", "replace: oathSecret", "oathSecret: "+key2, "-"))
	eventually(t, "alice's new key", func() bool { return keyOf(d, "alice") == key2 })
	if !strings.Contains(said(), "too large") {
		t.Errorf("nobody is told of the entry: %s", said())
	}
}

func schemaFor(t *testing.T) schema {
	s, err := newSchema(Config{Schema: "oath"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Many bad keys make a reason of megabytes, which is logged at each login.
func TestManyBadKeysOfOneEntry(t *testing.T) {
	t.Parallel()
	r := newReplica(schemaFor(t), Config{}.withDefaults())
	keys := [][]byte{}
	for i := range 10_000 {
		keys = append(keys, fmt.Appendf(nil, "%04x", i))
	}
	r.begin()
	r.put(rawEntry{dn: []byte("uid=m,dc=x"), get: func(attr string) [][]byte {
		switch attr {
		case "uid":
			return [][]byte{[]byte("m")}
		case "oathSecret":
			return keys
		}
		return nil
	}})
	r.complete(time.Now())
	at := time.Now()
	_, err := r.lookup("m", opened)
	if n := len(err.Error()); n > 10_000 {
		t.Errorf("reason of %d octets in %s", n, time.Since(at))
	}
}

// searchedOnly is a server that can only be searched, and answers each search but that
// of its root DSE with what answer returns.
func searchedOnly(t *testing.T, answer func(filter string) []ldaptest.Message) *ldaptest.Server {
	return ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for {
			r := c.Search()
			all := []ldaptest.Message{ldaptest.Entry("", "objectClass", "top")}
			if !slices.Contains(r.Attributes, "supportedControl") {
				all = answer(r.Filter)
			}
			c.Send(append(all, ldaptest.Done(0, ""))...)
		}
	})
}

// wantRevoked refreshes, has revoke done, and wants Update to see that alice is not
// enrolled any more.
func wantRevoked(t *testing.T, c Config, revoke func()) {
	t.Helper()
	c.BaseDN, c.Timeout = "dc=example,dc=org", 5*time.Second
	d := open(t, c)
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	revoke()
	if err := d.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has(d, "alice") {
		t.Error("Update() = nil, and alice is still enrolled")
	}
}

// Where modifyTimestamp cannot be read, a search for changes finds no revocation.
func TestUpdateSeesARevocationWithoutTimestamps(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	s := searchedOnly(t, func(string) []ldaptest.Message {
		if revoked.Load() { // the filter asks for a key, and she has none
			return []ldaptest.Message{entry("bob")}
		}
		return []ldaptest.Message{entry("alice"), entry("bob")}
	})
	wantRevoked(t, Config{URLs: []string{s.URL}, pace: pace{changes: time.Hour}}, func() { revoked.Store(true) })
}

// The LDAP server's clock was in the future and is put right.
func TestUpdateSeesARevocationAfterTheServersClockWasSetBack(t *testing.T) {
	t.Parallel()
	const future = "20300101000000Z"
	var revoked atomic.Bool
	s := searchedOnly(t, func(filter string) []ldaptest.Message {
		bob := entry("bob", "modifyTimestamp", future)
		// What became of alice is stamped before that.
		if revoked.Load() || strings.Contains(filter, "modifyTimestamp") {
			return []ldaptest.Message{bob}
		}
		return []ldaptest.Message{entry("alice", "modifyTimestamp", "20260101000000Z"), bob}
	})
	wantRevoked(t, Config{URLs: []string{s.URL}}, func() { revoked.Store(true) })
}

// Whoever may write oathTOTPToken has somebody else's token sealed for himself by
// the admin's rewrap.
func TestRewrapSealsNoTokenForAThief(t *testing.T) {
	t.Parallel()
	ring, to := newKeyring(t)
	lost := 0
	for range 20 {
		path := ldifFile(t, "dn: cn=tok,ou=people,dc=example,dc=org\nobjectClass: oathTOTPToken\noathSecret: "+key1+"\n\n"+
			inFile("alice", "oathTOTPToken: cn=tok,ou=people,dc=example,dc=org")+
			inFile("mallory", "oathTOTPToken: cn=tok,ou=people,dc=example,dc=org"))
		c := Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm, Keyring: ring, SealTo: to}
		d := refreshed(t, c)
		if !has(d, "alice") {
			t.Fatal("alice cannot log in before")
		}
		if _, err := d.Rewrap(t.Context(), EnrollOptions{}, nil); err != nil {
			t.Fatal(err)
		}
		d = refreshed(t, c)
		if _, err := d.Lookup("alice"); err != nil && has(d, "mallory") {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("alice's token was sealed for mallory %d times of 20", lost)
	}
}

// Whoever shares a further name with somebody is not gone past in silence.
func TestAmbiguousFurtherNamesAreTold(t *testing.T) {
	t.Parallel()
	ring, to := newKeyring(t)
	untold := 0
	for range 20 {
		path := ldifFile(t, inFile("xavier", "uid: yves", "oathSecret: "+key1)+inFile("yves", "oathSecret: "+key2))
		d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm, Keyring: ring, SealTo: to})
		if _, err := d.Lookup("yves"); !errors.Is(err, ErrAmbiguous) {
			t.Fatal(err)
		}
		r, err := d.Rewrap(t.Context(), EnrollOptions{DryRun: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sealed+len(r.Failed) < 2 {
			untold++
		}
	}
	if untold > 0 {
		t.Errorf("of 2 keys one was neither sealed nor failed, %d times of 20", untold)
	}
}
