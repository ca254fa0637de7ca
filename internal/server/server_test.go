package server

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

const testSecret = "a shared secret for these tests"

// people writes an LDIF file of those names, each with the name as the password,
// and returns their keys.
func people(t *testing.T, path string, names ...string) map[string]verifier.Key {
	t.Helper()
	keys := map[string]verifier.Key{}
	var text strings.Builder
	for _, name := range names {
		b := make([]byte, 20)
		rand.Read(b)
		keys[name] = verifier.Key{Bytes: opaque.Of(b), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}
		salted := sha1.Sum([]byte(name + "salt"))
		hash := base64.StdEncoding.EncodeToString(append(salted[:], "salt"...))
		fmt.Fprintf(&text, "dn: uid=%s,dc=x\nuid: %s\nuserPassword: {SSHA}%s\noathSecret: %s\n\n",
			name, name, hash, base32.StdEncoding.EncodeToString(b))
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return keys
}

func testConfig(dir, ldif string) *config.Config {
	return &config.Config{
		Directory: config.Directory{URLs: []string{"ldif:" + filepath.Join(dir, ldif)}, LoginAttribute: "uid", Schema: "oath",
			KeyAttribute: "oathSecret", KeyEncoding: "base32", Timeout: time.Second, Pool: 2},
		Store:    config.Store{Engine: "bolt", Path: filepath.Join(dir, "state.db")},
		Verifier: config.Verifier{MaxFailures: 100},
		Admin:    config.Admin{Socket: filepath.Join(dir, "admin.sock")},
		Radius: config.Radius{
			Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
			Clients: []config.Client{{Name: "test", Address: netip.MustParsePrefix("127.0.0.0/8"), Secret: opaque.Text(testSecret),
				RequireMessageAuthenticator: true, Factors: "password+code", Challenge: true}},
		},
	}
}

func begin(t *testing.T, cfg *config.Config) *Server {
	t.Helper()
	s, err := Start(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// login returns the code of the reply to password and code in one.
func login(t *testing.T, s *Server, name string, key verifier.Key) layeh.Code {
	t.Helper()
	code, err := key.Code(key.Step(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	c := &radius.Client{Server: s.Addrs()[0].String(), Secret: opaque.Text(testSecret), RequireMessageAuthenticator: true}
	reply, err := c.Exchange(t.Context(), radius.AccessRequest{UserName: name, Password: opaque.Text(name + code)})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Code
}

// Of several reloads the last one counts, also when the directory of an earlier
// one can be read only after that.
func TestTheLastReloadCounts(t *testing.T) {
	dir := t.TempDir()
	keys := people(t, filepath.Join(dir, "first.ldif"), "alice")
	s := begin(t, testConfig(dir, "first.ldif"))

	absent, second := testConfig(dir, "absent.ldif"), testConfig(dir, "second.ldif")
	if err := s.Reload(absent); err != nil {
		t.Fatal(err)
	}
	if got := login(t, s, "alice", keys["alice"]); got != layeh.CodeAccessAccept {
		t.Errorf("while the new directory cannot be read: %v", got)
	}
	bobs := people(t, filepath.Join(dir, "second.ldif"), "bob")
	old := s.dir.current.Load()
	if err := s.Reload(second); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the second directory", func() bool { return s.dir.current.Load() != old })
	now := s.dir.current.Load()
	evil := people(t, filepath.Join(dir, "absent.ldif"), "mallory")
	if got := login(t, s, "bob", bobs["bob"]); got != layeh.CodeAccessAccept {
		t.Errorf("bob of the directory in use: %v", got)
	}
	// A file is looked at every half second.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	<-ctx.Done()
	if s.dir.current.Load() != now || login(t, s, "mallory", evil["mallory"]) == layeh.CodeAccessAccept {
		t.Error("a directory that was given up came in use")
	}
}

// A reload takes effect all at once, when its directory has been read.
func TestReloadChangesAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	keys := people(t, filepath.Join(dir, "first.ldif"), "alice")
	s := begin(t, testConfig(dir, "first.ldif"))
	next := testConfig(dir, "second.ldif")
	next.Radius.Clients[0].Secret = opaque.Text("another secret, for the second configuration")
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	if got := login(t, s, "alice", keys["alice"]); got != layeh.CodeAccessAccept {
		t.Errorf("with the old secret, before the new directory is there: %v", got)
	}
	broken := testConfig(dir, "first.ldif")
	broken.Directory.Schema = "none"
	if err := s.Reload(broken); err == nil {
		t.Error("a configuration that cannot be used was taken")
	}
	people(t, filepath.Join(dir, "second.ldif"), "bob")
	c := &radius.Client{Server: s.Addrs()[0].String(), Secret: next.Radius.Clients[0].Secret, Timeout: 100 * time.Millisecond, Tries: 1}
	testenv.Eventually(t, "the new secret", func() bool { return c.Status(t.Context()) == nil })
}

// Nothing is left of a server that could not start.
func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	people(t, filepath.Join(dir, "people.ldif"), "alice")
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := runtime.NumGoroutine()
	for name, edit := range map[string]func(*config.Config){
		"port taken": func(c *config.Config) { c.Radius.Listen[0] = taken.LocalAddr().(*net.UDPAddr).AddrPort() },
		"accounting port": func(c *config.Config) {
			c.Radius.Accounting = []netip.AddrPort{taken.LocalAddr().(*net.UDPAddr).AddrPort()}
		},
		"no socket":    func(c *config.Config) { c.Admin.Group = "no-such-group-here" },
		"no directory": func(c *config.Config) { c.Directory.Schema = "none" },
		"no store":     func(c *config.Config) { c.Store.Path = dir },
	} {
		cfg := testConfig(dir, "people.ldif")
		edit(cfg)
		if s, err := Start(cfg, slog.New(slog.DiscardHandler)); err == nil {
			s.Shutdown(t.Context())
			t.Errorf("%s: started", name)
		}
	}
	testenv.Eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	begin(t, testConfig(dir, "people.ldif")) // store and socket are free again
}

func TestShutdownEndsEverything(t *testing.T) {
	dir := t.TempDir()
	people(t, filepath.Join(dir, "people.ldif"), "alice")
	before := runtime.NumGoroutine()
	s := begin(t, testConfig(dir, "people.ldif"))
	if err := s.Reload(testConfig(dir, "absent.ldif")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
	wg.Wait()
	if err := s.Reload(testConfig(dir, "people.ldif")); err == nil {
		t.Error("Reload after Shutdown: no error")
	}
	testenv.Eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// A user list that cannot be told is no empty list.
func TestListNeedsADirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(testConfig(dir, "people.ldif"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	c := admin.NewClient(filepath.Join(dir, "admin.sock"))
	if list, err := c.List(t.Context()); err == nil {
		t.Errorf("List = %v, want an error", list)
	}
	nobody := "dn: dc=x\nobjectClass: domain\ndc: x\n"
	if err := os.WriteFile(filepath.Join(dir, "people.ldif"), []byte(nobody), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if list, err := c.List(t.Context()); err != nil || list == nil || len(list) != 0 {
		t.Errorf("List = %#v, %v; want an empty list", list, err)
	}
}

func TestWhatAChallengeKeeps(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	for _, typed := range []string{"", "secret", strings.Repeat("x", 128)} {
		for _, asked := range []time.Time{at, {}} {
			gotAsked, gotTyped, err := unpack(pack(asked, "home", opaque.Text(typed)), "home")
			if err != nil || !gotAsked.Equal(asked) || string(gotTyped.Reveal()) != typed {
				t.Errorf("unpack(pack(%v, %q)) = %v, %q, %v", asked, typed, gotAsked, gotTyped.Reveal(), err)
			}
		}
	}
	if asked, typed, err := unpack(pack(at, "home", opaque.Text("secret")), "elsewhere"); !asked.IsZero() || typed.Len() != 6 || err != nil {
		t.Errorf("answered from elsewhere: %v, %v", asked, err)
	}
	if _, _, err := unpack(opaque.Text("short"), ""); err == nil {
		t.Error("unpack of too little: no error")
	}
}

func TestNeedRestart(t *testing.T) {
	a, b := testConfig("/a", "x"), testConfig("/b", "x")
	b.Radius.Accounting = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	if got := needRestart(a, b); !slices.Equal(got, []string{"admin", "radius.accounting", "store"}) {
		t.Errorf("needRestart = %q", got)
	}
	if got := needRestart(a, a); got != nil {
		t.Errorf("needRestart of the same = %q", got)
	}
}

// Nor does one that had been read just before it was given up.
func TestGivenUpAtTheLastMoment(t *testing.T) {
	dir := t.TempDir()
	people(t, filepath.Join(dir, "first.ldif"), "alice")
	s := begin(t, testConfig(dir, "first.ldif"))
	next, err := OpenDirectory(testConfig(dir, "first.ldif"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.dir.use(ctx, next, func() {}, func() { t.Error("its configuration came in use") })
	if s.dir.current.Load() == next {
		t.Error("it came in use")
	}
}
