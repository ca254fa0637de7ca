package ldapsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

const (
	key1 = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	key2 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

// person is the LDIF of somebody with a password of the name and "-pw".
func person(uid string, more ...string) string {
	lines := append([]string{
		"dn: uid=" + uid + ",ou=people,dc=example,dc=org", "objectClass: inetOrgPerson",
		"uid: " + uid, "cn: " + uid, "sn: " + uid, "userPassword: " + uid + "-pw",
	}, more...)
	return strings.Join(lines, "\n") + "\n\n"
}

func enrolled(uid string, more ...string) string {
	return person(uid, append([]string{"objectClass: oathTOTPToken", "oathSecret: " + key1}, more...)...)
}

func dn(uid string) string { return "uid=" + uid + ",ou=people,dc=example,dc=org" }

func modification(uid string, lines ...string) string {
	return "dn: " + dn(uid) + "\nchangetype: modify\n" + strings.Join(lines, "\n") + "\n"
}

func configFor(s *testenv.SlapdServer, urls ...string) Config {
	if urls == nil {
		urls = []string{s.URL}
	}
	return Config{
		URLs: urls, BaseDN: s.BaseDN, BindDN: s.ServiceDN, BindPassword: opaque.Text(s.ServicePassword),
		Timeout: 5 * time.Second,
		pace:    pace{changes: 10 * time.Millisecond, full: 50 * time.Millisecond},
	}
}

func open(t testing.TB, c Config) *Directory {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refreshed is a Directory that has been read once.
func refreshed(t testing.TB, c Config) *Directory {
	t.Helper()
	d := open(t, c)
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, ok := d.source.(*poller); ok {
		t.Cleanup(func() { p.disconnect(); p.pool.drain() })
	}
	return d
}

// run follows d until the end of the test.
func run(t testing.TB, d *Directory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want the cause of its end", err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
	ready, cancelReady := context.WithTimeout(ctx, 20*time.Second)
	defer cancelReady()
	if err := d.WaitReady(ready); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok, which must become true soon.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func lookup(t testing.TB, d *Directory, name string) Account {
	t.Helper()
	a, err := d.Lookup(name)
	if err != nil {
		t.Fatalf("Lookup(%q): %v", name, err)
	}
	return a
}

func has(d *Directory, name string) bool {
	_, err := d.Lookup(name)
	return err == nil
}

func check(t testing.TB, d *Directory, a Account, password string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := d.CheckPassword(ctx, a, opaque.Text(password))
	return err
}

// cause returns the Cause of a PasswordError, or what else err is.
func cause(err error) string {
	if refused := (*PasswordError)(nil); errors.As(err, &refused) {
		return refused.Cause
	}
	return fmt.Sprint("not refused: ", err)
}

// logTo returns a logger and what it has written.
func logTo(t testing.TB) (*slog.Logger, func() string) {
	t.Helper()
	var mu sync.Mutex
	var out bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	})
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})), func() string {
		mu.Lock()
		defer mu.Unlock()
		return out.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRefresh(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+person("bob")+
		"dn: cn=long,dc=example,dc=org\nobjectClass: device\nobjectClass: oathTOTPParams\ncn: long\n"+
		"oathOTPLength: 8\noathHMACAlgorithm: 1.2.840.113549.2.9\noathTOTPTimeStepPeriod: 60\n\n"+
		enrolled("carol", "oathTOTPParams: CN=Long, dc=Example,dc=org")+
		enrolled("dave", "oathTOTPParams: cn=nowhere,dc=example,dc=org")+
		enrolled("erin", "objectClass: oathTOTPParams", "oathOTPLength: 7", "oathHMACAlgorithm: 1.2.840.113549.2.7", "oathTOTPTimeStepPeriod: 30")+
		enrolled("frank", "uid: francis")+
		person("grace", "objectClass: oathTOTPToken", "oathSecret: not base32!"))
	d := open(t, configFor(s))
	if _, err := d.Lookup("alice"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Lookup before the first refresh: %v, want ErrNotReady", err)
	}
	if err := d.Healthy(); !errors.Is(err, ErrNotReady) {
		t.Errorf("Healthy before the first refresh: %v, want ErrNotReady", err)
	}
	d = refreshed(t, configFor(s))

	alice := lookup(t, d, " ＡＬＩＣＥ ")
	if len(alice.ID) != 36 || alice.Name != "alice" || alice.DN != dn("alice") || alice.Tokens[0].Algorithm != "SHA1" ||
		alice.Tokens[0].Digits != 6 || alice.Tokens[0].Period != 30*time.Second || string(alice.Tokens[0].Key.Reveal()) != "Hello!\xde\xad\xbe\xefHello!\xde\xad\xbe\xef" {
		t.Errorf("alice = %+v", alice)
	}
	carol := lookup(t, d, "carol")
	if carol.Tokens[0].Algorithm != "SHA256" || carol.Tokens[0].Digits != 8 || carol.Tokens[0].Period != time.Minute {
		t.Errorf("carol has not the parameters of the entry that hers names: %+v", carol)
	}
	if lookup(t, d, "frank").ID != lookup(t, d, "francis").ID {
		t.Error("two names of one entry have two IDs")
	}
	if _, err := d.Lookup("bob"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("bob, who has no key: %v, want ErrNoAccount", err)
	}
	for name, want := range map[string]string{"dave": "cn=nowhere", "erin": "7 digits", "grace": "not base32"} {
		var unusable *UnusableError
		a, err := d.Lookup(name)
		if !errors.As(err, &unusable) || !strings.Contains(unusable.Why, want) || len(a.Tokens) != 0 {
			t.Errorf("Lookup(%q) = %v, %v; want no key and an UnusableError with %q", name, a, err, want)
		}
	}
	n := 0
	for range d.Accounts() {
		n++
	}
	if n != 3 {
		t.Errorf("%d usable accounts, want 3", n)
	}
	if st := d.Status(); st.Kind != "ldap" || st.URL != s.URL || !st.Ready || !st.Healthy || st.Entries != 6 || st.Refreshed.IsZero() {
		t.Errorf("Status() = %+v", st)
	}
}

func TestChangesAreSeen(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+enrolled("bob")+enrolled("carol")+
		"dn: cn=p,dc=example,dc=org\nobjectClass: device\nobjectClass: oathTOTPParams\ncn: p\n"+
		"oathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPTimeStepPeriod: 30\n\n"+
		enrolled("dave", "oathTOTPParams: cn=p,dc=example,dc=org"))
	c := configFor(s)
	c.pace.full = time.Hour // only what the search for changes finds
	d := open(t, c)
	run(t, d)

	s.Add(t, enrolled("erin"))
	eventually(t, "a new entry is seen", func() bool { return has(d, "erin") })
	s.Modify(t, modification("alice", "replace: oathSecret", "oathSecret: "+key2, "-"))
	eventually(t, "a new key is seen", func() bool { return strings.HasPrefix(string(lookup(t, d, "alice").Tokens[0].Key.Reveal()), "12345") })
	s.Modify(t, modification("bob", "delete: oathSecret", "-"))
	eventually(t, "an entry without its key is gone", func() bool { return !has(d, "bob") })
	id := lookup(t, d, "carol").ID
	s.Modify(t, "dn: "+dn("carol")+"\nchangetype: modrdn\nnewrdn: uid=caroline\n")
	eventually(t, "a renamed entry is seen", func() bool { return has(d, "caroline") && !has(d, "carol") })
	if got := lookup(t, d, "caroline"); got.ID != id || got.DN != dn("caroline") {
		t.Errorf("renamed: %+v, want ID %s", got, id)
	}
	s.Modify(t, "dn: cn=p,dc=example,dc=org\nchangetype: modify\nreplace: oathOTPLength\noathOTPLength: 8\n-\n")
	eventually(t, "changed parameters are seen", func() bool { return lookup(t, d, "dave").Tokens[0].Digits == 8 })

	// Deleted and made anew under the same DN.
	id = lookup(t, d, "erin").ID
	s.Modify(t, "dn: "+dn("erin")+"\nchangetype: delete\n")
	s.Add(t, enrolled("erin"))
	eventually(t, "the new entry of a DN replaces the old", func() bool {
		a, err := d.Lookup("erin")
		return err == nil && a.ID != id
	})
}

func TestDeletionIsSeenByFullRefresh(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+enrolled("bob"))
	d := open(t, configFor(s))
	run(t, d)
	s.Modify(t, "dn: "+dn("bob")+"\nchangetype: delete\n")
	eventually(t, "a deleted entry is gone", func() bool { return !has(d, "bob") })
	if !has(d, "alice") {
		t.Error("another is gone, too")
	}
}

func TestTwoEntriesOfOneNameAreBothRefused(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+"dn: cn=other,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\n"+
		"cn: other\nsn: other\nuid: ALICE\noathSecret: "+key2+"\n\n")
	log, logged := logTo(t)
	c := configFor(s)
	c.Log = log
	d := refreshed(t, c)
	if _, err := d.Lookup("alice"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("Lookup: %v, want ErrAmbiguous", err)
	}
	if !strings.Contains(logged(), "several entries have one login name") {
		t.Errorf("not told in the log:\n%s", logged())
	}
	s.Modify(t, "dn: cn=other,ou=people,dc=example,dc=org\nchangetype: delete\n")
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, d, "alice"); got.DN != dn("alice") {
		t.Errorf("after one is gone: %+v", got)
	}
}

func TestSizeLimitDropsNothing(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSizeLimit(20))
	log, logged := logTo(t)
	c := configFor(s)
	c.Log = log
	add := func(from, to int) {
		var text strings.Builder
		for i := from; i < to; i++ {
			text.WriteString(enrolled(fmt.Sprintf("u%d", i)))
		}
		s.Add(t, text.String())
	}
	add(0, 15)
	d := refreshed(t, c)
	add(15, 40)
	err := d.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), "limits dn.exact=") {
		t.Errorf("Refresh() = %v, want a hint at limits", err)
	}
	for i := range 15 {
		lookup(t, d, fmt.Sprintf("u%d", i))
	}
	if st := d.Status(); st.Err == nil || st.Healthy || !st.Ready || st.Entries != 15 {
		t.Errorf("Status() = %+v", st)
	}
	if err := d.Healthy(); err != nil {
		t.Errorf("Healthy() = %v, but logins can be decided", err)
	}
	if strings.Count(logged(), "cannot be followed") != 1 {
		t.Errorf("want one line in the log:\n%s", logged())
	}

	never := open(t, c)
	if err := never.Refresh(t.Context()); err == nil {
		t.Error("an incomplete first refresh is no error")
	}
	if _, err := never.Lookup("u0"); !errors.Is(err, ErrNotReady) {
		t.Errorf("ready after an incomplete refresh: %v", err)
	}
}

func TestPagesAndMassDeletion(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	var text strings.Builder
	for i := range 1203 {
		text.WriteString(enrolled(fmt.Sprintf("u%d", i)))
	}
	s.Add(t, text.String())
	log, logged := logTo(t)
	c := configFor(s)
	c.Log = log
	d := refreshed(t, c)
	if n := d.Status().Entries; n != 1203 {
		t.Fatalf("%d entries, want 1203", n)
	}
	text.Reset()
	for i := range 200 {
		fmt.Fprintf(&text, "dn: %s\nchangetype: delete\n\n", dn(fmt.Sprintf("u%d", i)))
	}
	s.Modify(t, text.String())
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := d.Status().Entries; n != 1003 || !strings.Contains(logged(), "would remove many") {
		t.Errorf("%d entries, want 1003 after a second look; log:\n%s", n, logged())
	}
}

func TestNoKeyOrPasswordInLogs(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, enrolled("alice")+person("bob", "objectClass: oathTOTPToken", "oathSecret: hunter2-hunter2-hunter2"))
	log, logged := logTo(t)
	c := configFor(s)
	c.Log = log
	d := refreshed(t, c)
	_, unusable := d.Lookup("bob")
	all := fmt.Sprintf("%s %v %+v %v %v", logged(), unusable, lookup(t, d, "alice"),
		check(t, d, lookup(t, d, "alice"), "canary-pw"), d.Status())
	for _, leak := range []string{key1, "hunter2", "canary-pw", s.ServicePassword, "Hello!"} {
		if strings.Contains(all, leak) {
			t.Errorf("%q in:\n%s", leak, all)
		}
	}
}
