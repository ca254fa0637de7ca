package verifier

import (
	"context"
	"fmt"
	"math"
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
	if n, err := w.Unlock(t.Context(), "id-1"); n != 100 || err != nil {
		t.Errorf("Unlock = %d, %v", n, err)
	}
	w.must("secret"+w.code(0), Accepted, None)
	if st, err := w.Standing(t.Context(), w.dir.account); err != nil || st.Locked || st.Last.By != "vpn" || !st.Last.At.Equal(w.now) {
		t.Errorf("Standing = %+v, %v", st, err)
	}
}

func TestFailuresSurviveARestart(t *testing.T) {
	w := newWorld(t)
	for i := range 99 {
		w.fail(fmt.Sprint("source", i), i)
	}
	w.Verifier = New(w.dir, w.mem, w.Now)
	w.fail("last", 100)
	w.must("secret"+w.code(0), Refused, Locked)
}

func TestSameInputCountsOnceAMinute(t *testing.T) {
	w := newWorld(t)
	failures := func() int { return int(w.mem.states["id-1"].Failures) }
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
		w.must("secret"+w.code(0), Refused, Replayed)
		w.must(w.code(1), Refused, NoPassword)
	}
	for i := range 200 {
		r := Request{User: "alice", Typed: opaque.Text(fmt.Sprint("password", i, "x")), Policy: Policy{Challenge: true}}
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Challenged {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if n := w.mem.states["id-1"].Failures; n != 0 {
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
	if n := w.mem.states["id-1"].Failures; n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
}

// Guesses sent at once are looked at one after the other, so that the delay
// stops them like any others.
func TestBurstIsThrottled(t *testing.T) {
	w := newWorld(t)
	results := make(chan Kind, 50)
	for i := range cap(results) {
		go func() { results <- w.fail("attacker", i).Reason.Kind }()
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
	if s := w.mem.states["id-1"].Sources; len(s) != 2 || s[0].Count != 20 || s[1].Count != 1 {
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
	s := w.mem.states["id-1"]
	if len(s.Sources) != maxSources || len(s.Sources[0].Source) > maxSource || s.Failures != 90 {
		t.Errorf("%d sources, first %q, %d failures", len(s.Sources), s.Sources[0].Source, s.Failures)
	}
	for range 200 {
		w.now = w.now.Add(time.Minute)
		w.must("secret"+w.code(0), Accepted, None)
	}
	if s := w.mem.states["id-1"]; len(s.Tokens) != 1 || len(s.Tokens[0].Spent) != maxSpent {
		t.Errorf("%d tokens, %d spent", len(s.Tokens), len(s.Tokens[0].Spent))
	}
	for i := range 20 {
		w.dir.account.Key.Bytes = opaque.Text(fmt.Sprintf("key number %010d", i))
		w.must("secret"+w.code(0), Accepted, None)
	}
	if s := w.mem.states["id-1"]; len(s.Tokens) != maxTokens {
		t.Errorf("%d tokens", len(s.Tokens))
	}
}

func TestChance(t *testing.T) {
	for _, tt := range []struct {
		failures, digits int
		want             float64
	}{{100, 6, 2.9996e-4}, {1, 6, 3e-6}, {100, 8, 3e-6}, {0, 6, 0}} {
		if got := Chance(tt.failures, tt.digits); math.Abs(got-tt.want) > tt.want*1e-3 {
			t.Errorf("Chance(%d, %d) = %g, want %g", tt.failures, tt.digits, got, tt.want)
		}
	}
}
