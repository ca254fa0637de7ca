package verifier

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/opaque"
)

// twin is the number of a key whose code is that of number 0 at start.
const twin = 665300

func numbered(i int) Key {
	return Key{Bytes: opaque.Text(fmt.Sprintf("a key of number %06d", i)), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
}

// newTokens returns a world whose person has the keys of those numbers.
func newTokens(t *testing.T, numbers ...int) *world {
	w := newWorld(t)
	w.dir.account.Keys = nil
	for _, i := range numbers {
		w.dir.account.Keys = append(w.dir.account.Keys, numbered(i))
	}
	return w
}

// of returns the code of the person's token at that place, so many steps from now.
func (w *world) of(place int, offset int64) string {
	w.t.Helper()
	k := w.dir.account.Keys[place]
	c, err := k.Code(k.Step(w.now) + offset)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) stateOf(place int) State { return w.mem.states[w.dir.account.Keys[place].ID()] }

func TestAnyTokenGetsIn(t *testing.T) {
	w := newTokens(t, 0, 1, 2)
	w.dir.account.Keys[1].Digits, w.dir.account.Keys[1].Label = 8, "in the drawer"
	w.dir.account.Keys[2].Algorithm, w.dir.account.Keys[2].Period = SHA512, time.Minute
	for place, label := range []string{"1", "in the drawer", "3"} {
		if d := w.must("secret"+w.of(place, 0), Accepted, None); d.Token != label {
			t.Errorf("token %d is called %q, want %q", place, d.Token, label)
		}
		if d := w.replayed("secret" + w.of(place, 0)); d.Token != label {
			t.Errorf("replay of token %d is of %q, want %q", place, d.Token, label)
		}
	}
	for place := range w.dir.account.Keys {
		if s := w.stateOf(place); len(s.Spent) != 1 || s.Clock.At != start {
			t.Errorf("token %d has %+v", place, s)
		}
	}
	if len(w.dir.asked) != 3 || slices.Contains(w.dir.asked, "") {
		t.Errorf("passwords checked: %q", w.dir.asked)
	}
}

// One clock is off, and the other is not taken to be.
func TestEachTokenHasItsOwnClock(t *testing.T) {
	w := newTokens(t, 0, 1)
	w.must("secret"+w.of(1, 120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	if d := w.must("secret"+w.of(1, 120), Accepted, None); !d.Resynchronized || d.Token != "2" || d.Offset < 55*time.Minute {
		t.Errorf("%+v", d)
	}
	w.now = w.now.Add(time.Hour)
	w.must("secret"+w.of(1, 120), Accepted, None)
	w.must("secret"+w.of(0, 120), Refused, OutOfStep)
	w.must("secret"+w.of(0, 0), Accepted, None)
	if c := w.stateOf(0).Clock; c.Offset.High > 2*time.Minute {
		t.Errorf("%+v", c)
	}
}

// A code that two tokens show is good for a login with each.
func TestCodeThatIsSpentUnderOneKeyAndRightUnderAnother(t *testing.T) {
	for _, numbers := range [][]int{{0, twin}, {twin, 0}} {
		w := newTokens(t, numbers...)
		code := w.of(0, 0)
		if code != w.of(1, 0) {
			t.Fatal("the codes differ")
		}
		for _, label := range []string{"1", "2"} {
			if d := w.must("secret"+code, Accepted, None); d.Token != label {
				t.Errorf("by token %q, want %q", d.Token, label)
			}
		}
		w.replayed("secret" + code)
		if a, b := w.stateOf(0), w.stateOf(1); len(a.Spent) != 1 || len(b.Spent) != 1 {
			t.Errorf("spent %v, %v", a.Spent, b.Spent)
		}
	}
}

// What keeps the code of one token out does not keep out the same digits of
// another.
func TestTooEarlyUnderOneKeyAndRightUnderAnother(t *testing.T) {
	w := newTokens(t, 0, twin)
	w.SetForwardOnly(true)
	code := w.of(0, 0)
	w.must("secret"+w.of(0, 1), Accepted, None)
	if d := w.must("secret"+code, Accepted, None); d.Token != "2" {
		t.Errorf("by token %q", d.Token)
	}
}

func TestKeyThatIsThereTwiceIsOne(t *testing.T) {
	w := newTokens(t, 0, 0)
	w.dir.account.Keys[1].Digits = 8
	w.must("secret000000", Refused, WrongCode)
	if n := w.stateOf(0).Failures; n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
	if d := w.must("secret"+w.of(0, 0), Accepted, None); d.Token != "" {
		t.Errorf("one of several: %q", d.Token)
	}
	if st, err := w.Standing(t.Context(), w.dir.account); err != nil || len(st.Tokens) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestNumberOfTokens(t *testing.T) {
	for _, tt := range []struct {
		tokens int
		cause  string
	}{{0, "no token"}, {MaxKeys, ""}, {MaxKeys + 1, "more than 8 tokens"}} {
		w := newTokens(t)
		for i := range tt.tokens {
			w.dir.account.Keys = append(w.dir.account.Keys, numbered(i))
		}
		if tt.cause == "" {
			w.must("secret"+w.of(tt.tokens-1, 0), Accepted, None)
			continue
		}
		if d := w.must("secret123456", Refused, Unusable); d.Reason.Cause != tt.cause {
			t.Errorf("%d tokens: %q, want %q", tt.tokens, d.Reason.Cause, tt.cause)
		}
		_, standing := w.Standing(t.Context(), w.dir.account)
		_, explain := w.Explain(t.Context(), w.dir.account, opaque.Text("123456"))
		_, resync := w.Resync(t.Context(), w.dir.account, opaque.Text("123456"), opaque.Text("123456"))
		_, unlock := w.Unlock(t.Context(), w.dir.account)
		for _, err := range []error{standing, explain, resync, unlock, w.ResetClock(t.Context(), w.dir.account)} {
			if refused := (*AccountError)(nil); !errors.As(err, &refused) || refused.Cause != tt.cause {
				t.Errorf("%d tokens: %v", tt.tokens, err)
			}
		}
	}
	w := newTokens(t, 0, 1)
	w.dir.account.Keys[1].Digits = 7
	if d := w.must("secret"+w.of(0, 0), Refused, Unusable); d.Reason.Cause != "token 2: 7 digits, want 6 or 8" {
		t.Errorf("%q", d.Reason.Cause)
	}
}

func TestNoCodeOfAnyToken(t *testing.T) {
	w := newTokens(t, 0, 1)
	for digits, want := range map[int]string{6: "no code of 6 digits in what was typed", 8: "no code of 6 or 8 digits in what was typed"} {
		w.dir.account.Keys[1].Digits = digits
		if d := w.must("secret", Refused, NoCode); d.Reason.String() != want || d.Token != "" {
			t.Errorf("%+v", d)
		}
	}
}

// However a password and codes of 6 and 8 digits run together, there is one bind,
// with the right password.
func TestOneBindWithCodesOfBothLengths(t *testing.T) {
	for _, password := range []string{"secret", "12345678", "x123456", "123456x", "99", "secret,", "12345678901234"} {
		for place := range 3 {
			for _, form := range []string{"PC", "CP", "P,C", "C,P"} {
				w := newTokens(t, 0, 1, 2)
				w.dir.account.Keys[1].Digits = 8
				w.dir.password = password
				r := Request{User: "alice", Policy: Policy{Separator: ','},
					Typed: opaque.Text(strings.NewReplacer("P", password, "C", w.of(place, 0)).Replace(form))}
				if password == "secret," {
					r.Policy = Policy{}
				}
				if strings.Contains(form, ",") != (r.Policy.Separator != 0) {
					continue
				}
				d, err := w.Verify(t.Context(), r)
				if err != nil || d.Outcome != Accepted || len(w.dir.asked) != 1 || d.Token != fmt.Sprint(place+1) {
					t.Errorf("%s with password %q, token %d: %+v, %v, asked %q", form, password, place, d, err, w.dir.asked)
				}
			}
		}
	}
}

func TestFailuresCountOnEveryToken(t *testing.T) {
	w := newTokens(t, 0, 1, 2)
	for i := range 5 {
		w.now = w.now.Add(time.Minute)
		w.fail("home", i)
		w.fail("home", i) // sent again
	}
	for place := range 3 {
		if s := w.stateOf(place); s.Failures != 5 || s.source("home").Count != 5 {
			t.Errorf("token %d: %+v", place, s)
		}
	}
	w.must("wrong"+w.of(1, 0), Refused, WrongPassword)
	if a, b := w.stateOf(0).Failures, w.stateOf(1).Failures; a != 6 || b != 6 {
		t.Errorf("%d, %d failures", a, b)
	}
}

// Each record alone is enough to hold up all tokens.
func TestAnyTokenHoldsUpAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    State
	}{
		{"locked", State{Failures: DefaultMaxFailures}},
		{"a source that has to wait", State{Failures: 9, Sources: []SourceFailures{{Source: "192.0.2.1", Count: 9, Last: start}}}},
	} {
		for from := range 2 {
			for with := range 2 {
				w := newTokens(t, 0, 1)
				w.mem.states[w.dir.account.Keys[from].ID()] = tt.s
				w.must("secret"+w.of(with, 0), Refused, Locked)
				st, err := w.Standing(t.Context(), w.dir.account)
				if err != nil || st.Failures != int(tt.s.Failures) || st.Locked != (tt.s.Sources == nil) || len(st.Waiting) != len(tt.s.Sources) {
					t.Errorf("%s: %+v, %v", tt.name, st, err)
				}
				if n, err := w.Unlock(t.Context(), w.dir.account); n != int(tt.s.Failures) || err != nil {
					t.Errorf("%s: unlocked %d, %v", tt.name, n, err)
				}
				w.must("secret"+w.of(with, 0), Accepted, None)
			}
		}
	}
}

// The longest wait counts, and is told once.
func TestLongestWaitOfTheTokens(t *testing.T) {
	w := newTokens(t, 0, 1)
	for place, count := range []uint32{5, 7} {
		w.mem.states[w.dir.account.Keys[place].ID()] = State{Failures: count, Sources: []SourceFailures{{Source: "192.0.2.1", Count: count, Last: start}}}
	}
	if d := w.must("secret"+w.of(0, 0), Refused, Locked); !d.Reason.Until.Equal(start.Add(16*time.Second)) || d.Reason.Failures != 7 || d.Token != "" {
		t.Errorf("%+v", d)
	}
	st, err := w.Standing(t.Context(), w.dir.account)
	if err != nil || len(st.Waiting) != 1 || st.Waiting[0].Failures != 7 || !st.Waiting[0].Until.Equal(start.Add(16*time.Second)) {
		t.Errorf("%+v, %v", st, err)
	}
}

// Failures that another server counts while a token is being claimed hold that
// token, whichever it is.
func TestFailuresMeetTheClaimOfAnyToken(t *testing.T) {
	for place := range 3 {
		w := newTokens(t, 0, 1, 2)
		other := New(w.dir, w.mem, w.Verifier.now)
		w.mem.before = func() {
			w.mem.before = nil
			for i := range freeFailures {
				r := Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%06d", i)), Source: "192.0.2.1"}
				if d, err := other.Verify(t.Context(), r); err != nil || d.Outcome != Refused {
					t.Errorf("the other server: %+v, %v", d, err)
				}
			}
		}
		w.must("secret"+w.of(place, 0), Refused, Locked)
	}
}

// A login with one token forgets the failures on all, and those of its source.
func TestLoginForgetsTheFailuresOnAllTokens(t *testing.T) {
	w := newTokens(t, 0, 1, 2)
	for i := range 3 {
		w.now = w.now.Add(time.Minute)
		w.fail("192.0.2.1", i)
		w.fail("elsewhere", i)
	}
	w.now = w.now.Add(time.Minute)
	w.must("secret"+w.of(1, 0), Accepted, None)
	for place := range 3 {
		if s := w.stateOf(place); s.Failures != 0 || s.source("192.0.2.1").Count != 0 || s.source("elsewhere").Count != 3 {
			t.Errorf("token %d: %+v", place, s)
		}
	}
	versions := w.mem.versions[w.dir.account.Keys[0].ID()]
	w.must("secret"+w.of(1, 1), Accepted, None)
	if now := w.mem.versions[w.dir.account.Keys[0].ID()]; now != versions {
		t.Error("another token was written for nothing")
	}
}

// brokenFor is a store that fails to write one record.
type brokenFor struct {
	*memory
	id  string
	err error
}

func (b *brokenFor) CompareAndSwap(ctx context.Context, id string, old Version, next State) error {
	if id == b.id && b.err != nil {
		return b.err
	}
	return b.memory.CompareAndSwap(ctx, id, old, next)
}

// Somebody who is in stays in, and what could not be forgotten is at the next
// login.
func TestFailuresThatCannotBeForgotten(t *testing.T) {
	for _, err := range []error{errors.New("away"), context.Canceled} {
		w := newTokens(t, 0, 1)
		b := &brokenFor{memory: w.mem, id: w.dir.account.Keys[1].ID()}
		w.Verifier = New(w.dir, b, w.Verifier.now)
		w.fail("x", 1)
		b.err = err
		w.must("secret"+w.of(0, 0), Accepted, None)
		if a, b := w.stateOf(0).Failures, w.stateOf(1).Failures; a != 0 || b != 1 {
			t.Errorf("%d, %d failures", a, b)
		}
		if _, got := w.login("secret000000"); !errors.Is(got, err) {
			t.Errorf("a failure that could be counted on one token only: %v", got)
		}
		b.err = nil
		w.must("secret"+w.of(0, 1), Accepted, None)
		if a, b := w.stateOf(0).Failures, w.stateOf(1).Failures; a != 0 || b != 0 {
			t.Errorf("%d, %d failures after the next login", a, b)
		}
	}
}

// Who logs in daily is never locked out by what was typed wrong in between, with
// whichever token, nor by what a crash has left to the next login to forget.
func TestOwnerOfTwoTokensIsNotLocked(t *testing.T) {
	long(t)
	t.Parallel()
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newTokens(t, 0, 1)
		b := &brokenFor{memory: w.mem, id: w.dir.account.Keys[1].ID()}
		w.Verifier = New(w.dir, b, w.Verifier.now)
		w.SetMaxFailures(20)
		for day := range 60 {
			for i := range rng.IntN(7) {
				w.now = w.now.Add(10 * time.Minute)
				w.fail(fmt.Sprint("source", rng.IntN(3)), 10*day+i)
			}
			w.now = w.now.Add(20 * time.Hour)
			with := 0
			switch {
			case day%2 == 0 && rng.IntN(2) == 0:
				b.err = errors.New("crashed after the claim")
			case rng.IntN(10) == 0:
				with = 1
			}
			d, err := w.login("secret" + w.of(with, 0))
			if err != nil || d.Outcome != Accepted {
				t.Fatalf("seed %d, day %d, token %d: %+v, %v", seed, day, with, d, err)
			}
			b.err = nil
		}
	}
}

// A token that has come to the account since has no failures of its own, and
// waits with the others.
func TestNewTokenWaitsWithTheOthers(t *testing.T) {
	w := newTokens(t, 0)
	for i := range 6 {
		w.now = w.now.Add(time.Minute)
		w.fail("192.0.2.1", i)
	}
	w.dir.account.Keys = append(w.dir.account.Keys, numbered(1))
	w.must("secret"+w.of(1, 0), Refused, Locked)
	w.now = w.now.Add(time.Minute)
	w.fail("192.0.2.1", 99)
	if a, b := w.stateOf(0).Failures, w.stateOf(1).Failures; a != 7 || b != 1 {
		t.Errorf("%d, %d failures", a, b)
	}
	w.now = w.now.Add(time.Minute)
	w.must("secret"+w.of(1, 0), Accepted, None)
}

// A code out of step that two tokens show by chance is remembered for both, so
// that the next one completes it, whose ever it is.
func TestFarCodeOfTwoTokens(t *testing.T) {
	w := newTokens(t, 0, 1)
	first, second, here := newCoder(numbered(0)), newCoder(numbered(1)), numbered(0).Step(w.now)
	distance := map[uint32]int64{}
	for off := farSteps; off > 20; off-- {
		distance[first.code(here+off)], distance[first.code(here-off)] = off, off
	}
	off := int64(100)
	for near := distance[second.code(here+off)]; near == 0 || near > off; near = distance[second.code(here+off)] {
		off++
	}
	if d := w.must("secret"+w.of(1, off), Refused, OutOfStep); d.Token != "1" {
		t.Errorf("the nearer is not token 1: %+v", d)
	}
	for place := range 2 {
		if f := w.stateOf(place).Far; len(f.Steps) == 0 || f.At != start {
			t.Errorf("token %d remembers %+v", place, f)
		}
	}
	w.now = w.now.Add(30 * time.Second)
	if d := w.must("secret"+w.of(1, off), Accepted, None); d.Token != "2" || !d.Resynchronized {
		t.Errorf("%+v", d)
	}
}

// The delay of a code out of step does not meet the one that completes it, though
// other tokens know nothing of either.
func TestResynchronizationOfOneOfSeveralDoesNotMeetItsDelay(t *testing.T) {
	for place := range 2 {
		w := newTokens(t, 0, 1)
		for i := range 6 {
			w.now = w.now.Add(10 * time.Minute)
			w.fail("192.0.2.1", i)
		}
		w.now = w.now.Add(10 * time.Minute)
		w.must("secret"+w.of(place, 120), Refused, OutOfStep)
		w.now = w.now.Add(10 * time.Second)
		w.must("secret"+w.of(place, 121), Accepted, None)
	}
}

// The next code is asked for whichever token it is of.
func TestNextCodeOfTheSecondToken(t *testing.T) {
	w := newTokens(t, 0, 1)
	ask := Request{User: "alice", Typed: opaque.Text("secret" + w.of(1, 120)), Policy: Policy{Challenge: true}, Source: "x"}
	first, err := w.Verify(t.Context(), ask)
	if err != nil || first.Outcome != Challenged || !first.NextCode || first.Token != "2" {
		t.Fatalf("%+v, %v", first, err)
	}
	w.now = w.now.Add(30 * time.Second)
	ask.Answering, ask.Kept, ask.Asked, ask.Typed = true, first.Keep, first.Asked, opaque.Text(w.of(1, 120))
	if d, err := w.Verify(t.Context(), ask); err != nil || d.Outcome != Accepted || !d.Resynchronized {
		t.Errorf("%+v, %v", d, err)
	}
}

// All codes of all tokens at once, each twice, at several servers: each gets in
// once.
func TestTokensRace(t *testing.T) {
	w := newTokens(t, 0, 1, 2)
	var servers []*Verifier
	for range 3 {
		servers = append(servers, New(w.dir, w.mem, func() time.Time { return start }))
	}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		accepted = map[string]int{}
	)
	for place := range 3 {
		for _, offset := range []int64{-1, 0} {
			code := w.of(place, offset)
			for i := range 4 {
				wg.Go(func() {
					r := Request{User: "alice", Typed: opaque.Text("secret" + code), Source: fmt.Sprint(i)}
					d, err := servers[i%len(servers)].Verify(t.Context(), r)
					if err != nil || d.Outcome != Accepted && d.Reason.Kind != Replayed {
						t.Errorf("%+v, %v", d, err)
					}
					mu.Lock()
					defer mu.Unlock()
					if d.Outcome == Accepted {
						accepted[code]++
					}
				})
			}
		}
	}
	wg.Wait()
	if len(accepted) != 6 {
		t.Errorf("%d of 6 codes got in", len(accepted))
	}
	for code, n := range accepted {
		if n != 1 {
			t.Errorf("%s got in %d times", code, n)
		}
	}
	for place := range 3 {
		if s := w.stateOf(place); len(s.Spent) != 2 || s.Failures != 0 {
			t.Errorf("token %d: %+v", place, s)
		}
	}
}

// Tokens do not multiply the guesses of a burst: there is one decision at a time
// about an account.
func TestBurstAtSeveralTokensIsThrottled(t *testing.T) {
	w := newTokens(t, 0, 1)
	looked := make(chan bool, 15)
	for i := range cap(looked) {
		go func() {
			d, err := w.Verify(context.Background(), Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%06d", i)), Source: "attacker"})
			looked <- err != nil || d.Reason.Kind != Locked
		}()
	}
	n := 0
	for range cap(looked) {
		if <-looked {
			n++
		}
	}
	if n != freeFailures {
		t.Errorf("%d guesses were looked at, want %d", n, freeFailures)
	}
}

// contested is a store where every write meets another, while it takes time.
type contested struct {
	*memory
	id string // of the record; all if empty
}

func (c contested) CompareAndSwap(ctx context.Context, id string, old Version, next State) error {
	if c.id == "" || id == c.id {
		time.Sleep(10 * time.Millisecond)
		return ErrConflict
	}
	return c.memory.CompareAndSwap(ctx, id, old, next)
}

// Whoever meets conflicts for ever ends when there is no time left.
func TestConflictsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTokens(t, 0, 1)
		w.Verifier = New(w.dir, contested{memory: w.mem}, w.Verifier.now)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, typed := range []string{"secret" + w.of(0, 0), "secret000000"} {
			d, err := w.Verify(ctx, Request{User: "alice", Typed: opaque.Text(typed)})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v, %v", d, err)
			}
		}
		if _, err := w.Unlock(ctx, w.dir.account); err != nil {
			t.Error(err) // there is nothing to write
		}
		if err := w.ResetClock(ctx, w.dir.account); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}

		w = newTokens(t, 0, 1)
		w.fail("x", 1)
		w.Verifier = New(w.dir, contested{w.mem, w.dir.account.Keys[1].ID()}, w.Verifier.now)
		before := time.Now()
		w.must("secret"+w.of(0, 0), Accepted, None)
		if took := time.Since(before); took < forgetTime || took > 2*forgetTime {
			t.Errorf("somebody who is in has waited %v", took)
		}
	})
}

func TestExplainSaysWhichToken(t *testing.T) {
	w := newTokens(t, 0, 1)
	w.dir.account.Keys[0].Digits, w.dir.account.Keys[1].Label = 8, "blue"
	w.must("secret"+w.of(1, -1), Accepted, None)
	other := w.dir.account.Keys[1]
	other.Algorithm = SHA256
	foreign, err := other.Code(other.Step(w.now))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, code, token string
		kind              Kind
	}{
		{"right", w.of(0, 0), "1", None},
		{"right", w.of(1, 0), "blue", None},
		{"out of step", w.of(0, 300), "1", OutOfStep},
		{"spent", w.of(1, -1), "blue", Replayed},
		{"with other parameters", foreign, "blue", WrongCode},
		{"of nobody's", "000000", "", WrongCode},
		{"none", "12345", "", NoCode},
	} {
		e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(tt.code))
		if err != nil || e.Reason.Kind != tt.kind || e.Key.Label != tt.token || e.Key.Bytes.Len() != 0 || e.Of != 2 || (e.Other.Period != 0) != (tt.code == foreign) {
			t.Errorf("%s: %+v, %v", tt.name, e, err)
		}
	}
}

func TestResyncFindsTheToken(t *testing.T) {
	w := newTokens(t, 0, 1)
	w.fail("x", 1)
	read := func(first, second string) Resynced {
		t.Helper()
		r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(first), opaque.Text(second))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read(w.of(1, 100), w.of(1, 101)); r.Reason.Kind != None || r.Token != "2" || r.Offset.High < 49*time.Minute {
		t.Errorf("%+v", r)
	}
	if r := read(w.of(1, 100), w.of(1, 101)); r.Reason.Kind != Replayed {
		t.Errorf("again: %+v", r)
	}
	if r := read(w.of(0, 100), w.of(1, 101)); r.Reason.Kind != WrongCode {
		t.Errorf("one code of each: %+v", r)
	}
	if a, b := w.stateOf(0), w.stateOf(1); len(a.Spent) != 0 || a.Clock != (Clock{}) || len(b.Spent) != 2 || b.Failures != 1 {
		t.Errorf("%+v, %+v", a, b)
	}
	if err := w.ResetClock(t.Context(), w.dir.account); err != nil || w.stateOf(1).Clock != (Clock{}) || len(w.stateOf(1).Spent) != 2 {
		t.Errorf("%+v, %v", w.stateOf(1), err)
	}
}

func TestStandingOfEachToken(t *testing.T) {
	w := newTokens(t, 0, 1)
	w.dir.account.Keys[0].Label = "blue"
	w.must("secret"+w.of(1, 0), Accepted, None)
	w.must("secret"+w.of(0, 120), Refused, OutOfStep)
	st, err := w.Standing(t.Context(), w.dir.account)
	if err != nil || len(st.Tokens) != 2 || st.Failures != 1 || st.Locked {
		t.Fatalf("%+v, %v", st, err)
	}
	blue, two := st.Tokens[0], st.Tokens[1]
	if blue.Key.Label != "blue" || len(blue.Recent) != 0 || len(blue.Far.Steps) == 0 || !blue.Clock.At.IsZero() || blue.Key.Bytes.Len() != 0 {
		t.Errorf("%+v", blue)
	}
	if two.Key.Label != "2" || len(two.Recent) != 1 || two.Clock.At != start || two.Key.Bytes.Len() != 0 {
		t.Errorf("%+v", two)
	}
}

// What each token more gives to somebody who guesses.
func TestOddsOfSeveralTokens(t *testing.T) {
	one, two, eight := OddsOf(20, 6, 1), OddsOf(20, 6, 2), OddsOf(20, 6, MaxKeys)
	if r := two.Lock / one.Lock; r < 1.99 || r > 2.01 {
		t.Errorf("two tokens give %.3f times the chance", r)
	}
	if r := eight.Lock / one.Lock; r < 7.9 || r > 8.1 || eight.Year <= two.Year {
		t.Errorf("eight tokens give %.3f times the chance", r)
	}
}

// HMAC pads a key with zeros to a block, and hashes a longer one (RFC 2104,
// section 2). So different octets make the same codes.
func TestKeysThatMakeTheSameCodesAreOne(t *testing.T) {
	long := strings.Repeat("k", 70)
	hashed := sha1.Sum([]byte(long))
	for _, tt := range []struct{ name, a, b string }{
		{"a zero at the end", "12345678901234567890", "12345678901234567890\x00"},
		{"zeros up to the block", "12345678901234567890", "12345678901234567890" + strings.Repeat("\x00", 44)},
		{"longer than the block", long, string(hashed[:])},
	} {
		t.Run(tt.name+", two tokens", func(t *testing.T) {
			w := newTokens(t, 0, 1)
			w.dir.account.Keys[0].Bytes, w.dir.account.Keys[1].Bytes = opaque.Text(tt.a), opaque.Text(tt.b)
			w.must("secret"+w.of(0, 0), Accepted, None)
			w.replayed("secret" + w.of(0, 0))
		})
		t.Run(tt.name+", enrolled again", func(t *testing.T) {
			w := newTokens(t, 0)
			w.dir.account.Keys[0].Bytes = opaque.Text(tt.a)
			code := w.of(0, 0)
			w.must("secret"+code, Accepted, None)
			w.dir.account.Keys[0].Bytes = opaque.Text(tt.b)
			w.replayed("secret" + code)
		})
	}
}
