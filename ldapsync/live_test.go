package ldapsync

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func live(s *testenv.SlapdServer) Config {
	c := configFor(s)
	c.Follow = "syncrepl"
	c.pace = pace{changes: 50 * time.Millisecond, full: time.Hour, watch: 100 * time.Millisecond, stall: 5 * time.Second}
	return c
}

// soon fails unless ok becomes true within a second: changes are told.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, enrolled("alice")+enrolled("bob")+person("carol")+
		"dn: cn=p,dc=example,dc=org\nobjectClass: device\nobjectClass: oathTOTPParams\ncn: p\n"+
		"oathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPTimeStepPeriod: 30\n\n"+
		enrolled("dave", "oathTOTPParams: cn=p,dc=example,dc=org"))
	d := open(t, live(s))
	run(t, d)
	if st := d.Status(); st.Mode != "syncrepl" || st.Entries != 3 {
		t.Fatalf("Status() = %+v", st)
	}
	s.Add(t, enrolled("erin"))
	soon(t, "a new entry", func() bool { return has(d, "erin") })
	s.Modify(t, modification("alice", "replace: oathSecret", "oathSecret: "+key2, "-"))
	soon(t, "a new key", func() bool {
		return strings.HasPrefix(string(lookup(t, d, "alice").Tokens[0].Key.Reveal()), "12345")
	})
	s.Modify(t, modification("bob", "delete: oathSecret", "-"))
	soon(t, "an entry that has left the filter", func() bool { return !has(d, "bob") })
	s.Modify(t, modification("bob", "add: oathSecret", "oathSecret: "+key1, "-"))
	soon(t, "an entry that has come into the filter", func() bool { return has(d, "bob") })
	id := lookup(t, d, "dave").ID
	s.Modify(t, "dn: "+dn("dave")+"\nchangetype: modrdn\nnewrdn: uid=david\ndeleteoldrdn: 1\n")
	soon(t, "a renamed entry", func() bool { return has(d, "david") && !has(d, "dave") })
	if got := lookup(t, d, "david"); got.ID != id || got.DN != dn("david") {
		t.Errorf("renamed: %+v, want ID %s", got, id)
	}
	s.Modify(t, "dn: cn=p,dc=example,dc=org\nchangetype: modify\nreplace: oathOTPLength\noathOTPLength: 8\n-\n")
	soon(t, "changed parameters", func() bool { return lookup(t, d, "david").Tokens[0].Digits == 8 })
	s.Modify(t, "dn: "+dn("erin")+"\nchangetype: delete\n")
	soon(t, "a deleted entry", func() bool { _, err := d.Lookup("erin"); return errors.Is(err, ErrNoAccount) })
	id = lookup(t, d, "bob").ID
	s.Modify(t, "dn: "+dn("bob")+"\nchangetype: delete\n")
	s.Add(t, enrolled("bob"))
	soon(t, "one made anew", func() bool { a, err := d.Lookup("bob"); return err == nil && a.ID != id })
}

// crowd is the LDIF of so many enrolled people, u0001 and so on.
func crowd(from, to int) string {
	var all strings.Builder
	for n := from; n <= to; n++ {
		all.WriteString(enrolled(fmt.Sprintf("u%04d", n)))
	}
	return all.String()
}

// each is the LDIF of a change for each of such people.
func each(from, to int, lines ...string) string {
	var all strings.Builder
	for n := from; n <= to; n++ {
		uid := fmt.Sprintf("u%04d", n)
		all.WriteString("dn: " + dn(uid) + "\n" + strings.ReplaceAll(strings.Join(lines, "\n"), "%", uid) + "\n\n")
	}
	return all.String()
}

var (
	deletion = []string{"changetype: delete"}
	newKey   = []string{"changetype: modify", "replace: oathSecret", "oathSecret: " + key2, "-"}
	noKey    = []string{"changetype: modify", "delete: oathSecret", "-"}
	renaming = []string{"changetype: modrdn", "newrdn: uid=%x", "deleteoldrdn: 1"}
)

// followed follows s through a gate.
func followed(t *testing.T, s *testenv.SlapdServer, change ...func(*Config)) (*Directory, *gate, func() string) {
	t.Helper()
	g := gateTo(t, s.URL)
	c := live(s)
	c.URLs = []string{g.url}
	c.pace.full = time.Millisecond // how long it waits before it connects again
	var log func() string
	c.Log, log = logTo(t)
	for _, f := range change {
		f(&c)
	}
	d := open(t, c)
	run(t, d)
	return d, g, log
}

// settled waits until d follows with so many entries.
func settled(t *testing.T, d *Directory, entries int) {
	t.Helper()
	p := d.source.(*poller)
	ok := func() bool { return p.live.Load() && d.Status().Entries == entries && d.Status().Healthy }
	if !testenv.Await(ok) {
		t.Fatalf("%+v, following %v; want %d entries", d.Status(), p.live.Load(), entries)
	}
}

func keyOf(d *Directory, name string) string {
	a, err := d.Lookup(name)
	if err != nil || len(a.Tokens) == 0 {
		return fmt.Sprint(err)
	}
	return unpadded.EncodeToString(a.Tokens[0].Key.Reveal())
}

// restarted stops and starts s, after which it does not know any more what was
// deleted.
func restarted(t *testing.T, s *testenv.SlapdServer) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

func TestChangesWhileDisconnected(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("thousands of entries")
	}
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 3000))
	d, g, log := followed(t, s)
	settled(t, d, 3000)
	all := g.octets.Load()

	// away cuts the connection, changes something, and comes back. It returns how
	// much of everything was sent again.
	away := func(change func(), entries int) float64 {
		t.Helper()
		g.close()
		eventually(t, "the connection is cut", func() bool { return !d.source.(*poller).live.Load() })
		change()
		before := g.octets.Load()
		g.open()
		settled(t, d, entries)
		return float64(g.octets.Load()-before) / float64(all)
	}
	if part := away(func() {}, 3000); part > 0.01 {
		t.Errorf("nothing changed: %.0f %% was sent again", 100*part)
	}
	if part := away(func() { restarted(t, s) }, 3000); part > 0.01 {
		t.Errorf("nothing but a restart: %.0f %% was sent again", 100*part)
	}
	// Of n each: changed, deleted, left the filter, renamed; and new.
	shuffle := func(from, n int) {
		s.Modify(t, each(from, from+n-1, newKey...))
		s.Modify(t, each(from+n, from+2*n-1, deletion...))
		s.Modify(t, each(from+2*n, from+3*n-1, noKey...))
		s.Modify(t, each(from+3*n, from+4*n-1, renaming...))
		s.Add(t, crowd(5000+from, 5000+from+n-1))
	}
	shuffled := func(from, n int) {
		t.Helper()
		for i := range n {
			name := func(k int) string { return fmt.Sprintf("u%04d", from+k*n+i) }
			if got := keyOf(d, name(0)); got != key2 {
				t.Errorf("%s, changed: %s", name(0), got)
			}
			for _, gone := range []string{name(1), name(2), name(3)} {
				if _, err := d.Lookup(gone); err != ErrNoAccount {
					t.Errorf("%s, which has gone: %v", gone, err)
				}
			}
			if new := fmt.Sprintf("u%04d", 5000+from+i); !has(d, name(3)+"x") || !has(d, new) {
				t.Errorf("not there: %s renamed, or %s", name(3), new)
			}
		}
	}
	if part := away(func() { shuffle(1, 5) }, 3000-5); part > 0.1 {
		t.Errorf("few changes: %.0f %% was sent again", 100*part)
	}
	shuffled(1, 5)
	if part := away(func() { shuffle(101, 5); restarted(t, s) }, 3000-10); part > 0.2 {
		t.Errorf("few changes and a restart: %.0f %% was sent again\n%s", 100*part, log())
	}
	shuffled(101, 5)
	away(func() { shuffle(201, 200) }, 3000-210)
	shuffled(201, 200)
	if strings.Contains(log(), "would remove many") {
		t.Errorf("an alarm for deletions that were told:\n%s", log())
	}
	away(func() { shuffle(1201, 200); restarted(t, s) }, 3000-410)
	shuffled(1201, 200)
	if !strings.Contains(log(), "would remove many") {
		t.Errorf("no alarm for deletions that were not told:\n%s", log())
	}
}

func TestMassDeletionWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 100))
	d, g, log := followed(t, s)
	settled(t, d, 100)
	g.close()
	eventually(t, "the connection is cut", func() bool { return !d.source.(*poller).live.Load() })
	s.Modify(t, each(1, 90, deletion...))
	restarted(t, s)
	through := g.through.Load()
	g.open()
	settled(t, d, 10)
	// One for the service connection, and one for each look.
	if n := g.through.Load() - through; n != 3 {
		t.Errorf("%d connections, want 3\n%s", n, log())
	}
	for _, want := range []string{"would remove many accounts, reading again to be sure\" removed=90 of=100", "\"read again\" removed=90 of=100"} {
		if strings.Count(log(), want) != 1 {
			t.Errorf("not once in the log: %s\n%s", want, log())
		}
	}
}

func TestAServerKilledInARefresh(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("thousands of entries")
	}
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 2000))
	g := gateTo(t, s.URL)
	killed := make(chan struct{})
	g.after(100_000, func() { s.Kill(t); close(killed) })
	c := live(s)
	c.URLs, c.pace.full = []string{g.url}, time.Millisecond
	var log func() string
	c.Log, log = logTo(t)
	d := open(t, c)
	follow(t, d)
	<-killed
	eventually(t, "it is told", func() bool { return strings.Contains(log(), "cannot be followed") })
	if d.Status().Ready || has(d, "u0001") {
		t.Error("ready after a part of the first refresh")
	}
	s.Start(t)
	settled(t, d, 2000)

	// Again, with everything known, and everything read anew.
	p := d.source.(*poller)
	p.setCookie("")
	killed = make(chan struct{})
	g.close()
	g.open()
	g.after(100_000, func() { s.Kill(t); close(killed) })
	<-killed
	eventually(t, "it is noticed again", func() bool { return !p.live.Load() && d.Status().Err != nil })
	if n := d.Status().Entries; n != 2000 || !has(d, "u2000") {
		t.Errorf("%d entries are left of 2000", n)
	}
	s.Start(t)
	s.Add(t, crowd(2001, 2001))
	settled(t, d, 2001)
}

func TestSizeLimitOfASession(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithSizeLimit(10))
	s.Add(t, crowd(1, 50))
	c := live(s)
	c.pace.full = time.Millisecond
	var log func() string
	c.Log, log = logTo(t)
	d := open(t, c)
	follow(t, d)
	eventually(t, "it is told", func() bool { return strings.Contains(log(), "raise the limits of the service account") })
	if d.Status().Ready {
		t.Error("ready after a part of the first refresh")
	}
	limit := func(to string) {
		s.Modify(t, fmt.Sprintf("dn: olcDatabase={1}mdb,cn=config\nreplace: olcLimits\nolcLimits: {0}dn.exact=%q size=%s time=unlimited\n-\n", s.ServiceDN, to))
	}
	limit("unlimited")
	settled(t, d, 50)
	limit("10")
	p := d.source.(*poller)
	p.setCookie("")
	restarted(t, s) // which brings back the limit of the beginning
	eventually(t, "it is told again", func() bool { return strings.Count(log(), "raise the limits") >= 2 })
	if n := d.Status().Entries; n != 50 || !has(d, "u0050") {
		t.Errorf("%d entries are left of 50", n)
	}
}

func TestTheServiceAccountLosesTheKey(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 50))
	d, g, log := followed(t, s)
	settled(t, d, 50)
	access := func(rules ...string) {
		lines := "dn: olcDatabase={1}mdb,cn=config\nreplace: olcAccess\n"
		for _, rule := range append([]string{"to attrs=userPassword by anonymous auth by * none"}, rules...) {
			lines += "olcAccess: " + rule + "\n"
		}
		s.Modify(t, lines+"-\n")
	}
	rest := fmt.Sprintf("to * by dn.exact=%q read by self read by * none", s.ServiceDN)
	access("to attrs=oathSecret by * none", rest)
	p := d.source.(*poller)
	cookie := p.lastCookie()
	// OpenLDAP takes it for an entry that has never been of interest.
	s.Modify(t, modification("u0001", "replace: oathSecret", "oathSecret: "+key2, "-"))
	soon(t, "that there was a change", func() bool { return p.lastCookie() != cookie })
	if n := d.Status().Entries; n != 50 {
		t.Errorf("%d entries are left of 50", n)
	}
	g.close()
	eventually(t, "the connection is cut", func() bool { return !p.live.Load() })
	p.setCookie("")
	g.open()
	eventually(t, "what it means is told", func() bool { return strings.Contains(log(), "may the service account read the key attribute?") })
	if !strings.Contains(log(), "would remove many accounts") {
		t.Errorf("no alarm:\n%s", log())
	}
	access(rest)
	settled(t, d, 50) // since where nobody is enrolled it looks again soon
}

func TestFrozenInASession(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 5))
	d, _, log := followed(t, s, func(c *Config) { c.Timeout = time.Second })
	settled(t, d, 5)
	s.Freeze(t)
	eventually(t, "it is noticed", func() bool { return d.Healthy() != nil && d.Status().Err != nil })
	if !has(d, "u0001") {
		t.Error("an account was dropped")
	}
	s.Thaw(t)
	s.Add(t, crowd(6, 6))
	settled(t, d, 6)
	eventually(t, "it is told that it is back", func() bool { return strings.Contains(log(), "directory is followed again") })
}

func TestARestoredBackup(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 20))
	s.Stop(t)
	restore := s.Backup(t)
	s.Start(t)
	d, _, log := followed(t, s)
	settled(t, d, 20)
	s.Add(t, crowd(21, 25))
	s.Modify(t, each(1, 5, deletion...))
	s.Modify(t, each(6, 6, newKey...))
	settled(t, d, 20)
	s.Stop(t)
	restore()
	s.Start(t)
	eventually(t, "what was before is back", func() bool { return has(d, "u0001") && !has(d, "u0021") && keyOf(d, "u0006") == key1 })
	settled(t, d, 20)
	if !strings.Contains(log(), "was a backup restored?") {
		t.Errorf("not told:\n%s", log())
	}
}

func TestTheFirstOfTwoServersDies(t *testing.T) {
	t.Parallel()
	one, two := testenv.Slapd(t, testenv.WithSyncprov()), testenv.Slapd(t, testenv.WithSyncprov())
	one.Add(t, crowd(1, 20))
	two.Add(t, crowd(1, 19)+enrolled("only"))
	two.ServiceDN, two.ServicePassword = one.ServiceDN, one.ServicePassword
	two.Modify(t, "dn: "+two.ServiceDN+"\nreplace: userPassword\nuserPassword: "+one.ServicePassword+"\n-\n")
	c := live(one)
	c.URLs, c.pace.full = []string{one.URL, two.URL}, time.Millisecond
	d := open(t, c)
	run(t, d)
	settled(t, d, 20)
	before := lookup(t, d, "u0001").ID
	one.Kill(t)
	eventually(t, "the second is followed", func() bool { return has(d, "only") && !has(d, "u0020") })
	settled(t, d, 20)
	if after := lookup(t, d, "u0001").ID; after == before {
		t.Error("the entry of the other server has the same ID")
	}
	two.Add(t, crowd(30, 30))
	soon(t, "a change at the second", func() bool { return has(d, "u0030") })
}

// Logins at full speed find everybody, while everything is read again and again,
// and while entries change.
func TestLoginsDuringRefreshes(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, crowd(1, 500))
	d, g, _ := followed(t, s, func(c *Config) { c.pace.whole = 250 * time.Millisecond })
	eventually(t, "everybody is there", func() bool { return d.Status().Entries == 500 })
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for n := 0; ; n++ {
				if n%25 == 0 {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond): // the server needs the processor, too
					}
				}
				name := fmt.Sprintf("u%04d", n%400+1)
				if a, err := d.Lookup(name); err != nil || len(a.Tokens) != 1 {
					t.Errorf("%s: %+v, %v", name, a, err)
					return
				}
			}
		})
	}
	from := g.through.Load()
	s.Modify(t, each(401, 440, deletion...))
	for n := 0; n < 2 || g.through.Load() < from+10; n++ {
		s.Modify(t, each(1, 40, "replace: oathSecret", "oathSecret: "+[]string{key1, key2}[n%2], "-"))
		s.Modify(t, each(41, 80, "replace: uid", "uid: %", fmt.Sprint("uid: %also", n), "-"))
	}
	close(stop)
	wait.Wait()
	if n := g.through.Load() - from; n < 10 {
		t.Errorf("%d refreshes meanwhile: too few to tell", n)
	}
}

// A server that has nothing to tell is no server that has stopped.
func TestAQuietSessionGoesOn(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, enrolled("alice")+person("bob"))
	log, logged := logTo(t)
	c := live(s)
	c.Log, c.pace.stall = log, 200*time.Millisecond
	d := open(t, c)
	run(t, d)
	<-time.After(3 * c.pace.stall)
	s.Modify(t, modification("bob", "add: objectClass", "objectClass: oathTOTPToken", "-", "add: oathSecret", "oathSecret: "+key1, "-"))
	soon(t, "a change after a silence", func() bool { return has(d, "bob") })
	if strings.Contains(logged(), "cannot be followed") {
		t.Errorf("the silence ended the session:\n%s", logged())
	}
}
