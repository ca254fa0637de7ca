package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/admin"
	"lockstep/internal/opaque"
	"lockstep/radiusd"
	"lockstep/verifier"
)

// An alarm is logged when it begins and when it ends, and told for a day more.
func TestAlarmsAreFollowed(t *testing.T) {
	var log bytes.Buffer
	a := &alarms{log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	alarm := verifier.Alarm{Moved: 90 * time.Second, Users: 12, Of: 15, Since: now}
	lines := func(want int) {
		t.Helper()
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Fatalf("%d lines, want %d:\n%s", got, want, log.String())
		}
	}
	a.look(verifier.Alarm{}, false, now)
	finding := func() admin.Finding {
		var r report
		r.moved(a)
		return r[0]
	}
	lines(0)
	if f := finding(); f.Severity != admin.OK {
		t.Errorf("before there was one: %+v", f)
	}
	for range 3 {
		a.look(alarm, true, now)
	}
	lines(1)
	if f := finding(); f.Severity != admin.Error || !strings.Contains(f.Text, "went back by 1 min 30 s") || f.Advice == "" {
		t.Errorf("while it is on: %+v", f)
	}
	for range 3 {
		a.look(verifier.Alarm{}, false, now)
	}
	lines(2)
	if f := finding(); f.Severity != admin.OK || !strings.Contains(f.Text, "12 of the 15") || !strings.Contains(f.Text, "over since") {
		t.Errorf("when it is over: %+v", f)
	}
	a.look(alarm, true, now)
	if f := finding(); f.Severity != admin.Error {
		t.Errorf("when it is on again: %+v", f)
	}
	lines(3)
	a.look(verifier.Alarm{}, false, now.Add(-25*time.Hour))
	if f := finding(); f.Severity != admin.OK || strings.Contains(f.Text, "12 of the 15") {
		t.Errorf("a day later: %+v", f)
	}
}

// fakes are a directory of one person and a store in memory.
type fakes struct {
	mu      sync.Mutex
	key     verifier.Key
	info    verifier.PasswordInfo
	state   verifier.State
	version verifier.Version
}

func (f *fakes) Account(name string) (verifier.Account, error) {
	return verifier.Account{ID: name, Name: name, Keys: []verifier.Key{f.key}}, nil
}

func (f *fakes) CheckPassword(_ context.Context, _ verifier.Account, password opaque.Bytes) (verifier.PasswordInfo, error) {
	if string(password.Reveal()) != "secret" {
		return verifier.PasswordInfo{}, &verifier.PasswordError{}
	}
	return f.info, nil
}

func (f *fakes) Load(context.Context, string) (verifier.State, verifier.Version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.version, nil
}

func (f *fakes) CompareAndSwap(_ context.Context, _ string, _ verifier.Version, next verifier.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.version = next, f.version+1
	return nil
}

// What a resynchronization by challenge looks like to radiusd, from the text of
// the question to the reason in the log; and that the question is tied to who
// was asked.
func TestNextCodeIsTranslated(t *testing.T) {
	f := &fakes{key: verifier.Key{Bytes: opaque.Text("12345678901234567890"), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}}
	now := time.Now()
	a := authenticator{verifier: verifier.New(f, f, func() time.Time { return now }), policy: verifier.Policy{Challenge: true}}
	typed := func(before string) opaque.Bytes {
		code, err := f.key.Code(f.key.Step(now) + 18)
		if err != nil {
			t.Fatal(err)
		}
		return opaque.Text(before + code)
	}
	ask := func(r radiusd.Request) radiusd.Answer {
		t.Helper()
		r.UserName, r.Client = "alice", &radiusd.Client{Name: "vpn"}
		answer, err := a.Authenticate(t.Context(), &r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	first := ask(radiusd.Request{Typed: typed("secret")})
	if first.Outcome != radiusd.Challenge || first.Message != nextCode || first.Wait != 2*time.Minute {
		t.Fatalf("%+v", first)
	}
	if plain := ask(radiusd.Request{Typed: opaque.Text("secret")}); plain.Message != "" || plain.Wait != 0 {
		t.Errorf("asked for a code: %+v", plain)
	}
	now = now.Add(30 * time.Second)
	last := ask(radiusd.Request{Typed: typed(""), Challenged: true, Kept: first.Keep})
	if last.Outcome != radiusd.Accept || !strings.HasPrefix(last.Reason, "resynchronized: device is 8 min ") && !strings.HasPrefix(last.Reason, "resynchronized: device is 9 min ") {
		t.Errorf("%+v", last)
	}
}

// Nothing is learned while the clock is not trusted, and the server asks.
func TestServerAsksItsClock(t *testing.T) {
	for _, trust := range []bool{false, true} {
		dir := t.TempDir()
		keys := people(t, filepath.Join(dir, "p.ldif"), "alice")
		cfg := testConfig(dir, "p.ldif")
		cfg.Verifier.TrustClock = trust
		s := begin(t, cfg)
		login(t, s, "alice", keys["alice"])
		st, err := s.verifier.Standing(t.Context(), verifier.Account{Keys: []verifier.Key{keys["alice"]}})
		if err != nil || len(st.Tokens[0].Recent) != 1 || st.Tokens[0].Clock.At.IsZero() == s.clock.Trusted() {
			t.Errorf("trust %v: trusted %v, learned %+v, %v", trust, s.clock.Trusted(), st.Tokens[0].Clock, err)
		}
		if trust && !s.clock.Trusted() {
			t.Error("trust_clock does not reach the clock")
		}
	}
}

func TestTrustClockNeedsARestart(t *testing.T) {
	a, b := testConfig("/a", "x"), testConfig("/a", "x")
	b.Verifier.TrustClock = true
	if got := needRestart(a, b); len(got) != 1 || got[0] != "verifier.trust_clock" {
		t.Errorf("needRestart = %q", got)
	}
}

// What the doctor calls bad, and an alarm among it.
// Nobody can log in then, however well all else is.
func TestDoctorFindsThatNobodyIsEnrolled(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.ldif"), []byte("dn: uid=alice,dc=x\nuid: alice\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	s := begin(t, testConfig(dir, "p.ldif"))
	var r report
	r.directory(s.dir.current.Load(), time.Now())
	if f := r[0]; f.Severity != admin.Error || !strings.Contains(f.Text, "nobody is enrolled") || f.Advice == "" {
		t.Errorf("%+v", f)
	}
}

func TestDoctorFindsWhatIsBad(t *testing.T) {
	dir := t.TempDir()
	people(t, filepath.Join(dir, "p.ldif"), "alice")
	cfg := testConfig(dir, "p.ldif")
	cfg.Radius.Clients[0].RequireMessageAuthenticator = false
	s := begin(t, cfg)
	found := func(id string) *admin.Finding {
		for _, f := range s.doctor(t.Context()) {
			if f.ID == id && f.Severity != admin.OK {
				return &f
			}
		}
		return nil
	}
	if f := found("client.message_authenticator"); f == nil || f.Severity != admin.Warning || !strings.Contains(f.Text, "CVE-2024-3596") || f.Advice == "" {
		t.Errorf("client: %+v", f)
	}
	if f := found("store.writable"); f != nil && f.Severity == admin.Error {
		t.Errorf("store: %+v", f)
	}
	if f := found("clock.moved"); f != nil {
		t.Errorf("clock: %+v", f)
	}
	s.alarms.look(verifier.Alarm{Moved: time.Minute, Users: 5, Of: 5}, true, time.Now())
	if f := found("clock.moved"); f == nil || f.Severity != admin.Error || !strings.Contains(f.Text, "5 of the 5 users") {
		t.Error("the alarm is not told")
	}
	broken := errors.New("disk is full") // until the next look at the disk, within a second
	s.storeErr.Store(&broken)
	var r report
	r.store(t.Context(), s, time.Now())
	if f := r[0]; f.ID != "store.writable" || f.Severity != admin.Error || f.Text != "disk is full" {
		t.Errorf("store: %+v", f)
	}
}

// What Explain says, by kind of reason.
func TestExplanations(t *testing.T) {
	blue := verifier.Key{Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Label: "blue"}
	other := verifier.Key{Algorithm: "SHA256", Digits: 8, Period: time.Minute}
	for _, tt := range []struct {
		name                 string
		e                    verifier.Explanation
		verdict, token, text string
	}{
		{"other parameters", verifier.Explanation{Reason: verifier.Reason{Kind: verifier.WrongCode}, Of: 1, Key: blue, Other: other},
			admin.VerdictOther, "", "a code of this key with SHA256, 8 digits, 60 s; the account has SHA1, 6 digits, 30 s"},
		{"other parameters of one of two", verifier.Explanation{Reason: verifier.Reason{Kind: verifier.NoCode}, Of: 2, Key: blue, Other: other},
			admin.VerdictOther, "blue", "token blue: a code of this key with SHA256, 8 digits, 60 s; the account has SHA1, 6 digits, 30 s"},
		{"right", verifier.Explanation{Of: 2, Key: blue}, admin.VerdictCurrent, "blue",
			"token blue: a right code, not used yet: with the password it lets alice in"},
		{"right, of the only token", verifier.Explanation{Of: 1, Key: blue}, admin.VerdictCurrent, "",
			"a right code, not used yet: with the password it lets alice in"},
		{"of neither", verifier.Explanation{Reason: verifier.Reason{Kind: verifier.WrongCode}, Of: 2},
			admin.VerdictWrong, "", "no code of any of the 2 keys within a day of this server's clock"},
		{"no code of either length", verifier.Explanation{Reason: verifier.Reason{Kind: verifier.NoCode}, Of: 2},
			admin.VerdictNoCode, "", "not a code: alice's have 6 or 8 digits"},
		{"checked by the directory", verifier.Explanation{Reason: verifier.Reason{Kind: verifier.Unusable, Cause: "ask there"}, Locked: true},
			admin.VerdictElsewhere, "", "ask there; but the account is locked"},
	} {
		if x := explanation("alice", tt.e); x.Verdict != tt.verdict || x.Token != tt.token || x.Text != tt.text {
			t.Errorf("%s: %+v", tt.name, x)
		}
	}
}

// Codes of one resynchronization are one login; the longest wait counts.
func TestLoginsAreDescribed(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var u admin.User
	st := verifier.Standing{
		Waiting: []verifier.Wait{{Source: "a", Until: at.Add(time.Second)}, {Source: "b", Until: at.Add(time.Minute)}},
		Tokens: []verifier.TokenStanding{{
			Recent: []verifier.Spent{{Step: 3, At: at, By: "vpn"}, {Step: 2, At: at, By: "vpn"}, {Step: 1, At: at.Add(-time.Hour), By: "ssh"}},
			Offset: verifier.Offsets{Low: -30 * time.Second, High: 30 * time.Second},
		}},
	}
	describeWaits(&u, st)
	describeTokens(&u, st)
	if len(u.Logins) != 2 || u.LastClient != "vpn" || !u.LockedUntil.Equal(at.Add(time.Minute)) || len(u.Waiting) != 2 {
		t.Errorf("%+v", u)
	}
	if u.Clock != nil || u.OutOfStep != nil {
		t.Errorf("nothing is known: %+v, %+v", u.Clock, u.OutOfStep)
	}
	k := verifier.Key{Period: 30 * time.Second}
	token := describeToken(verifier.TokenStanding{
		Key:    k,
		Clock:  verifier.Clock{At: at, Rate: verifier.Rates{Low: -1000, High: 3000}},
		Offset: verifier.Offsets{Low: 10 * time.Second, High: 14 * time.Second},
		Far:    verifier.Far{At: at, Steps: []int64{k.Step(at) + 120}},
	})
	if c := token.Clock; math.Abs(c.Offset-11.333) > 0.001 || math.Abs(c.OffsetError-2.667) > 0.001 || c.Drift != 0.0864 || math.Abs(c.DriftError-0.1728) > 1e-9 || !c.Observed.Equal(at) {
		t.Errorf("%+v", c)
	}
	if o := token.OutOfStep; len(o.Offsets) != 1 || o.Offsets[0] != 3600 || !o.At.Equal(at) {
		t.Errorf("%+v", o)
	}
}

// What the helpdesk is told of each kind of code, by a running server.
func TestHelpdeskIsTold(t *testing.T) {
	dir := t.TempDir()
	key := people(t, filepath.Join(dir, "p.ldif"), "alice")["alice"]
	cfg := testConfig(dir, "p.ldif")
	cfg.Verifier.MaxFailures, cfg.Verifier.ForwardOnly = 5, true
	s := begin(t, cfg)
	u := s.users()
	now := key.Step(time.Now())
	at := func(offset int64) opaque.Bytes {
		code, err := key.Code(now + offset)
		if err != nil {
			t.Fatal(err)
		}
		return opaque.Text(code)
	}
	told := func(code opaque.Bytes, verdict string, accepted bool, text string) {
		t.Helper()
		x, err := u.Explain(t.Context(), "alice", code)
		if err != nil || x.User != "alice" || x.Verdict != verdict || x.Accepted != accepted || !strings.Contains(x.Text, text) {
			t.Errorf("%+v, %v; want %q, %v, %q", x, err, verdict, accepted, text)
		}
	}
	told(at(0), admin.VerdictCurrent, true, "a right code")
	told(at(1), admin.VerdictCurrent, true, "of a clock that is 30 s ahead, as this device's may be")
	told(at(40), admin.VerdictOut, false, "a clock that is 20 min 0 s ahead")
	told(opaque.Text("12345"), admin.VerdictNoCode, false, "alice's have 6 digits")
	in := verifier.Request{User: "alice", Typed: opaque.Text("alice" + string(at(0).Reveal())), Client: "vpn"}
	if d, err := s.verifier.Verify(t.Context(), in); err != nil || d.Outcome != verifier.Accepted {
		t.Fatalf("%+v, %v", d, err)
	}
	told(at(0), admin.VerdictSpent, false, "used already, 0 s ago by")
	told(at(-40), admin.VerdictEarly, false, "forward_only")
	if r, err := u.Resync(t.Context(), "alice", at(100), at(103)); err != nil || r.Done || r.Reason == "" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := u.Resync(t.Context(), "alice", at(100), at(101)); err != nil || !r.Done || r.Offset < 2700 || r.Offset > 3200 {
		t.Errorf("%+v, %v", r, err)
	}
	for i := range 5 {
		r := verifier.Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%06d", i)), Source: fmt.Sprint(i)}
		if _, err := s.verifier.Verify(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	told(at(102), admin.VerdictCurrent, false, "but the account is locked")
	if user, err := u.Show(t.Context(), "alice"); err != nil || !user.Locked || user.Failures != 5 {
		t.Errorf("%+v, %v", user, err)
	}
}
