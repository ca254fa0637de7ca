package server

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	layeh "layeh.com/radius"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/replyattr"
	"lockstep/internal/testenv"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

// withGroups is people with groups among them: alice in one and, by that, in
// two, bob in contractors, and carol at the end of a chain of twelve.
func withGroups(t *testing.T, path string) map[string]verifier.Key {
	t.Helper()
	keys := people(t, path, "alice", "bob", "carol", "dave")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	group := func(name, member string) {
		fmt.Fprintf(f, "dn: cn=%s,dc=x\ncn: %s\nmember: %s,dc=x\n\n", name, name, member)
	}
	group("one", "uid=alice")
	group("two", "cn=one")
	group("contractors", "uid=bob")
	group("chain0", "uid=carol")
	for i := range 12 {
		group(fmt.Sprint("chain", i+1), fmt.Sprint("cn=chain", i))
	}
	return keys
}

func TestTheFirstRuleDecides(t *testing.T) {
	dir := t.TempDir()
	withGroups(t, filepath.Join(dir, "x.ldif"))
	s := begin(t, testConfig(dir, "x.ldif"))
	list := []config.Rule{
		{Name: "other client", Clients: []string{"other"}, Deny: true},
		{Name: "contractors", Groups: []string{"CN=Contractors, dc=x"}, Deny: true},
		{Name: "direct", Groups: []string{"cn=two,dc=x"}},
		{Name: "nested", Groups: []string{"cn=two,dc=x"}, Nested: true, Clients: []string{"other", "test"}},
		{Name: "deep", Groups: []string{"cn=chain12,dc=x"}, Nested: true, Deny: true},
		{Name: "rest", Clients: []string{"closed"}, Deny: true},
	}
	const failed = "could not tell"
	for _, tt := range []struct{ client, user, rule, outcome string }{
		{"test", "alice", "nested", ""},
		{"test", "bob", "contractors", "not allowed (rule contractors)"},
		{"test", "dave", "", ""},
		{"closed", "dave", "rest", "not allowed (rule rest)"},
		{"closed", "alice", "rest", "not allowed (rule rest)"},
		{"closed", "bob", "contractors", "not allowed (rule contractors)"},
		{"other", "alice", "other client", "not allowed (rule other client)"},
		// A rule that could not be asked about is not passed over.
		{"test", "carol", "", failed},
		{"closed", "carol", "", failed},
	} {
		a, err := s.dir.Account(tt.user)
		if err != nil {
			t.Fatal(err)
		}
		var chosen *config.Rule
		err = rulesAt(tt.client, list, s.dir).authorize(&chosen)(t.Context(), a)
		rule, outcome := "", ""
		if chosen != nil {
			rule = chosen.Name
		}
		if err != nil {
			outcome = err.Error()
		}
		if denied := errors.As(err, new(*verifier.DeniedError)); err != nil && !denied {
			outcome = failed
		}
		if rule != tt.rule || outcome != tt.outcome {
			t.Errorf("%s at %s: rule %q, %q (%v); want %q, %q", tt.user, tt.client, rule, outcome, err, tt.rule, tt.outcome)
		}
	}
	if rulesAt("test", list[:1], s.dir).authorize(nil) != nil {
		t.Error("there is something to ask where no rule can match")
	}
	gone := verifier.Account{ID: "other", Name: "alice"}
	if err := rulesAt("test", list, s.dir).authorize(new(*config.Rule))(t.Context(), gone); err == nil || errors.As(err, new(*verifier.DeniedError)) {
		t.Errorf("an account that is somebody else's by now: %v", err)
	}
}

func TestReplyOfARule(t *testing.T) {
	if got := reply(nil); got != nil {
		t.Errorf("no rule gives %v", got)
	}
	got := reply(&config.Rule{Reply: []replyattr.Attribute{{Type: 25, Value: []byte("b")}, {Type: 25, Value: []byte("a")}}})
	if len(got) != 2 || got[0].Type != 25 || string(got[0].Value) != "b" || string(got[1].Value) != "a" {
		t.Errorf("got %v", got)
	}
}

// A reload takes new rules.
func TestReloadTakesRules(t *testing.T) {
	dir := t.TempDir()
	keys := withGroups(t, filepath.Join(dir, "x.ldif"))
	cfg := testConfig(dir, "x.ldif")
	s := begin(t, cfg)
	next := testConfig(dir, "x.ldif")
	next.Radius.Rules = []config.Rule{{Name: "all", Deny: true}}
	was := s.dir.current.Load()
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the reload", func() bool { return !(s.dir.current.Load() == was || len(*s.rules.Load()) == 0) })
	if got := login(t, s, "alice", keys["alice"]); got != layeh.CodeAccessReject {
		t.Errorf("after the reload: %v", got)
	}
	now := s.dir.current.Load()
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the reload", func() bool { return !(s.dir.current.Load() == now || len(*s.rules.Load()) > 0) })
	if got := login(t, s, "alice", keys["alice"]); got != layeh.CodeAccessAccept {
		t.Errorf("the code was spent by a refusal: %v", got)
	}
}

func TestDoctorLooksAtTheGroupsOfRules(t *testing.T) {
	dir := t.TempDir()
	withGroups(t, filepath.Join(dir, "x.ldif"))
	cfg := testConfig(dir, "x.ldif")
	s := begin(t, cfg)
	var got report
	if got.rules(t.Context(), nil, s.dir.current.Load()); got != nil {
		t.Errorf("without rules: %+v", got)
	}
	got.rules(t.Context(), []config.Rule{
		{Name: "fine", Groups: []string{"cn=one,dc=x", "cn=two,dc=x"}},
		{Name: "typo", Groups: []string{"cn=one,dc=x", "cn=tow,dc=x"}},
		{Name: "person", Groups: []string{"uid=alice,dc=x"}},
		{Name: "again", Groups: []string{"cn=tow,dc=x"}},
	}, s.dir.current.Load())
	if len(got) != 3 || got[0].Severity != admin.Error || got[0].Subject != "rule typo" || !strings.Contains(got[0].Text, `"cn=tow,dc=x" is not there`) ||
		got[1].Severity != admin.Error || !strings.Contains(got[1].Text, "lists no members") || got[2].Severity != admin.OK || got[2].Text != "4, about 4 groups" {
		t.Errorf("found %+v", got)
	}
}

// A login is under way with the old rules when a reload brings a directory in
// which the group has another name. The old rule then refuses nobody.
func TestReloadBetweenCodeAndRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, group string) *config.Config {
		path := filepath.Join(dir, name)
		people(t, path, "bob")
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, "dn: cn=%s,dc=x\ncn: %s\nmember: uid=bob,dc=x\n\n", group, group)
		return testConfig(dir, name)
	}
	s := begin(t, write("old.ldif", "contractors"))
	next := write("new.ldif", "externals")
	a, err := s.dir.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	var chosen *config.Rule
	ask := rulesAt("test", []config.Rule{{Name: "contractors", Groups: []string{"cn=contractors,dc=x"}, Deny: true}}, s.dir).authorize(&chosen)
	if err := ask(t.Context(), a); err == nil {
		t.Fatal("before the reload: let in")
	}
	d, err := ldapsync.Open(directoryConfig(next.Directory, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.dir.current.Store(d) // as directory.use does, before the new rules are set
	if err := ask(t.Context(), a); err == nil {
		t.Error("bob, whom both configurations refuse, is let in")
	}
}

// A group that keeps people out and is not there keeps nobody out: it may have been
// renamed.
func TestARefusingGroupMustBeThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "people.ldif")
	people(t, path, "bob")
	s := begin(t, testConfig(dir, "people.ldif"))
	a, err := s.dir.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	for _, deny := range []bool{true, false} {
		var chosen *config.Rule
		ask := rulesAt("test", []config.Rule{{Name: "x", Groups: []string{"cn=renamed,dc=x"}, Deny: deny}}, s.dir).authorize(&chosen)
		err := ask(t.Context(), a)
		if no := (*verifier.DeniedError)(nil); (err != nil) != deny || errors.As(err, &no) {
			t.Errorf("deny %v: %v", deny, err)
		}
	}
}
