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

// pair is two servers over one store, the second with a clock of its own, and a
// third.
type pair struct {
	*world
	other *Verifier
	third *Verifier
	ahead time.Duration // of the first server's clock is the other's
}

func newPair(w *world) *pair {
	p := &pair{world: w}
	p.SetServer("one")
	p.other = New(w.dir, w.mem, func() time.Time { return w.now.Add(p.ahead) })
	p.other.SetServer("two")
	p.third = New(w.dir, w.mem, func() time.Time { return w.now })
	p.third.SetServer("three")
	return p
}

func (p *pair) servers() map[string]*Verifier {
	return map[string]*Verifier{"the other server": p.other, "a third": p.third}
}

func alices(typed string) Request {
	return Request{User: "alice", Typed: opaque.Text(typed), Client: "vpn", Source: "192.0.2.1"}
}

func TestLoginThatComesAgain(t *testing.T) {
	const after = 2100 * time.Millisecond
	for _, tt := range []struct {
		name  string
		edit  func(w *world, r *Request)
		after time.Duration
		want  Kind
	}{
		{"at once", nil, 0, None},
		{"a little later", nil, after, None},
		{"at the last moment", nil, 10 * time.Second, None},
		{"too late", nil, 10*time.Second + time.Millisecond, Replayed},
		{"after the clock was put back a little", nil, -10 * time.Second, None},
		{"after the clock was put back by more", nil, -10*time.Second - time.Millisecond, Replayed},
		{"with the name in another spelling", func(w *world, r *Request) { r.User = "Alice" }, after, None},
		{"from another source", func(_ *world, r *Request) { r.Source = "192.0.2.2" }, after, Replayed},
		{"by another client", func(_ *world, r *Request) { r.Client = "ssh" }, after, Replayed},
		{"from nowhere", func(_ *world, r *Request) { r.Source = "" }, after, Replayed},
		{"with client and source run together", func(_ *world, r *Request) { r.Client, r.Source = "vpn1", "92.0.2.1" }, after, Replayed},
		{"with the code in front", func(_ *world, r *Request) {
			typed := string(r.Typed.Reveal())
			r.Typed = opaque.Text(strings.TrimPrefix(typed, "secret") + "secret")
		}, after, Replayed},
		{"with another password", func(_ *world, r *Request) {
			r.Typed = opaque.Text("Secret" + strings.TrimPrefix(string(r.Typed.Reveal()), "secret"))
		}, after, Replayed},
		{"as the answer to a challenge", func(_ *world, r *Request) {
			typed := strings.TrimPrefix(string(r.Typed.Reveal()), "secret")
			r.Answering, r.Kept, r.Typed = true, opaque.Text("secret"), opaque.Text(typed)
		}, after, Replayed},
		{"of an account that is no more", func(w *world, _ *Request) { w.dir.account.Name = "nobody" }, after, NotEnrolled},
		{"of an account that is disabled", func(w *world, _ *Request) { w.dir.lookupErr = &AccountError{Kind: Unusable, Cause: "disabled"} }, after, Unusable},
		{"of another account with the key", func(w *world, r *Request) { w.dir.account.Name, r.User = "bob", "bob" }, after, Replayed},
		{"with a password that was changed", func(w *world, _ *Request) { w.dir.password = "changed" }, after, WrongPassword},
		{"of somebody who may not log in any more", func(_ *world, r *Request) {
			r.Authorize = func(context.Context, Account) error { return &DeniedError{Cause: "not in the group vpn"} }
		}, after, Denied},
		{"of an account that is locked", func(w *world, _ *Request) {
			for i := range DefaultMaxFailures {
				w.fail(fmt.Sprint("source", i), i)
			}
		}, after, Locked},
		{"from a source that has to wait", func(w *world, _ *Request) {
			for i := range 6 {
				w.fail("192.0.2.1", i)
			}
		}, 0, Locked},
		{"after another login", func(w *world, _ *Request) { w.must("secret"+w.code(-1), Accepted, None) }, after, Replayed},
		{"after the helpdesk has set the clock", func(w *world, _ *Request) {
			if r, err := w.Resync(w.t.Context(), w.dir.account, opaque.Text(w.code(99)), opaque.Text(w.code(100))); err != nil || r.Reason.Kind != None {
				w.t.Fatal(r, err)
			}
		}, after, Replayed},
	} {
		for server := range newPair(newWorld(t)).servers() {
			t.Run(tt.name+", at "+server, func(t *testing.T) {
				t.Parallel()
				p := newPair(newWorld(t))
				if tt.name == "with the name in another spelling" {
					p.dir.anyCase = true
				}
				r := alices("secret" + p.code(0))
				if d, err := p.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || d.Repeated {
					t.Fatalf("at first: %+v, %v", d, err)
				}
				if tt.edit != nil {
					tt.edit(p.world, &r)
				}
				before := p.state()
				p.now = p.now.Add(tt.after)
				d, err := p.servers()[server].Verify(t.Context(), r)
				if err != nil || (d.Outcome == Accepted) != (tt.want == None) || d.Reason.Kind != tt.want || d.Repeated != (tt.want == None) {
					t.Fatalf("again: %+v, %v", d, err)
				}
				if d.Repeated && d.Ago != tt.after {
					t.Errorf("%v ago, want %v", d.Ago, tt.after)
				}
				if tt.want != WrongPassword && !reflect.DeepEqual(p.state(), before) {
					t.Errorf("it has changed %+v to %+v", before, p.state())
				}
			})
		}
	}
}

// The code of an earlier login is not that of the last one, also where all else is
// the same by chance.
func TestOnlyTheLastStepComesAgain(t *testing.T) {
	r := alices("secret123456")
	s := State{Recent: []Spent{{Step: 7, At: start}, {Step: 6, At: start}}, Last: Login{From: r.from(), Server: 2}}
	a := attempt{Verifier: &Verifier{server: 1}}
	for step, want := range map[int64]bool{7: true, 6: false, 8: false, 0: false} {
		if _, yes := a.lately(&r, step, &kept{State: s}, start); yes != want {
			t.Errorf("step %d: %v", step, yes)
		}
	}
	if _, yes := a.lately(&r, 0, &kept{}, start); yes {
		t.Error("of a key that was never used")
	}
	if _, yes := a.lately(&Request{}, 7, &kept{State: State{Recent: s.Recent}}, start); yes {
		t.Error("of what an admin has spent")
	}
}

// Both clocks count, and it is by the difference alone that they do.
func TestServersThatDisagreeAboutTheTime(t *testing.T) {
	for _, tt := range []struct {
		ahead, after time.Duration
		want         bool
	}{
		{-10 * time.Second, 0, true}, {-10*time.Second - time.Millisecond, 0, false}, {-12 * time.Second, 3 * time.Second, true},
		{9 * time.Second, time.Second, true}, {9 * time.Second, 1001 * time.Millisecond, false},
	} {
		p := newPair(newWorld(t))
		r := alices("secret" + p.code(0))
		p.must("secret"+p.code(0), Accepted, None)
		p.ahead, p.now = tt.ahead, p.now.Add(tt.after)
		d, err := p.other.Verify(t.Context(), r)
		if err != nil || d.Repeated != tt.want || d.Repeated && d.Ago != tt.ahead+tt.after {
			t.Errorf("%+v: %+v, %v", tt, d, err)
		}
	}
}

// Where it is known by how much the other clock is off, ten seconds are ten seconds.
func TestServersThatKnowEachOthersClocks(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, -15 * time.Second, 15 * time.Second, time.Hour} {
		for after, want := range map[time.Duration]bool{0: true, 10 * time.Second: true, 10*time.Second + time.Millisecond: false} {
			p := newPair(newWorld(t))
			p.ahead = ahead
			p.other.SetPeerClocks(map[string]time.Duration{"one": -ahead, "three": time.Minute})
			r := alices("secret" + p.code(0))
			p.must(string(r.Typed.Reveal()), Accepted, None)
			p.now = p.now.Add(after)
			d, err := p.other.Verify(t.Context(), r)
			if err != nil || d.Repeated != want || d.Repeated && d.Ago != after {
				t.Errorf("%v ahead, after %v: %+v, %v", ahead, after, d, err)
			}
		}
	}
}

// What comes again does not make the ten seconds longer, the directory says yes to
// it each time, and a server that has let it in again has answered it.
func TestComingAgainAndAgain(t *testing.T) {
	p := newPair(newWorld(t))
	p.dir.info = PasswordInfo{ExpiresIn: time.Hour}
	r := alices("secret" + p.code(0))
	for i, v := range []*Verifier{p.Verifier, p.other, p.third} {
		d, err := v.Verify(t.Context(), r)
		if err != nil || d.Outcome != Accepted || d.Repeated != (i > 0) || d.Password != p.dir.info {
			t.Errorf("at server %d: %+v, %v", i, d, err)
		}
		if d, err := v.Verify(t.Context(), r); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("at server %d, again: %+v, %v", i, d, err)
		}
		p.now = p.now.Add(5 * time.Second)
	}
	fourth := New(p.dir, p.mem, p.Verifier.now)
	fourth.SetServer("four")
	if d, err := fourth.Verify(t.Context(), r); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("too late: %+v, %v", d, err)
	}
	if s := p.state(); len(p.dir.asked) != 3 || len(s.Spent) != 1 || s.Failures != 0 || len(s.Sources) != 0 {
		t.Errorf("%d binds, %+v", len(p.dir.asked), s)
	}
}

// Somebody else's failures stay, and somebody's own too.
func TestComingAgainForgivesNothing(t *testing.T) {
	p := newPair(newWorld(t))
	typed := "secret" + p.code(0)
	p.must(typed, Accepted, None)
	p.fail("192.0.2.1", 1)
	p.fail("elsewhere", 2)
	before := p.state()
	if d, err := p.other.Verify(t.Context(), alices(typed)); err != nil || !d.Repeated || !reflect.DeepEqual(p.state(), before) || before.Failures != 2 {
		t.Errorf("%+v, %v, %+v", d, err, p.state())
	}
}

// The reason of a refusal does not say that the code could still be used.
func TestReasonsOfLoginsThatComeAgain(t *testing.T) {
	p := newPair(newWorld(t))
	r := alices("secret" + p.code(0))
	p.must("secret"+p.code(0), Accepted, None)
	p.dir.password = "changed"
	for range 3 { // and asks and counts once
		if d, err := p.other.Verify(t.Context(), r); err != nil || !strings.HasPrefix(d.Reason.String(), "password wrong, code right and spent a moment ago") {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if len(p.dir.asked) != 2 || p.state().Failures != 1 {
		t.Errorf("%d binds, %d failures", len(p.dir.asked), p.state().Failures)
	}
	p = newPair(newWorld(t))
	p.must("secret"+p.code(0), Accepted, None)
	r.Authorize = func(context.Context, Account) error { return &DeniedError{Cause: "no"} }
	if d, err := p.other.Verify(t.Context(), r); err != nil || d.Reason.String() != "not allowed (no), code right and spent a moment ago" {
		t.Errorf("%+v, %v", d, err)
	}
}

// Sixteen bits are few: who finds another password that has the same gets to the
// directory, is refused there, and is counted.
func TestSixteenBitsLetNobodyIn(t *testing.T) {
	p := newPair(newWorld(t))
	code := p.code(0)
	p.must("secret"+code, Accepted, None)
	a := attempt{Verifier: p.other, account: p.dir.account}
	for i := 0; ; i++ {
		r := alices(fmt.Sprint("guess", i, "x") + code)
		if a.input(&r, testKey) != p.state().Last.Input {
			continue
		}
		d, err := p.other.Verify(t.Context(), r)
		if err != nil || d.Outcome != Refused || d.Reason.Kind != WrongPassword || len(p.dir.asked) != 2 || p.state().Failures != 1 {
			t.Errorf("%+v, %v, %d binds, %d failures", d, err, len(p.dir.asked), p.state().Failures)
		}
		return
	}
}

// Nobody could tell, and nobody is let in, also where it was said before that
// they may.
func TestErrorsLetNobodyInAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, brk := range map[string]func(*pair, *Request){
		"the directory is away":    func(p *pair, _ *Request) { p.dir.err = broken },
		"the store does not load":  func(p *pair, _ *Request) { p.mem.err = broken },
		"the store does not write": func(p *pair, _ *Request) { p.mem.before = func() { p.mem.err = broken } },
		"nobody knows the rules": func(_ *pair, r *Request) {
			r.Authorize = func(context.Context, Account) error { return broken }
		},
	} {
		p := newPair(newWorld(t))
		r := alices("secret" + p.code(0))
		p.must("secret"+p.code(0), Accepted, None)
		brk(p, &r)
		if d, err := p.other.Verify(t.Context(), r); !errors.Is(err, broken) || !reflect.DeepEqual(d, Decision{}) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// Of servers that get the same login at once one spends the step, and all of them
// let in; whoever sends it from somewhere else is refused by all.
func TestServersRaceWithOneLogin(t *testing.T) {
	w := newWorld(t)
	typed := "secret" + w.code(0)
	var wg sync.WaitGroup
	decisions := make([]Decision, 24)
	for i := range decisions {
		v := New(w.dir, w.mem, w.Verifier.now)
		v.SetServer(fmt.Sprint("server", i))
		wg.Go(func() {
			var err error
			if decisions[i], err = v.Verify(t.Context(), alices(typed)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := 0
	for _, d := range decisions {
		if d.Outcome != Accepted {
			t.Errorf("%+v", d)
		}
		if !d.Repeated {
			first++
		}
	}
	if s := w.state(); first != 1 || len(s.Spent) != 1 || len(s.Recent) != 1 {
		t.Errorf("spent %d times, %+v", first, s)
	}
	w.replayed(typed)
}

// The loser of a race finds out in the claim: accepted too, if it is the same
// login, and not if it is another one with the code.
func TestLoserOfARace(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Request
		want Kind
	}{
		{"the same login", alices("secret"), None},
		{"another source", Request{User: "alice", Typed: opaque.Text("secret"), Client: "vpn", Source: "x"}, Replayed},
		{"another client", Request{User: "alice", Typed: opaque.Text("secret"), Client: "x", Source: "192.0.2.1"}, Replayed},
	} {
		p := newPair(newWorld(t))
		typed := "secret" + p.code(0)
		tt.r.Typed = opaque.Text(typed)
		p.mem.before = func() {
			p.mem.before = nil
			if d, err := p.other.Verify(t.Context(), tt.r); err != nil || d.Outcome != Accepted {
				t.Errorf("%s: the other server: %+v, %v", tt.name, d, err)
			}
		}
		d, err := p.login(typed)
		if err != nil || d.Repeated != (tt.want == None) || d.Reason.Kind != tt.want || len(p.state().Spent) != 1 {
			t.Errorf("%s: %+v, %v", tt.name, d, err)
		}
	}
}

// lagging is a server's view of the store that is behind, until a write shows it.
type lagging struct {
	*memory
	behind *State
	at     Version
}

func (l *lagging) Load(ctx context.Context, id string) (State, Version, error) {
	if l.behind != nil {
		return *l.behind, l.at, nil
	}
	return l.memory.Load(ctx, id)
}

func (l *lagging) CompareAndSwap(ctx context.Context, id string, old Version, next State) error {
	l.behind = nil
	return l.memory.CompareAndSwap(ctx, id, old, next)
}

// A server whose copy of the store is behind lets nobody in again who has been
// locked, or has logged in anew, elsewhere meanwhile.
func TestComingAgainToAServerThatIsBehind(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(w *world)
		want      Kind
	}{
		"nothing": {func(*world) {}, None},
		"locked": {func(w *world) {
			for i := range DefaultMaxFailures {
				w.fail(fmt.Sprint("source", i), i)
			}
		}, Locked},
		"another login": {func(w *world) { w.must("secret"+w.code(-1), Accepted, None) }, Replayed},
	} {
		w := newWorld(t)
		w.SetServer("one")
		typed := "secret" + w.code(0)
		w.must(typed, Accepted, None)
		s := w.state()
		l := &lagging{w.mem, &s, w.mem.versions[testKey.ID()]}
		tt.meanwhile(w)
		behind := New(w.dir, l, w.Verifier.now)
		behind.SetServer("two")
		d, err := behind.Verify(t.Context(), alices(typed))
		if err != nil || d.Reason.Kind != tt.want || d.Repeated != (tt.want == None) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// An answer to a challenge comes again like any login, with what was kept; so does
// the second of two codes, which is the login, and not the first.
func TestAnswerThatComesAgain(t *testing.T) {
	p := newPair(newWorld(t))
	policy := Policy{Challenge: true}
	answer := alices(p.code(0))
	answer.Answering, answer.Kept, answer.Policy, answer.Asked = true, opaque.Text("secret"), policy, start
	if d, err := p.Verify(t.Context(), answer); err != nil || d.Outcome != Accepted {
		t.Errorf("%+v, %v", d, err)
	}
	for name, v := range p.servers() {
		if d, err := v.Verify(t.Context(), answer); err != nil || d.Outcome != Accepted || !d.Repeated {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	other := answer
	other.Kept = opaque.Text("Secret")
	if d, err := p.other.Verify(t.Context(), other); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("with another password kept: %+v, %v", d, err)
	}

	p = newPair(newWorld(t))
	first := alices("secret" + p.code(300))
	first.Policy = policy
	asked, err := p.Verify(t.Context(), first)
	if err != nil || !asked.NextCode {
		t.Fatalf("%+v, %v", asked, err)
	}
	p.now = p.now.Add(30 * time.Second)
	answer = alices(p.code(300))
	answer.Answering, answer.Kept, answer.Asked, answer.Policy = true, asked.Keep, asked.Asked, policy
	if d, err := p.other.Verify(t.Context(), answer); err != nil || !d.Resynchronized || d.Repeated {
		t.Errorf("the next code: %+v, %v", d, err)
	}
	before := p.state()
	if d, err := p.Verify(t.Context(), answer); err != nil || !d.Repeated || d.Outcome != Accepted || !reflect.DeepEqual(p.state(), before) {
		t.Errorf("again: %+v, %v", d, err)
	}
	first.Policy = Policy{}
	if d, err := p.Verify(t.Context(), first); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("the first code again: %+v, %v", d, err)
	}
}

// Two servers complete the same pair of codes at once.
func TestServersRaceWithASecondCode(t *testing.T) {
	p := newPair(newWorld(t))
	p.must("secret"+p.code(300), Refused, OutOfStep)
	p.now = p.now.Add(30 * time.Second)
	typed := "secret" + p.code(300)
	p.mem.before = func() {
		p.mem.before = nil
		if d, err := p.other.Verify(t.Context(), alices(typed)); err != nil || !d.Resynchronized {
			t.Errorf("the other server: %+v, %v", d, err)
		}
	}
	if d := p.must(typed, Accepted, None); !d.Repeated || len(p.state().Spent) != 2 {
		t.Errorf("%+v, %+v", d, p.state())
	}
}

// What an admin spends is no login.
func TestAdminLeavesNoLogin(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	if w.state().Last == (Login{}) {
		t.Fatal("nothing is kept of a login")
	}
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(w.code(99)), opaque.Text(w.code(100))); err != nil || r.Reason.Kind != None || w.state().Last != (Login{}) {
		t.Errorf("%+v, %v, %+v", r, err, w.state().Last)
	}
}

// Of several tokens the one whose code it is counts, and the client that sends the
// code alone is no exception.
func TestTokenThatComesAgain(t *testing.T) {
	p := newPair(newTokens(t, 0, 1))
	for place := range 2 {
		r := alices(p.of(place, 0))
		r.Policy.CodeOnly = true
		for i, v := range []*Verifier{p.Verifier, p.other} {
			d, err := v.Verify(t.Context(), r)
			if err != nil || d.Outcome != Accepted || d.Repeated != (i > 0) || d.Token != fmt.Sprint(place+1) {
				t.Errorf("token %d: %+v, %v", place, d, err)
			}
		}
		r.Source = "x"
		if d, err := p.other.Verify(t.Context(), r); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("token %d: %+v, %v", place, d, err)
		}
	}
}

// A name that nobody has is not let in by coming again either.
func TestDecoysDoNotComeAgain(t *testing.T) {
	w := newWorld(t)
	code, err := w.decoy.Code(w.decoy.Step(w.now))
	if err != nil {
		t.Fatal(err)
	}
	r := Request{User: "nobody", Typed: opaque.Text(code), Policy: Policy{CodeOnly: true}}
	for range 3 {
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Refused || d.Repeated || d.Reason.Kind != NotEnrolled {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

func TestWhereALoginComesFrom(t *testing.T) {
	seen := map[uint64]Request{}
	for _, r := range []Request{{}, {Client: "vpn"}, {Source: "vpn"}, {Client: "vpn", Source: "vpn"}, {Client: "v", Source: "pn"},
		{Client: "vpn", Source: strings.Repeat("x", 64)}, {Client: "vpn", Source: strings.Repeat("x", 65)}} {
		if was, is := seen[r.from()]; is || r.from() == 0 {
			t.Errorf("%+v is as %+v", r, was)
		}
		seen[r.from()] = r
	}
}

// Whoever had the answer has no use for the same again: to the server that gave it,
// also after its restart, a login that comes again is a code used before. So it is
// where there is but one server.
func TestServerThatHasAnsweredSaysNo(t *testing.T) {
	for name, server := range map[string]string{"of several": "one", "alone": ""} {
		w := newWorld(t)
		w.SetServer(server)
		typed := "secret" + w.code(0)
		w.must(typed, Accepted, None)
		w.must(typed, Refused, Replayed)
		restarted := New(w.dir, w.mem, w.Verifier.now)
		restarted.SetServer(server)
		if d, err := restarted.Verify(t.Context(), alices(typed)); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	named, alone := newPair(newWorld(t)), newWorld(t)
	typed := "secret" + named.code(0)
	named.must(typed, Accepted, None)
	moved := New(named.dir, named.mem, named.Verifier.now) // to a store of its own
	if d, err := moved.Verify(t.Context(), alices(typed)); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("by a server without a name: %+v, %v", d, err)
	}
	alone.must(typed, Accepted, None)
	joined := New(alone.dir, alone.mem, alone.Verifier.now)
	joined.SetServer("one")
	if d, err := joined.Verify(t.Context(), alices(typed)); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("of a server without a name: %+v, %v", d, err)
	}
}

// A store that has written what it reports as failed leaves somebody without an
// answer, who may come again to the same server, once: then there is one.
func TestLoginWithoutAnAnswerComesAgain(t *testing.T) {
	for _, server := range []string{"one", ""} {
		w := newWorld(t)
		w.SetServer(server)
		typed := "secret" + w.code(0)
		lost := &losing{memory: w.mem, lose: true}
		v := New(w.dir, lost, w.Verifier.now)
		v.SetServer(server)
		if d, err := v.Verify(t.Context(), alices(typed)); err == nil {
			t.Fatalf("%+v", d)
		}
		elsewhere := alices(typed)
		elsewhere.Source = "elsewhere"
		if d, err := v.Verify(t.Context(), elsewhere); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("from elsewhere: %+v, %v", d, err)
		}
		if d, err := v.Verify(t.Context(), alices(typed)); err != nil || !d.Repeated {
			t.Errorf("%+v, %v", d, err)
		}
		if d, err := v.Verify(t.Context(), alices(typed)); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("after the answer: %+v, %v", d, err)
		}
	}
}

// losing is a store whose first answer is lost.
type losing struct {
	*memory
	lose bool
}

func (l *losing) CompareAndSwap(ctx context.Context, id string, old Version, next State) error {
	err := l.memory.CompareAndSwap(ctx, id, old, next)
	if l.lose && err == nil {
		l.lose = false
		return errors.New("lost")
	}
	return err
}

func TestRecentLoginsAreFewAndShort(t *testing.T) {
	var u remembered
	for i := range 2 * mostRemembered {
		u.note(fmt.Sprint(i), Login{Input: 1}, start)
	}
	if len(u.byID) != mostRemembered || !u.has("0", Login{Input: 1}, start.Add(againAge)) || u.has("0", Login{Input: 2}, start) ||
		u.has("0", Login{Input: 1}, start.Add(againAge+time.Millisecond)) {
		t.Errorf("%d logins", len(u.byID))
	}
	if u.note("new", Login{Input: 1}, start.Add(time.Minute)); len(u.byID) != 1 {
		t.Errorf("%d logins after a minute", len(u.byID))
	}
}

// Where there is no room, who comes does not look through all of it each time.
func TestWhatIsOverIsNotLookedForAllTheTime(t *testing.T) {
	var u remembered
	for i := range mostRemembered {
		u.note(fmt.Sprint(i), Login{Input: 1}, start)
	}
	over := start.Add(againAge + time.Millisecond)
	u.note("full", Login{Input: 1}, over.Add(-2*time.Millisecond)) // nothing is over yet
	u.note("soon after", Login{Input: 1}, over)
	if len(u.byID) != mostRemembered {
		t.Errorf("%d logins: it was looked for again", len(u.byID))
	}
	u.note("later", Login{Input: 1}, over.Add(sweepEvery))
	if len(u.byID) != 1 || !u.has("later", Login{Input: 1}, over.Add(sweepEvery)) {
		t.Errorf("%d logins when there is room again", len(u.byID))
	}
	u.swept = over.Add(time.Hour) // a clock that was put back
	for i := range mostRemembered {
		u.note(fmt.Sprint(i), Login{Input: 1}, start)
	}
	if u.note("new", Login{Input: 1}, over.Add(sweepEvery)); len(u.byID) != 1 {
		t.Errorf("%d logins after the clock was put back", len(u.byID))
	}
}

// aging is a store that knows the age of what it has.
type aging struct {
	*memory
	older bool
}

func (a aging) Older(v Version, than time.Duration) bool { return a.older && v > 0 && than == mostAge }

// A clock that was set in between makes nothing younger.
func TestStoreThatKnowsBetterThanTheClocks(t *testing.T) {
	for _, older := range []bool{false, true} {
		w := newWorld(t)
		w.SetServer("one")
		typed := "secret" + w.code(0)
		w.must(typed, Accepted, None)
		other := New(w.dir, aging{w.mem, older}, w.Verifier.now)
		other.SetServer("two")
		if d, err := other.Verify(t.Context(), alices(typed)); err != nil || d.Repeated == older {
			t.Errorf("older %v: %+v, %v", older, d, err)
		}
	}
}
