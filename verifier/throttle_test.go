package verifier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// fail makes one failure from source that no other has the same input as.
func (w *world) fail(source string, i int) Decision {
	w.t.Helper()
	d, err := w.Verify(context.Background(), Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%d/000000", i)), Source: source})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestDelaysGrowAndEnd(t *testing.T) {
	for _, tt := range []struct {
		failures uint32
		want     time.Duration
	}{{0, 0}, {2, 0}, {3, time.Second}, {4, 2 * time.Second}, {8, 32 * time.Second}, {12, maxDelay}, {100, maxDelay}, {math.MaxUint32, maxDelay}} {
		if got := delay(tt.failures); got != tt.want {
			t.Errorf("delay(%d) = %v, want %v", tt.failures, got, tt.want)
		}
	}
}

func TestThrottleHoldsTheSourceAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.now = w.now.Add(time.Minute)
		if d := w.fail("attacker", i); d.Reason.Kind != WrongCode {
			t.Fatalf("failure %d: %q", i, d.Reason)
		}
	}
	if d := w.fail("attacker", 99); d.Reason.Kind != Locked || !d.Reason.Until.Equal(w.now.Add(32*time.Second)) {
		t.Errorf("reason %q, want locked for 32 s", d.Reason)
	}
	w.must("secret"+w.code(0), Accepted, None)
	if d := w.fail("attacker", 99); d.Reason.Kind != Locked {
		t.Errorf("the attacker's delay went away with a login from elsewhere: %q", d.Reason)
	}
	w.now = w.now.Add(32 * time.Second)
	if d := w.fail("attacker", 99); d.Reason.Kind != WrongCode {
		t.Errorf("after the delay: %q, want the code looked at", d.Reason)
	}
}

// While an account is held up, not even a right code is looked at, and no
// password is checked.
func TestRightCodeWaitsToo(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.now = w.now.Add(time.Minute)
		w.fail("192.0.2.1", i)
	}
	w.must("secret"+w.code(0), Refused, Locked)
	if len(w.dir.asked) != 0 {
		t.Error("a password was checked while locked")
	}
	w.now = w.now.Add(4 * time.Second)
	w.must("secret"+w.code(0), Accepted, None)
}

func TestHardLimit(t *testing.T) {
	w := newWorld(t)
	for i := range DefaultMaxFailures {
		if d := w.fail(fmt.Sprint("source", i), i); d.Reason.Kind != WrongCode {
			t.Fatalf("failure %d: %q", i, d.Reason)
		}
	}
	w.now = w.now.Add(1000 * time.Hour)
	d := w.must("secret"+w.code(0), Refused, Locked)
	if want := "locked after 100 failures in a row, until an admin unlocks"; d.Reason.String() != want {
		t.Errorf("reason %q, want %q", d.Reason, want)
	}
	if st, err := w.Standing(t.Context(), w.dir.account); err != nil || !st.Locked || st.Failures != 100 {
		t.Errorf("Standing = %+v, %v", st, err)
	}
	if n, err := w.Unlock(t.Context(), w.dir.account); n != 100 || err != nil {
		t.Errorf("Unlock = %d, %v", n, err)
	}
	w.must("secret"+w.code(0), Accepted, None)
	if st, err := w.Standing(t.Context(), w.dir.account); err != nil || st.Locked || st.Tokens[0].Recent[0].By != "vpn" || !st.Tokens[0].Recent[0].At.Equal(w.now) {
		t.Errorf("Standing = %+v, %v", st, err)
	}
}

func TestFailuresSurviveARestart(t *testing.T) {
	w := newWorld(t)
	for i := range 99 {
		w.fail(fmt.Sprint("source", i), i)
	}
	w.Verifier = New(w.dir, w.mem, w.Verifier.now)
	w.fail("last", 100)
	w.must("secret"+w.code(0), Refused, Locked)
}

func TestSameInputCountsOnceAMinute(t *testing.T) {
	w := newWorld(t)
	failures := func() int { return int(w.mem.states[testKey.ID()].Failures) }
	for range 10 {
		w.fail("vpn", 1)
	}
	if failures() != 1 {
		t.Errorf("%d failures, want 1", failures())
	}
	w.fail("elsewhere", 1)
	if failures() != 2 {
		t.Errorf("%d failures, want 2: another source is another try", failures())
	}
	w.fail("vpn", 2)
	w.now = w.now.Add(2 * time.Second)
	w.fail("vpn", 1)
	if failures() != 4 {
		t.Errorf("%d failures, want 4: only the last input is forgiven", failures())
	}
	w.now = w.now.Add(repeatAge)
	w.fail("vpn", 1)
	if failures() != 5 {
		t.Errorf("%d failures, want 5: a minute has passed", failures())
	}
}

// What proves nothing about guessing is not counted.
func TestNotCounted(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	for range 200 {
		w.replayed("secret" + w.code(0))
		w.must(w.code(1), Refused, NoPassword)
	}
	for i := range 200 {
		r := Request{User: "alice", Typed: opaque.Text(fmt.Sprint("password", i, "x")), Policy: Policy{Challenge: true}}
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Challenged {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if n := w.mem.states[testKey.ID()].Failures; n != 0 {
		t.Errorf("%d failures, want none", n)
	}
}

// A guess with a password in front must count although it is answered with a
// challenge, or codes could be guessed for nothing.
func TestGuessThatIsChallengedCounts(t *testing.T) {
	w := newWorld(t)
	r := Request{User: "alice", Typed: opaque.Text("secret000000"), Policy: Policy{Challenge: true}, Source: "x"}
	if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Challenged {
		t.Fatalf("%+v, %v", d, err)
	}
	if n := w.mem.states[testKey.ID()].Failures; n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
}

// Guesses sent at once are looked at one after the other, so that the delay
// stops them like any others.
func TestBurstIsThrottled(t *testing.T) {
	w := newWorld(t)
	results := make(chan Kind, 50)
	for i := range cap(results) {
		go func() {
			for {
				d, err := w.Verify(context.Background(), Request{User: "alice", Typed: opaque.Text(fmt.Sprintf("x%d/000000", i)), Source: "attacker"})
				if !errors.Is(err, errTooMany) {
					results <- d.Reason.Kind
					return
				}
			}
		}()
	}
	looked := 0
	for range cap(results) {
		if <-results != Locked {
			looked++
		}
	}
	if looked != freeFailures {
		t.Errorf("%d guesses of a burst were looked at, want %d", looked, freeFailures)
	}
}

func TestUnknownNamesLockLikeOthers(t *testing.T) {
	w := newWorld(t)
	try := func(i int) Decision {
		d, err := w.Verify(t.Context(), Request{User: "nobody", Typed: opaque.Text(fmt.Sprintf("x%d/000000", i)), Source: "s"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i := range freeFailures {
		if d := try(i); d.Reason.Kind != NotEnrolled {
			t.Fatalf("failure %d: %q", i, d.Reason)
		}
	}
	if d := try(9); d.Reason.Kind != Locked {
		t.Errorf("reason %q, want locked", d.Reason)
	}
}

// Other spellings of a name lock together, as they do for a name that is
// somebody's.
func TestUnknownNamesLockInEverySpelling(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"nobody", "Nobody", "NOBODY", "nObody"} {
		d, err := w.Verify(t.Context(), Request{User: name, Typed: opaque.Text(fmt.Sprintf("x%d/000000", i)), Source: "s"})
		if err != nil || (d.Reason.Kind == Locked) != (i >= freeFailures) {
			t.Errorf("%s: %q, %v", name, d.Reason, err)
		}
	}
}

func TestOneSourceIsRememberedOnce(t *testing.T) {
	w := newWorld(t)
	w.fail("first", 0)
	for i := range 20 {
		w.now = w.now.Add(10 * time.Minute)
		w.fail("second", i)
	}
	if s := w.mem.states[testKey.ID()].Sources; len(s) != 2 || s[0].Count != 20 || s[1].Count != 1 {
		t.Errorf("sources %+v", s)
	}
}

func TestClockPutBackHoldsNobodyUpForLong(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.now = w.now.Add(10 * time.Minute)
		w.fail("192.0.2.1", i)
	}
	w.must("secret"+w.code(0), Refused, Locked)
	w.now = w.now.Add(-24 * time.Hour)
	w.must("secret"+w.code(0), Accepted, None)
}

func TestStateStaysSmall(t *testing.T) {
	w := newWorld(t)
	for i := range 90 {
		w.fail(fmt.Sprint("source-with-a-name-that-is-very-long-", i, "-----------------------------------------------"), i)
	}
	s := w.mem.states[testKey.ID()]
	if len(s.Sources) != maxSources || len(s.Sources[0].Source) > maxSource || s.Failures != 90 {
		t.Errorf("%d sources, first %q, %d failures", len(s.Sources), s.Sources[0].Source, s.Failures)
	}
	for range 400 {
		w.now = w.now.Add(10 * time.Minute)
		w.must("secret"+w.code(0), Accepted, None)
	}
	if s := w.mem.states[testKey.ID()]; len(s.Spent) != keptSpent || len(s.Recent) != keptRecent {
		t.Errorf("%d spent, %d with details", len(s.Spent), len(s.Recent))
	}
}

// A password that looks like one with a wrong code is a failure. Its delay must
// not meet the right code that follows.
func TestAnswerDoesNotWaitForItsOwnQuestion(t *testing.T) {
	w := newWorld(t)
	w.dir.password = "Summer202612"
	for i := range 8 {
		w.now = w.now.Add(10 * time.Minute)
		w.fail("home", i)
	}
	w.now = w.now.Add(10 * time.Minute)
	ask := Request{User: "alice", Typed: opaque.Text("Summer202612"), Policy: Policy{Challenge: true}, Source: "home"}
	asked, err := w.Verify(t.Context(), ask)
	if err != nil || asked.Outcome != Challenged || asked.Reason.Kind != WrongCode {
		t.Fatalf("%+v, %v", asked, err)
	}
	w.now = w.now.Add(8 * time.Second)
	answer := ask
	answer.Answering, answer.Kept, answer.Asked = true, ask.Typed, asked.Asked
	answer.Typed = opaque.Text(w.code(0))
	if d, err := w.Verify(t.Context(), answer); err != nil || d.Outcome != Accepted {
		t.Errorf("the right code: %+v, %v", d, err)
	}
}

// However many challenges somebody has collected, one wrong answer ends the
// patience with all of them.
func TestCollectedChallengesGiveOneGuess(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.now = w.now.Add(10 * time.Minute)
		w.fail("home", i)
	}
	ask := Request{User: "alice", Typed: opaque.Text("secret"), Policy: Policy{Challenge: true}, Source: "home"}
	var answers []Request
	for i := range 20 {
		// The first ten while the source has to wait, the others when it need not.
		if i == 10 {
			w.now = w.now.Add(10 * time.Minute)
		}
		d, err := w.Verify(t.Context(), ask)
		if err != nil || d.Outcome != Challenged || (d.Reason.Kind == Locked) != (i < 10) || (i < 10) != d.Asked.IsZero() {
			t.Fatalf("challenge %d: %+v, %v", i, d, err)
		}
		answer := ask
		answer.Answering, answer.Kept, answer.Asked = true, ask.Typed, d.Asked
		answer.Typed = opaque.Text(fmt.Sprintf("%06d", i))
		answers = append(answers, answer)
	}
	w.now = w.now.Add(time.Second)
	looked := 0
	for i, answer := range append(answers[10:], answers[:10]...) {
		w.now = w.now.Add(time.Millisecond)
		d, err := w.Verify(t.Context(), answer)
		if err != nil || d.Outcome != Refused {
			t.Fatalf("answer %d: %+v, %v", i, d, err)
		}
		if d.Reason.Kind != Locked {
			looked++
		}
	}
	if looked != 1 {
		t.Errorf("%d guesses were looked at, want 1", looked)
	}
}

// A client that may be challenged sees the same of an account that is held up
// and of one that is not.
func TestHeldUpLooksLikeOthersWhenChallenged(t *testing.T) {
	w := newWorld(t)
	for i := range DefaultMaxFailures {
		w.fail(fmt.Sprint("source", i), i)
	}
	for _, typed := range []string{"secret", "secret000000", "secret" + w.code(0)} {
		r := Request{User: "alice", Typed: opaque.Text(typed), Policy: Policy{Challenge: true}}
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Challenged || d.Reason.Kind != Locked {
			t.Errorf("%q: %+v, %v", typed, d, err)
		}
		r.Answering, r.Kept, r.Typed = true, opaque.Text("secret"), opaque.Text(w.code(0))
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Refused {
			t.Errorf("answer after %q: %+v, %v", typed, d, err)
		}
	}
}

// A wrong password that an appliance sends again costs the directory no second
// bind, since the directory counts them.
func TestSameWrongPasswordIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.must("wrong"+w.code(0), Refused, WrongPassword)
	}
	if len(w.dir.asked) != 1 {
		t.Errorf("%d passwords checked, want 1", len(w.dir.asked))
	}
	w.must("secret"+w.code(0), Accepted, None)
}

// While the store is away, unknown names meet the same silence as others.
func TestUnknownNamesNeedTheStoreToo(t *testing.T) {
	w := newWorld(t)
	w.mem.err = errors.New("away")
	for _, p := range []Policy{{}, {Challenge: true}, {CodeOnly: true}} {
		for _, typed := range []string{"secret", "secret000000", "000000"} {
			d, err := w.Verify(t.Context(), Request{User: "nobody", Typed: opaque.Text(typed), Policy: p})
			if !errors.Is(err, w.mem.err) || !reflect.DeepEqual(d, Decision{}) {
				t.Errorf("%+v, %q: %+v, %v", p, typed, d, err)
			}
		}
	}
}

// One account cannot occupy everybody who could decide.
func TestFewMayWaitForOneAccount(t *testing.T) {
	var l locks
	k, err := l.acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 100)
	for range cap(results) {
		go func() { _, err := l.acquire(ctx, "x"); results <- err }()
	}
	for range cap(results) - maxWaiting {
		if err := <-results; !errors.Is(err, errTooMany) {
			t.Errorf("error %v, want too many", err)
		}
	}
	if other, err := l.acquire(t.Context(), "y"); err != nil {
		t.Errorf("another account: %v", err)
	} else {
		l.release(other)
	}
	cancel()
	for range maxWaiting {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want cancelled", err)
		}
	}
	l.release(k)
	if len(l.held) != 0 {
		t.Errorf("%d locks are left", len(l.held))
	}
}

// The same input stays a single failure and a single bind, also if its code was
// out of step at first.
func TestRepeatedInputThatComesToBeRight(t *testing.T) {
	w := newWorld(t)
	typed := "wrong" + w.code(2)
	w.must(typed, Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	for range 10 {
		w.must(typed, Refused, WrongPassword)
	}
	if n := w.mem.states[testKey.ID()].Failures; n != 1 || len(w.dir.asked) != 1 {
		t.Errorf("%d failures, %d passwords checked; want 1, 1", n, len(w.dir.asked))
	}
}

// What was wrong at one account is not taken for wrong at another that has the
// same key.
func TestSameInputAtAnotherAccountIsAsked(t *testing.T) {
	w := newWorld(t)
	typed := "other" + w.code(0)
	w.must(typed, Refused, WrongPassword)
	w.dir.account.Name, w.dir.password = "alice-admin", "other"
	d, err := w.Verify(t.Context(), Request{User: "alice-admin", Typed: opaque.Text(typed), Source: "192.0.2.1"})
	if err != nil || d.Outcome != Accepted {
		t.Errorf("%+v, %v", d, err)
	}
}

// Unknown names do not wait for one another.
func TestUnknownNamesDoNotCrowd(t *testing.T) {
	w := newWorld(t)
	errs := make(chan error, 500)
	for i := range cap(errs) {
		go func() {
			_, err := w.Verify(context.Background(), Request{User: fmt.Sprint("nobody", i), Typed: opaque.Text("x000000")})
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}
