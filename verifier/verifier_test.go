package verifier

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// start is in the middle of a step of 30 s and of one of 60 s.
var start = time.Date(2026, 3, 1, 12, 0, 15, 0, time.UTC)

var testKey = Key{Bytes: opaque.Text("12345678901234567890"), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}

// directory is a fake: one person, and a count of password checks.
type directory struct {
	mu        sync.Mutex
	account   Account
	password  string
	cause     string
	info      PasswordInfo
	err       error
	lookupErr error
	asked     []string // passwords, in order
	anyCase   bool     // of names

	// Of CheckPasswordMeanwhile: it answers without calling meanwhile, or calls these
	// before and after.
	hasty, late   bool // late: its answer does not come soon
	during, after func()
}

func (d *directory) Account(name string) (Account, error) {
	if d.lookupErr != nil {
		return Account{}, d.lookupErr
	}
	if d.anyCase {
		name = strings.ToLower(name)
	}
	if name != d.account.Name {
		return Account{Name: strings.ToLower(name)}, &AccountError{Kind: NotEnrolled}
	}
	return d.account, nil
}

func (d *directory) CheckPassword(_ context.Context, a Account, password opaque.Bytes) (PasswordInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, string(password.Reveal()))
	if d.err != nil {
		return PasswordInfo{}, d.err
	}
	if string(password.Reveal()) != d.password {
		return PasswordInfo{}, &PasswordError{Cause: d.cause}
	}
	return d.info, nil
}

// CheckPasswordMeanwhile makes directory [Waiting]: it answers last of all.
func (d *directory) CheckPasswordMeanwhile(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() (late func())) (PasswordInfo, error) {
	if d.during != nil {
		d.during()
	}
	if !d.hasty {
		if late := meanwhile(); d.late {
			late()
		}
	}
	if d.after != nil {
		d.after()
	}
	return d.CheckPassword(ctx, a, password)
}

// memory is a fake Store with versions.
type memory struct {
	mu       sync.Mutex
	err      error
	states   map[string]State
	versions map[string]Version
	before   func() // called before each CompareAndSwap, unlocked
}

func (m *memory) Load(_ context.Context, id string) (State, Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[id], m.versions[id], m.err
}

func (m *memory) CompareAndSwap(_ context.Context, id string, old Version, next State) error {
	if m.before != nil {
		m.before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if m.versions[id] != old {
		return fmt.Errorf("memory: %w", ErrConflict)
	}
	m.states[id] = next
	m.versions[id]++
	return nil
}

// world is a Verifier with fakes around it.
type world struct {
	t   *testing.T
	dir *directory
	mem *memory
	now time.Time
	*Verifier
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: start}
	w.dir = &directory{account: Account{ID: "id-1", Name: "alice", Keys: []Key{testKey}}, password: "secret"}
	w.mem = &memory{states: map[string]State{}, versions: map[string]Version{}}
	w.Verifier = New(w.dir, w.mem, func() time.Time { return w.now })
	w.SetSole(true)
	return w
}

// code returns the code of the device's step so many steps from the server's.
func (w *world) code(offset int64) string {
	w.t.Helper()
	k := w.dir.account.Keys[0]
	c, err := k.Code(k.Step(w.now) + offset)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) login(typed string) (Decision, error) {
	return w.Verify(context.Background(), Request{User: "alice", Typed: opaque.Text(typed), Client: "vpn", Source: "192.0.2.1"})
}

func (w *world) must(typed string, want Outcome, kind Kind) Decision {
	w.t.Helper()
	d, err := w.login(typed)
	if err != nil || d.Outcome != want || d.Reason.Kind != kind {
		w.t.Fatalf("Verify = outcome %d, reason %q, %v; want outcome %d, kind %q", d.Outcome, d.Reason, err, want, kind)
	}
	return d
}

// replayed sends what was typed before from somewhere else, which is refused.
func (w *world) replayed(typed string) Decision {
	w.t.Helper()
	d, err := w.Verify(context.Background(), Request{User: "alice", Typed: opaque.Text(typed), Client: "vpn", Source: "elsewhere"})
	if err != nil || d.Outcome != Refused || d.Reason.Kind != Replayed {
		w.t.Fatalf("Verify = outcome %d, reason %q, %v; want a replay to be refused", d.Outcome, d.Reason, err)
	}
	return d
}

func TestEveryParameter(t *testing.T) {
	for _, algorithm := range []Algorithm{SHA1, SHA256, SHA512} {
		for _, digits := range []int{6, 8} {
			for _, period := range []time.Duration{30 * time.Second, 60 * time.Second} {
				w := newWorld(t)
				w.dir.account.Keys[0] = Key{Bytes: testKey.Bytes, Algorithm: algorithm, Digits: digits, Period: period}
				w.must("secret"+w.code(-4), Refused, OutOfStep)
				w.must("secret"+w.code(0), Accepted, None)
				w.must("secret"+w.code(1), Accepted, None)
				w.must("secret"+w.code(-1), Accepted, None)
				w.must("secret"+w.code(1), Refused, Replayed)
				w.now = w.now.Add(period)
				w.must("secret"+w.code(0), Refused, Replayed)
				w.must("secret"+w.code(1), Accepted, None)
			}
		}
	}
}

func TestForms(t *testing.T) {
	const code = "CODE" // replaced
	for _, tt := range []struct {
		name     string
		password string
		policy   Policy
		typed    string
		want     Outcome
		kind     Kind
		asked    string // the password checked, "-" for none
	}{
		{"code at the end", "secret", Policy{}, "secretCODE", Accepted, None, "secret"},
		{"code in front", "secret", Policy{}, "CODEsecret", Accepted, None, "secret"},
		{"separator at the end", "secret", Policy{Separator: ','}, "secret,CODE", Accepted, None, "secret"},
		{"separator in front", "secret", Policy{Separator: ','}, "CODE,secret", Accepted, None, "secret"},
		{"separator left out where one is set", "secret", Policy{Separator: ','}, "secretCODE", Accepted, None, "secret"},
		{"one separator is cut, not two", "secret,", Policy{Separator: ','}, "secret,,CODE", Accepted, None, "secret,"},
		{"nothing is cut without a separator", "secret,", Policy{}, "secret,CODE", Accepted, None, "secret,"},
		{"password that ends in digits", "hunter123456", Policy{}, "hunter123456CODE", Accepted, None, "hunter123456"},
		{"password that begins with digits", "123456hunter", Policy{}, "123456hunterCODE", Accepted, None, "123456hunter"},
		{"password of digits, code at the end", "123456", Policy{}, "123456CODE", Accepted, None, "123456"},
		{"password of digits, code in front", "123456", Policy{}, "CODE123456", Accepted, None, "123456"},
		{"password ends in digits, code in front", "hunter12", Policy{}, "CODEhunter12", Accepted, None, "hunter12"},
		{"code twice", "CODE", Policy{}, "CODECODE", Accepted, None, "CODE"},
		{"password is not UTF-8", "p\xe9ss", Policy{}, "p\xe9ssCODE", Accepted, None, "p\xe9ss"},
		{"password keeps its spaces", " secret ", Policy{}, " secret CODE", Accepted, None, " secret "},
		{"code alone where a password is wanted", "secret", Policy{}, "CODE", Refused, NoPassword, "-"},
		{"blank password", "secret", Policy{}, "  CODE", Refused, NoPassword, "-"},
		{"blank after the separator", "secret", Policy{Separator: ','}, ",CODE", Refused, NoPassword, "-"},
		{"password with a NUL", "secret", Policy{}, "sec\x00retCODE", Refused, WrongPassword, "-"},
		{"wrong password", "secret", Policy{}, "SecretCODE", Refused, WrongPassword, "Secret"},
		{"no code", "secret", Policy{}, "secret", Refused, NoCode, "-"},
		{"nothing", "secret", Policy{}, "", Refused, NoCode, "-"},
		{"five digits", "secret", Policy{}, "secret12345", Refused, NoCode, "-"},
		{"digits that are not ASCII", "secret", Policy{}, "secret１２３４５６", Refused, NoCode, "-"},
		{"code only", "secret", Policy{CodeOnly: true}, "CODE", Accepted, None, "-"},
		{"code only, in two groups", "secret", Policy{CodeOnly: true}, " CODE ", Accepted, None, "-"},
		{"code only, with a password", "secret", Policy{CodeOnly: true}, "secretCODE", Refused, NoCode, "-"},
		{"code only is never challenged", "secret", Policy{CodeOnly: true, Challenge: true}, "secret", Refused, NoCode, "-"},
		{"password alone is challenged", "secret", Policy{Challenge: true}, "secret", Challenged, NoCode, "-"},
		{"wrong password alone is challenged", "secret", Policy{Challenge: true}, "wrong", Challenged, NoCode, "-"},
		{"nothing at all is challenged", "secret", Policy{Challenge: true}, "", Challenged, NoCode, "-"},
		{"password and code need no challenge", "secret", Policy{Challenge: true}, "secretCODE", Accepted, None, "secret"},
		{"password that ends in digits is challenged", "hunter000000", Policy{Challenge: true}, "hunter000000", Challenged, WrongCode, "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			fill := strings.NewReplacer(code, w.code(0))
			w.dir.password = fill.Replace(tt.password)
			d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(fill.Replace(tt.typed)), Policy: tt.policy})
			if err != nil || d.Outcome != tt.want || d.Reason.Kind != tt.kind {
				t.Errorf("Verify(%q) = outcome %d, reason %q, %v; want outcome %d, kind %q", tt.typed, d.Outcome, d.Reason, err, tt.want, tt.kind)
			}
			got := "-"
			if len(w.dir.asked) > 0 {
				got = strings.Join(w.dir.asked, "|")
			}
			if got != fill.Replace(tt.asked) {
				t.Errorf("Verify(%q) checked password %q, want %q", tt.typed, got, tt.asked)
			}
		})
	}
}

func TestChallengeAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, kept, typed string
		want              Outcome
		kind              Kind
		binds             int
	}{
		{"right", "secret", "CODE", Accepted, None, 1},
		{"in two groups", "secret", "COD E", Accepted, None, 1},
		{"wrong code", "secret", "000000", Refused, WrongCode, 0},
		{"wrong password", "wrong", "CODE", Refused, WrongPassword, 1},
		{"password kept was empty", "", "CODE", Refused, NoPassword, 0},
		{"password again", "secret", "secretCODE", Refused, NoCode, 0},
		{"no second challenge", "secret", "secret", Refused, NoCode, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.code(0)
			typed := strings.NewReplacer("CODE", c, "COD E", c[:3]+" "+c[3:]).Replace(tt.typed)
			d, err := w.Verify(t.Context(), Request{User: "alice", Answering: true, Kept: opaque.Text(tt.kept),
				Typed: opaque.Text(typed), Policy: Policy{Challenge: true}})
			if err != nil || d.Outcome != tt.want || d.Reason.Kind != tt.kind || len(w.dir.asked) != tt.binds {
				t.Errorf("Verify = outcome %d, reason %q, %v, %d binds; want outcome %d, kind %q, %d binds",
					d.Outcome, d.Reason, err, len(w.dir.asked), tt.want, tt.kind, tt.binds)
			}
		})
	}
}

func TestWrongPasswordLeavesTheCodeUnspent(t *testing.T) {
	w := newWorld(t)
	w.must("wrong"+w.code(0), Refused, WrongPassword)
	w.must("secret"+w.code(0), Accepted, None)
}

func TestReasonsHaveTheirNumbers(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	w.now = w.now.Add(14 * time.Second)
	for _, tt := range []struct{ typed, want string }{
		{"secret" + w.code(0), "replayed (14 s ago, by vpn)"},
		{"secret" + w.code(15), "out of step: device is 7 min 30 s ahead"},
		{"secret" + w.code(-3), "out of step: device is 1 min 30 s behind"},
		{"secret", "no code of 6 digits in what was typed"},
	} {
		if d, err := w.login(tt.typed); err != nil || d.Outcome != Refused || d.Reason.String() != tt.want {
			t.Errorf("Verify = outcome %d, reason %q, %v; want refused, %q", d.Outcome, d.Reason, err, tt.want)
		}
	}
	w.dir.cause = "expired"
	w.now = w.now.Add(time.Hour)
	if d, err := w.login("wrong" + w.code(0)); err != nil || d.Reason.String() != "password wrong, code right and not spent (expired)" {
		t.Errorf("reason %q, %v", d.Reason, err)
	}
}

func TestReplayIsToldLongAfterwards(t *testing.T) {
	w := newWorld(t)
	old := w.code(0)
	w.must("secret"+old, Accepted, None)
	w.now = w.now.Add(3*time.Hour + 5*time.Minute)
	if d := w.must("secret"+old, Refused, Replayed); d.Reason.String() != "replayed (3 h 5 min ago, by vpn)" {
		t.Errorf("reason %q", d.Reason)
	}
}

// Whatever fails, nobody gets in and nobody is told no.
func TestErrorsDecideNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		brk   func(*world)
		typed string
	}{
		{"directory not ready", func(w *world) { w.dir.lookupErr = broken }, "secretCODE"},
		{"password cannot be checked", func(w *world) { w.dir.err = broken }, "secretCODE"},
		{"store does not load, right code", func(w *world) { w.mem.err = broken }, "secretCODE"},
		{"store does not load, wrong code", func(w *world) { w.mem.err = broken }, "secret000000"},
		{"store does not write, right code", func(w *world) { w.mem.before = func() { w.mem.err = broken } }, "secretCODE"},
		{"store does not write, wrong code", func(w *world) { w.mem.before = func() { w.mem.err = broken } }, "secret000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			typed := strings.ReplaceAll(tt.typed, "CODE", w.code(0))
			tt.brk(w)
			if d, err := w.login(typed); !errors.Is(err, broken) || !reflect.DeepEqual(d, Decision{}) {
				t.Errorf("Verify = %+v, %v; want no decision and the error", d, err)
			}
			w.dir.err, w.dir.lookupErr, w.mem.err, w.mem.before = nil, nil, nil, nil
			w.must("secret"+w.code(0), Accepted, None)
		})
	}
}

func TestOneOfManyGetsIn(t *testing.T) {
	w := newWorld(t)
	typed := "secret" + w.code(0)
	// Several servers: each has its own locks, the store is one.
	var servers []*Verifier
	for range 4 {
		servers = append(servers, New(w.dir, w.mem, func() time.Time { return start }))
	}
	var wg sync.WaitGroup
	outcomes := make([]Decision, 4*maxWaiting)
	for i := range outcomes {
		wg.Go(func() {
			d, err := servers[i%len(servers)].Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(typed), Source: fmt.Sprint(i)})
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = d
		})
	}
	wg.Wait()
	accepted := 0
	for _, d := range outcomes {
		if d.Outcome == Accepted {
			accepted++
		} else if d.Reason.Kind != Replayed {
			t.Errorf("loser got %q, want replayed", d.Reason)
		}
	}
	if accepted != 1 {
		t.Errorf("%d of %d accepted, want 1", accepted, len(outcomes))
	}
}

// A claim that meets a conflict looks at what the other one did.
func TestClaimLooksAgainAfterAConflict(t *testing.T) {
	w := newWorld(t)
	other := New(w.dir, w.mem, w.Verifier.now)
	typed := "secret" + w.code(0)
	w.mem.before = func() {
		w.mem.before = nil
		if d, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(typed)}); err != nil || d.Outcome != Accepted {
			t.Errorf("the other server: %+v, %v", d, err)
		}
	}
	w.must(typed, Refused, Replayed)

	w.now = w.now.Add(time.Minute)
	typed = "secret" + w.code(0)
	w.mem.before = func() {
		w.mem.before = nil
		for i := range 5 {
			if _, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%06d", i)), Source: "192.0.2.1"}); err != nil {
				t.Error(err)
			}
		}
	}
	w.must(typed, Refused, Locked)
}

func TestUnknownNamesGoTheSameWay(t *testing.T) {
	w := newWorld(t)
	known := func(typed string) Request { return Request{User: "alice", Typed: opaque.Text(typed)} }
	for _, tt := range []struct {
		name string
		edit func(*Request)
	}{
		{"plain", func(r *Request) {}},
		{"challenge", func(r *Request) { r.Policy.Challenge = true }},
		{"answer", func(r *Request) { r.Policy.Challenge = true; r.Answering = true; r.Kept = opaque.Text("x") }},
		{"code only", func(r *Request) { r.Policy.CodeOnly = true }},
	} {
		for _, typed := range []string{"", "wrong", "000000", "wrong000000", "000000wrong"} {
			a, b := known(typed), known(typed)
			tt.edit(&a)
			tt.edit(&b)
			b.User = "nobody"
			da, err := w.Verify(t.Context(), a)
			db, err2 := w.Verify(t.Context(), b)
			if err != nil || err2 != nil || da.Outcome != db.Outcome || (da.Reason.Kind == Locked) != (db.Reason.Kind == Locked) {
				t.Errorf("%s, typed %q: known %+v, %v; unknown %+v, %v", tt.name, typed, da, err, db, err2)
			}
			if db.Reason.Kind != NotEnrolled && db.Reason.Kind != Locked {
				t.Errorf("%s, typed %q: reason of the unknown is %q", tt.name, typed, db.Reason)
			}
		}
	}
	if len(w.dir.asked) != 0 {
		t.Errorf("%d password checks, want none", len(w.dir.asked))
	}
	for id, s := range w.mem.states {
		if id != testKey.ID() && (!strings.HasPrefix(id, "decoy:") || len(s.Sources) != 0 || strings.Contains(id, "nobody")) {
			t.Errorf("an unknown name reached the store: %q %+v", id, s)
		}
	}
}

func TestDecoyIsNeverAccepted(t *testing.T) {
	w := newWorld(t)
	code, err := w.decoy.Code(w.decoy.Step(w.now))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Policy{{}, {CodeOnly: true}, {Challenge: true}} {
		for _, typed := range []string{code, "secret" + code, code + "secret"} {
			d, err := w.Verify(t.Context(), Request{User: "nobody", Typed: opaque.Text(typed), Policy: p, Source: typed})
			if err != nil || d.Outcome == Accepted {
				t.Errorf("policy %+v, typed %q: %+v, %v", p, typed, d, err)
			}
		}
	}
	if len(w.dir.asked) != 0 {
		t.Errorf("password of a decoy was checked %d times", len(w.dir.asked))
	}
}

func TestUnusableEnrolmentIsRefused(t *testing.T) {
	for _, k := range []Key{
		{opaque.Text("short"), SHA1, 6, 30 * time.Second, ""},
		{testKey.Bytes, "MD5", 6, 30 * time.Second, ""},
		{testKey.Bytes, SHA1, 7, 30 * time.Second, ""},
		{testKey.Bytes, SHA1, 6, 0, ""},
		{testKey.Bytes, SHA1, 6, time.Hour, ""},
	} {
		w := newWorld(t)
		w.dir.account.Keys[0] = k
		d := w.must("secret123456", Refused, Unusable)
		if d.Reason.Cause == "" {
			t.Errorf("%v: no cause", k)
		}
	}
}

// A code belongs to its key: it is spent for whoever has that key, under any
// name and any entry.
func TestSpentForEveryEntryWithTheKey(t *testing.T) {
	w := newWorld(t)
	code := w.code(0)
	w.must("secret"+code, Accepted, None)
	for _, edit := range []func(*Account){
		func(a *Account) { a.ID = "entry made anew" },
		func(a *Account) { a.Keys[0].Digits = 6; a.Keys[0].Bytes = opaque.Text(string(testKey.Bytes.Reveal())) },
	} {
		edit(&w.dir.account)
		w.replayed("secret" + code)
	}
	w.dir.account.Name = "alice-admin"
	d, err := w.Verify(t.Context(), Request{User: "alice-admin", Typed: opaque.Text("secret" + code)})
	if err != nil || d.Reason.Kind != Replayed {
		t.Errorf("a second account with the key: %+v, %v", d, err)
	}
}

// Who asks whether somebody is enrolled is told, as long as they like, and
// somebody who is does not pay for it.
func TestNotEnrolledIsKnown(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		d, err := w.Verify(t.Context(), Request{User: "nobody", Typed: opaque.Text(fmt.Sprintf("x%06d", i)), Source: "s"})
		if err != nil || d.Outcome != Refused || !d.NotEnrolled {
			t.Fatalf("try %d: %+v, %v", i, d, err)
		}
	}
	for range 20 {
		if d := w.must("", Refused, NoCode); d.NotEnrolled {
			t.Fatalf("%+v", d)
		}
	}
	if n := w.state().Failures; n != 0 {
		t.Errorf("%d failures for having typed nothing", n)
	}
}
