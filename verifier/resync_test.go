package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func (w *world) state() State { return w.mem.states[w.dir.account.Keys[0].ID()] }

// A code that is far off lets nobody in alone, costs no bind, and counts.
func TestFarCodeAlone(t *testing.T) {
	w := newWorld(t)
	d := w.must("secret"+w.code(120), Refused, OutOfStep)
	if d.Reason.String() != "out of step: device is 1 h 0 min ahead" || len(w.dir.asked) != 0 || w.state().Failures != 1 {
		t.Errorf("%q, %d binds, %d failures", d.Reason, len(w.dir.asked), w.state().Failures)
	}
	w.must("secret"+w.code(120), Refused, OutOfStep) // again
	w.now = w.now.Add(90 * time.Second)
	w.must("secret"+w.code(117), Refused, OutOfStep) // the same again, later
	if f := w.state().Far; len(f.Steps) != 1 || !f.At.Equal(start) {
		t.Errorf("the same code again counts as seen later: %+v", f)
	}
}

func TestTwoFarCodes(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second int64         // steps from the server's at the time
		wait          time.Duration // between them
		want          Outcome
	}{
		{"the next code", 120, 120, 30 * time.Second, Accepted},
		{"the next but one", 120, 120, time.Minute, Accepted},
		{"the next, typed at once", 120, 121, time.Second, Accepted},
		{"behind", -120, -120, 30 * time.Second, Accepted},
		{"a day ahead", 2879, 2879, 30 * time.Second, Accepted},
		{"a day behind", -2870, -2870, 30 * time.Second, Accepted},
		{"more than a day ahead", 2900, 2900, 30 * time.Second, Refused},
		{"five minutes later", 120, 120, 5 * time.Minute, Accepted},
		{"later than that", 120, 120, 5*time.Minute + time.Second, Refused},
		{"the same", 120, 119, 30 * time.Second, Refused},
		{"an earlier one", 120, 118, 30 * time.Second, Refused},
		{"one of another clock", 120, 130, 30 * time.Second, Refused},
		{"one of another clock, behind", 120, -120, 30 * time.Second, Refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.code(tt.first)
			if d, err := w.login("secret" + first); err != nil || d.Outcome != Refused {
				t.Fatalf("first: %+v, %v", d, err)
			}
			w.now = w.now.Add(tt.wait)
			second := w.code(tt.second)
			d, err := w.login("secret" + second)
			if err != nil || d.Outcome != tt.want || d.Resynchronized != (tt.want == Accepted) {
				t.Fatalf("second: %+v, %v", d, err)
			}
			if tt.want != Accepted {
				return
			}
			if len(w.dir.asked) != 1 || w.state().Failures != 0 {
				t.Errorf("%d binds, %d failures", len(w.dir.asked), w.state().Failures)
			}
			w.must("secret"+first, Refused, Replayed)
			w.replayed("secret" + second)
			w.now = w.now.Add(30 * time.Second)
			w.must("secret"+w.code(tt.second), Accepted, None) // learned
		})
	}
}

func TestSecondCodeNeedsThePassword(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("wrong"+w.code(120), Refused, WrongPassword)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
}

// Spent steps are no half of a pair, in either place.
func TestSpentCodesDoNotResynchronize(t *testing.T) {
	w := newWorld(t)
	spent := w.code(0)
	w.must("secret"+spent, Accepted, None)
	next := w.code(1)
	w.now = w.now.Add(3 * time.Hour)
	w.must("secret"+spent, Refused, Replayed)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+next, Refused, OutOfStep)

	w = newWorld(t)
	first, second := w.code(0), w.code(1)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+second, Accepted, None)
	w.now = w.now.Add(3 * time.Hour)
	w.must("secret"+first, Refused, OutOfStep)
	w.must("secret"+second, Refused, Replayed)
}

// collision finds a key and two far steps with one code.
func collision(t *testing.T) (k Key, a, b int64) {
	t.Helper()
	k = testKey
	for i := range 10_000 {
		k.Bytes = opaque.Text(fmt.Sprintf("%020d", i))
		seen := map[uint32]int64{}
		c := newCoder(k)
		for step := k.Step(start) + 100; step < k.Step(start)+2000; step++ {
			code := c.code(step)
			if other, ok := seen[code]; ok && step-other > 20 {
				return k, other, step
			}
			seen[code] = step
		}
	}
	t.Fatal("no collision")
	return
}

// One far code in 170 fits two steps. Neither the one nor the other may be
// dropped.
func TestFarCodeThatFitsTwoSteps(t *testing.T) {
	k, a, b := collision(t)
	for _, truth := range []int64{a, b} {
		p := &phone{newWorld(t), 0}
		p.dir.account.Keys[0] = k
		p.ahead = k.Start(truth).Add(10 * time.Second).Sub(p.now)
		d := p.must("secret"+p.shows(), Refused, OutOfStep)
		if f := p.state().Far; !slices.Equal(f.Steps, []int64{a, b}) {
			t.Errorf("remembered %v, want %v", f.Steps, []int64{a, b})
		}
		if want := time.Duration(a-k.Step(p.now)) * k.Period; d.Reason.Offset != want {
			t.Errorf("offset %v, want the nearer %v", d.Reason.Offset, want)
		}
		if n := p.getsIn(); n != 1 {
			t.Errorf("step %d of %d and %d: %d more codes, want 1", truth, a, b, n)
		}
	}
}

// The nearest pair of steps is taken where there are several.
func TestJudgeTakesTheNearest(t *testing.T) {
	w := newWorld(t)
	here := testKey.Step(w.now)
	s := State{Far: Far{At: w.now, Steps: []int64{here - 200, here + 100, here + 500}}}
	ways := []split{{password: []byte("end")}, {password: []byte("front")}}
	hits := []hit{{here - 199, 0}, {here + 90, 1}, {here + 101, 1}, {here + 501, 0}}
	f, _ := look{kept: &kept{token: token{key: testKey}, State: s}, ways: ways}.judge(hits, w.now)
	if !slices.Equal(f.right, []int64{here + 100, here + 101}) || string(f.way.password) != "front" {
		t.Errorf("%+v", f)
	}
}

// Where the client can be challenged, somebody with the right password is asked
// for the next code at once, whichever way the first one came.
func TestNextCodeIsAskedFor(t *testing.T) {
	w := newWorld(t)
	policy := Policy{Challenge: true}
	for _, tt := range []struct {
		name string
		ask  func() Request
	}{
		{"in one", func() Request { return Request{Typed: opaque.Text("secret" + w.code(300))} }},
		{"code in front", func() Request { return Request{Typed: opaque.Text(w.code(300) + "secret")} }},
		{"when asked", func() Request {
			return Request{Typed: opaque.Text(w.code(300)), Answering: true, Kept: opaque.Text("secret")}
		}},
	} {
		w = newWorld(t)
		r := tt.ask()
		r.User, r.Source, r.Policy = "alice", "home", policy
		d, err := w.Verify(t.Context(), r)
		if err != nil || d.Outcome != Challenged || !d.NextCode || string(d.Keep.Reveal()) != "secret" || d.Reason.Kind != OutOfStep {
			t.Fatalf("%s: %+v, %v", tt.name, d, err)
		}
		w.now = w.now.Add(time.Second)
		answer := Request{User: "alice", Source: "home", Policy: policy, Answering: true, Kept: d.Keep, Asked: d.Asked, Typed: opaque.Text(w.code(300))}
		again, err := w.Verify(t.Context(), answer)
		if err != nil || again.Outcome != Challenged || !again.NextCode {
			t.Errorf("%s: the same code again: %+v, %v", tt.name, again, err)
		}
		w.now = w.now.Add(30 * time.Second)
		answer.Kept, answer.Asked, answer.Typed = again.Keep, again.Asked, opaque.Text(w.code(300))
		if d, err := w.Verify(t.Context(), answer); err != nil || d.Outcome != Accepted || !d.Resynchronized {
			t.Errorf("%s: the next code: %+v, %v", tt.name, d, err)
		}
	}
}

// To whoever has not the password, a far code looks like a wrong one.
func TestFarCodeLooksWrongWithoutThePassword(t *testing.T) {
	for _, policy := range []Policy{{}, {Challenge: true}, {CodeOnly: true}} {
		for _, answering := range []bool{false, true} {
			outcome := func(code string) Decision {
				w := newWorld(t)
				r := Request{User: "alice", Typed: opaque.Text("wrong" + code), Policy: policy, Source: "x"}
				if answering || policy.CodeOnly {
					r.Typed = opaque.Text(code)
				}
				if answering {
					r.Answering, r.Kept = true, opaque.Text("wrong")
				}
				d, err := w.Verify(t.Context(), r)
				if err != nil || w.state().Failures != 1 {
					t.Errorf("%+v, answering %v: %v, %d failures", policy, answering, err, w.state().Failures)
				}
				return d
			}
			w := newWorld(t)
			far, wrong := outcome(w.code(300)), outcome("000000")
			if far.Outcome != wrong.Outcome || far.NextCode != wrong.NextCode || string(far.Keep.Reveal()) != string(wrong.Keep.Reveal()) && far.Keep.Len() != wrong.Keep.Len() {
				t.Errorf("%+v, answering %v: far %+v, wrong %+v", policy, answering, far, wrong)
			}
			if want := "password wrong, and out of step: device is 2 h 30 min ahead"; policy.Challenge && far.Reason.String() != want {
				t.Errorf("reason %q, want %q", far.Reason, want)
			}
		}
	}
}

// The directory counts what it is asked: a far code with a wrong password that is
// sent again costs one bind, and one failure.
func TestFarCodeWithAWrongPasswordIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	r := Request{User: "alice", Typed: opaque.Text("wrong" + w.code(300)), Policy: Policy{Challenge: true}, Source: "x"}
	for range 5 {
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Challenged || d.NextCode {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if len(w.dir.asked) != 1 || w.state().Failures != 1 {
		t.Errorf("%d binds, %d failures; want 1, 1", len(w.dir.asked), w.state().Failures)
	}
}

// Whoever has to wait between two codes may type the second one all the same, or
// a delay longer than the five minutes would strand them.
func TestResynchronizationDoesNotMeetItsOwnDelay(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.now = w.now.Add(10 * time.Minute)
		w.fail("192.0.2.1", i)
	}
	w.now = w.now.Add(10 * time.Minute)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("x000000", Refused, WrongCode) // the one look is used up
	w.now = w.now.Add(time.Second)
	w.must("secret"+w.code(120), Refused, Locked)

	w.now = w.now.Add(10 * time.Minute)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
}

// A code that is far off excuses nobody from the hard limit.
func TestFarCodesCountForTheHardLimit(t *testing.T) {
	w := newWorld(t)
	for i := range DefaultMaxFailures {
		w.fail(fmt.Sprint("source", i), i)
	}
	w.must("secret"+w.code(120), Refused, Locked)
}

// When the store fails between the two, nothing is half done.
func TestResynchronizationIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	w := newWorld(t)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.mem.before = func() { w.mem.err = broken }
	if d, err := w.login("secret" + w.code(120)); !errors.Is(err, broken) || d.Outcome == Accepted {
		t.Fatalf("%+v, %v", d, err)
	}
	w.mem.before, w.mem.err = nil, nil
	w.must("secret"+w.code(120), Accepted, None)
	if got := w.state().Spent; len(got) != 2 {
		t.Errorf("spent %v", got)
	}
}

// Of two logins that complete the same pair at two servers one gets in.
func TestTwoServersCompleteOnePair(t *testing.T) {
	w := newWorld(t)
	other := New(w.dir, w.mem, w.Verifier.now)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	typed := "secret" + w.code(120)
	w.mem.before = func() {
		w.mem.before = nil
		if d, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(typed)}); err != nil || d.Outcome != Accepted {
			t.Errorf("the other server: %+v, %v", d, err)
		}
	}
	w.must(typed, Refused, Replayed)
}

func TestUntrustedClockTeachesNothing(t *testing.T) {
	w := newWorld(t)
	right := false
	w.SetTrusted(func() bool { return right })
	w.must("secret"+w.code(0), Accepted, None)
	if c := w.state().Clock; c != (Clock{}) {
		t.Errorf("learned %+v", c)
	}
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
	resynchronized := w.state().Clock
	if resynchronized == (Clock{}) {
		t.Error("a resynchronization was forgotten, and every login would need another")
	}
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
	if c := w.state().Clock; c != resynchronized {
		t.Errorf("learned %+v", c)
	}
	right = true
	w.now = w.now.Add(time.Hour)
	w.must("secret"+w.code(120), Accepted, None)
	if c := w.state().Clock; c == resynchronized {
		t.Error("nothing was learned from a clock that is right")
	}
}

// Guesses hit a code out of step now and then. They must not get to try many
// passwords by that.
func TestFarCodesAskForFewPasswords(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.now = w.now.Add(10 * time.Minute)
		r := Request{User: "alice", Typed: opaque.Text(fmt.Sprint("wrong", i, "/", w.code(300))), Policy: Policy{Challenge: true}, Source: fmt.Sprint(i)}
		d, err := w.Verify(t.Context(), r)
		if err != nil || d.Outcome != Challenged || d.NextCode || !d.Late {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if len(w.dir.asked) != freeFailures {
		t.Errorf("%d passwords were checked, want %d", len(w.dir.asked), freeFailures)
	}
	// The right person gets in by the next code all the same.
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(300), Accepted, None)
}

// With the directory away a code out of step is answered as it is where no
// password is asked for: the code alone decides.
func TestFarCodeWithoutADirectory(t *testing.T) {
	w := newWorld(t)
	w.dir.err = errors.New("away")
	for _, answering := range []bool{false, true} {
		r := Request{User: "alice", Typed: opaque.Text("secret" + w.code(300)), Policy: Policy{Challenge: true}, Source: "x"}
		if answering {
			r.Answering, r.Kept, r.Typed = true, opaque.Text("secret"), opaque.Text(w.code(300))
		}
		d, err := w.Verify(t.Context(), r)
		if err != nil || d.Outcome == Accepted || d.NextCode || (d.Outcome == Challenged) == answering || d.Reason.Kind != OutOfStep {
			t.Errorf("answering %v: %+v, %v", answering, d, err)
		}
	}
	w.now = w.now.Add(30 * time.Second)
	if d, err := w.login("secret" + w.code(300)); !errors.Is(err, w.dir.err) || d.Outcome == Accepted {
		t.Errorf("the second code, whose password decides: %+v, %v", d, err)
	}
}

// What is asked for a code leaves late if something like one was looked at,
// whoever it is.
func TestLateChallenges(t *testing.T) {
	w := newWorld(t)
	for typed, late := range map[string]bool{"secret": false, "": false, "secret12345": false, "secret000000": true, "000000secret": true, "secret" + w.code(300): true} {
		for _, user := range []string{"alice", "nobody"} {
			r := Request{User: user, Typed: opaque.Text(typed), Policy: Policy{Challenge: true}, Source: typed}
			if d, err := w.Verify(t.Context(), r); err != nil || !d.NextCode && d.Late != late {
				t.Errorf("%s types %q: %+v, %v", user, typed, d, err)
			}
		}
	}
}

// Many wrong codes at once must not hold up a right one, and each is counted.
func TestSearchesAreBounded(t *testing.T) {
	w := newWorld(t)
	for range maxSearching {
		w.searches.inside.Add(1)
	}
	d := w.must("secret"+w.code(120), Refused, WrongCode)
	if d.Reason.String() != "code wrong (or out of step, too busy to look)" || w.state().Failures != 1 {
		t.Errorf("%q, %d failures", d.Reason, w.state().Failures)
	}
	w.must("secret"+w.code(0), Accepted, None)
	w.searches.inside.Store(0)
	far := "secret" + w.code(120)
	w.searches.inside.Store(maxSearching)
	w.must(far, Refused, WrongCode)
	w.searches.inside.Store(0)
	w.must(far, Refused, OutOfStep) // the same input, now looked for
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
	if n := w.searches.inside.Load(); n != 0 || len(w.searches.slots) != 0 {
		t.Errorf("%d are still inside", n)
	}
}

// A guess that was looked at counts, also if the request has run out of time.
func TestCountedWithoutTime(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	loads := 0
	w.Verifier = New(w.dir, hooked{w.mem, func() {
		if loads++; loads == 1 {
			cancel()
		}
	}}, w.Verifier.now)
	w.Verify(ctx, Request{User: "alice", Typed: opaque.Text("x000000"), Source: "s"})
	if n := w.state().Failures; n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
}

// hooked is a store that looks at its context, after a hook.
type hooked struct {
	*memory
	loaded func()
}

func (h hooked) Load(ctx context.Context, id string) (State, Version, error) {
	if err := ctx.Err(); err != nil {
		return State{}, 0, err
	}
	s, v, err := h.memory.Load(ctx, id)
	h.loaded()
	return s, v, err
}
