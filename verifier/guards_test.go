package verifier

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// Whatever is learned can be stored: a record that the store's codec refuses
// would be "could not tell" for ever. Devices here wander, are set, and the
// server's clock goes back.
func TestWhatIsLearnedCanBeStored(t *testing.T) {
	storable := func(c Clock) bool {
		whole := func(o Offsets) bool {
			return o.Low <= o.High && o.Low%time.Millisecond == 0 && o.High%time.Millisecond == 0
		}
		return c == Clock{} || whole(c.Offset) && whole(c.Start) && c.Rate.Low <= c.Rate.High && !c.Since.After(c.At) && c.At == stamp(c.At)
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		now, offset, s := start, time.Duration(0), State{}
		for i := range 100 {
			gap := time.Duration(r.ExpFloat64() * float64([]time.Duration{time.Minute, 10 * time.Hour, 300 * time.Hour}[r.IntN(3)]))
			if r.IntN(5) == 0 {
				gap = -gap
			}
			now, offset = now.Add(gap), offset+drift(gap, r.Int64N(2*maxRate+1)-maxRate)
			if r.IntN(20) == 0 {
				offset += time.Duration(r.Int64N(int64(time.Minute)))
			}
			s = s.learn(testKey, testKey.Step(now.Add(offset-time.Duration(r.Int64N(int64(entryDelay))))), now)
			if !storable(s.Clock) || !storable(s.Former) {
				t.Fatalf("seed %d, login %d: %+v", seed, i, s)
			}
		}
	}
}

// A server whose clock is put back goes on learning from the earlier time.
func TestLearningAfterTheServerWasPutBack(t *testing.T) {
	s := State{}.learn(testKey, testKey.Step(start), start)
	back := start.Add(-time.Hour)
	s = s.learn(testKey, testKey.Step(back), back)
	if c := s.Clock; c.Since != back || c.At != back || c.Start != c.Offset || s.Former != (Clock{}) {
		t.Errorf("%+v", s)
	}
}

// The first login of a device that nobody has seen is where learning begins.
func TestFirstObservation(t *testing.T) {
	for _, offset := range []int64{-1, 0} {
		seen := observation(testKey, testKey.Step(start)+offset, start, entryDelay)
		if got := (State{}).learn(testKey, testKey.Step(start)+offset, start); got.Clock != begin(seen, start) || got.Former != (Clock{}) {
			t.Errorf("%d: %+v", offset, got)
		}
	}
}

// The bounds of the model in numbers, which the documents quote.
func TestBoundsOfTheModel(t *testing.T) {
	k := testKey
	s := State{}.learn(k, k.Step(start)+40, start)
	if got := s.Clock.at(k, start.Add(10*24*time.Hour)); got.High-s.Clock.Offset.High != 51840*time.Millisecond {
		t.Errorf("after ten days at 60 ppm: %v wider", got.High-s.Clock.Offset.High)
	}
	s = State{}.learn(k, k.Step(start)+720, start).learn(k, k.Step(start), start)
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{-6 * 24 * time.Hour, true}, {6 * 24 * time.Hour, true}, {8 * 24 * time.Hour, false}, {-8 * 24 * time.Hour, false}} {
		now := start.Add(tt.after)
		if slices.Contains(s.Acceptable(k, now), k.Step(now)+720) != tt.want {
			t.Errorf("former clock after %v: want %v", tt.after, tt.want)
		}
	}
	wide := func(w time.Duration) int {
		c := Clock{At: start, Since: start, Offset: Offsets{time.Hour, time.Hour + w}}
		return len(State{Clock: c}.Acceptable(k, start))
	}
	if n, m := wide(4*time.Minute), wide(24*time.Hour); n != 2+11 || m != n {
		t.Errorf("%d steps of 4 min, %d of a day", n, m)
	}
}

// After a resynchronization the clock is known by both codes, each at its time.
func TestTwoCodesTellMoreThanOne(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	first, one := w.now, testKey.Step(w.now)+120
	w.now = w.now.Add(70 * time.Second)
	two := testKey.Step(w.now) + 120
	w.must("secret"+w.code(120), Accepted, None)
	c := w.state().Clock
	if c.Since != stamp(first) || c.At != stamp(w.now) || c.Start != observation(testKey, one, first, entryDelay) {
		t.Errorf("%+v", c)
	}
	if second := observation(testKey, two, w.now, entryDelay); c.Offset.High-c.Offset.Low >= second.High-second.Low || c.Offset != c.Offset.and(second) {
		t.Errorf("%v is no better than %v", c.Offset, second)
	}
}

// Who types slowly has not moved.
func TestSlowTypistsRaiseNoAlarm(t *testing.T) {
	o := newOffice(t, 40)
	for i := range o.devices {
		o.devices[i] = 0
	}
	for round := range 3 {
		for i := range o.devices {
			k := o.key(i)
			code, _ := k.Code(k.Step(o.true))
			if round > 0 {
				code, _ = k.Code(k.Step(o.true.Add(-44 * time.Second)))
			}
			o.v.Verify(t.Context(), Request{User: fmt.Sprint(i), Typed: opaque.Text(code), Policy: Policy{CodeOnly: true}})
			o.true = o.true.Add(10 * time.Second)
		}
		if a, on := o.v.Alarm(); on {
			t.Errorf("round %d: %v", round, a)
		}
		o.true = o.true.Add(8 * time.Hour)
	}
}

// Somebody else's far code, or one of another clock, does not stay in the way.
func TestLaterFarCodeTakesThePlace(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(700), Refused, OutOfStep)
	w.now = w.now.Add(10 * time.Second)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)

	w = newWorld(t) // and so does the same one when it has expired
	code := w.code(120)
	w.must("secret"+code, Refused, OutOfStep)
	w.now = w.now.Add(6 * time.Minute)
	w.must("secret"+code, Refused, OutOfStep)
	if f := w.state().Far; f.At != stamp(w.now) {
		t.Errorf("%+v at %v", f, w.now)
	}
}

// A code that stands at both ends of what was typed is remembered once: two
// equal steps do not decode.
func TestFarCodeAtBothEnds(t *testing.T) {
	w := newWorld(t)
	w.must(w.code(120)+"secret"+w.code(120), Refused, OutOfStep)
	if f := w.state().Far; len(f.Steps) != 1 {
		t.Errorf("%+v", f)
	}
}

// How far off a code is recognised, by period.
func TestReachOfTheSearch(t *testing.T) {
	for _, tt := range []struct {
		period, off time.Duration
		want        Kind
	}{
		{15, 12 * time.Hour, OutOfStep}, {15, -12 * time.Hour, OutOfStep}, {15, 13 * time.Hour, WrongCode},
		{30, 24 * time.Hour, OutOfStep}, {30, -24 * time.Hour, OutOfStep}, {30, 24*time.Hour + 30*time.Second, WrongCode}, {30, -24*time.Hour - 30*time.Second, WrongCode},
		{120, 24 * time.Hour, OutOfStep}, {120, -24 * time.Hour, OutOfStep}, {120, 26 * time.Hour, WrongCode},
	} {
		w := newWorld(t)
		w.dir.account.Keys[0].Digits, w.dir.account.Keys[0].Period = 8, tt.period*time.Second
		d := w.must("secret"+w.code(int64(tt.off/(tt.period*time.Second))), Refused, tt.want)
		if tt.want == OutOfStep && d.Reason.Offset != tt.off {
			t.Errorf("%+v: %v", tt, d.Reason.Offset)
		}
	}
}

// The nearest step names the offset, also behind; a spent step among the hits
// neither stays nor hides the others, wherever it comes.
func TestJudgeOfSeveralHits(t *testing.T) {
	w := newWorld(t)
	here, ways := testKey.Step(w.now), []split{{}}
	for _, tt := range []struct {
		name  string
		spent int64
		hits  []int64
		far   []int64
		near  int64
	}{
		{"behind and further ahead", 0, []int64{-50, 60}, []int64{-50, 60}, -50},
		{"ahead and further behind", 0, []int64{-900, 60}, []int64{-900, 60}, 60},
		{"spent first", -50, []int64{-50, 60}, []int64{60}, 60},
		{"spent last", 60, []int64{-50, 60}, []int64{-50}, -50},
	} {
		var s State
		if tt.spent != 0 {
			s = s.spend(testKey, Spent{Step: here + tt.spent, At: w.now})
		}
		var hits []hit
		for _, h := range tt.hits {
			hits = append(hits, hit{here + h, 0})
		}
		f, far := look{kept: &kept{token: token{key: testKey}, State: s}, ways: ways}.judge(hits, w.now)
		for i := range far {
			far[i] -= here
		}
		if !slices.Equal(far, tt.far) || f.reason.Kind != OutOfStep || f.reason.Offset != time.Duration(tt.near)*testKey.Period {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
	l := look{kept: &kept{token: token{key: testKey}, State: State{}.spend(testKey, Spent{Step: here, At: w.now})}, ways: ways, forward: true}
	if f, far := l.judge([]hit{{here + 300, 0}, {here - 100, 0}}, w.now); f.reason.Kind != OutOfStep || !slices.Equal(far, []int64{here + 300}) {
		t.Errorf("one too early: %+v", f)
	}
}

// What was used longer ago than details are kept is still no code of a clock
// that is off; and what was used days ago is still told from a wrong code.
func TestOldSpentCodes(t *testing.T) {
	w := newWorld(t)
	old := w.code(0)
	w.must("secret"+old, Accepted, None)
	for range keptRecent + 2 {
		w.now = w.now.Add(10 * time.Minute)
		w.must("secret"+w.code(0), Accepted, None)
	}
	w.must("secret"+old, Refused, Replayed)
	if f := w.state().Far; f.Steps != nil {
		t.Errorf("remembered %+v", f)
	}
	last := w.code(0)
	w.now = w.now.Add(3 * 24 * time.Hour)
	w.must("secret"+last, Refused, Replayed)
}

func TestBefore1970NoCodeIsRight(t *testing.T) {
	w := newWorld(t)
	w.now = time.Unix(-86400*365, 0)
	w.must("secret"+w.code(0), Refused, WrongCode)
}

// spend must not write into the array of the State that it came from.
func TestSpendLeavesTheArrayAlone(t *testing.T) {
	s := State{Spent: append(make([]int64, 0, 8), 10, 30)}
	s.spend(testKey, Spent{Step: 20})
	if !slices.Equal(s.Spent, []int64{10, 30}) {
		t.Errorf("%v", s.Spent)
	}
}

// Explain says too early also of a code that would be right otherwise.
func TestExplainTooEarly(t *testing.T) {
	w := newWorld(t)
	w.SetForwardOnly(true)
	w.must("secret"+w.code(0), Accepted, None)
	if e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(w.code(-1))); err != nil || e.Reason.Kind != TooEarly {
		t.Errorf("%+v, %v", e, err)
	}
	asked := len(w.dir.asked)
	w.must("secret"+w.code(-1), Refused, TooEarly)
	if len(w.dir.asked) != asked {
		t.Error("costs a bind")
	}
}

// A far code alone, where it could be challenged, says that it is out of step.
func TestFarCodeWithoutAPassword(t *testing.T) {
	w := newWorld(t)
	d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(w.code(300)), Policy: Policy{Challenge: true}, Source: "x"})
	if err != nil || d.Outcome != Challenged || d.NextCode || d.Reason.Kind != OutOfStep || len(w.dir.asked) != 0 {
		t.Errorf("%+v, %v, %d binds", d, err, len(w.dir.asked))
	}
}

// A later step that another server spends meanwhile counts for forward_only.
func TestForwardOnlyAfterAConflict(t *testing.T) {
	w := newWorld(t)
	w.SetForwardOnly(true)
	other := New(w.dir, w.mem, w.Verifier.now)
	w.mem.before = func() {
		w.mem.before = nil
		if d, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret" + w.code(0))}); err != nil || d.Outcome != Accepted {
			t.Errorf("the other server: %+v, %v", d, err)
		}
	}
	w.must("secret"+w.code(-1), Refused, TooEarly)
}

// The alarm hears of devices whose codes were accepted, and of guesses nothing.
func TestWhatTheAlarmHears(t *testing.T) {
	o := newOffice(t, 20)
	try := func(i int, off int64) {
		code, _ := o.key(i).Code(o.key(i).Step(o.true) + off)
		if _, err := o.v.Verify(t.Context(), Request{User: fmt.Sprint(i), Typed: opaque.Text(code), Policy: Policy{CodeOnly: true}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		try(i, 20)
	}
	if a, on := o.v.Alarm(); on {
		t.Errorf("five codes alone, which may be guesses: %+v", a)
	}
	for i := range 5 {
		try(i, 21)
	}
	if a, on := o.v.Alarm(); !on || a.Users != 5 || a.Of != 5 {
		t.Errorf("five who have resynchronized: %+v, %v", a, on)
	}
	for i := range 6 {
		try(5+i, 0)
	}
	if a, on := o.v.Alarm(); on {
		t.Errorf("six who are where they were: %+v", a)
	}
}

// A pair that was completed is forgotten.
func TestFarIsForgottenWhenSomebodyIsIn(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.must("secret"+w.code(0), Accepted, None)
	if f := w.state().Far; f.Steps != nil || !f.At.IsZero() {
		t.Errorf("%+v", f)
	}
}

// A last failure that the clock has left in the future holds nobody up, nor
// does it make what is typed now a repetition.
func TestFailureInTheFuture(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		w.fail("192.0.2.1", i)
	}
	s := w.state()
	if _, held := s.source("192.0.2.1").heldUntil(start.Add(-time.Hour)); held {
		t.Error("held up by a failure of an hour later")
	}
	r := Request{User: "alice", Typed: opaque.Text("x000005"), Source: "192.0.2.1"}
	a := attempt{Verifier: w.Verifier, account: w.dir.account}
	if _, again := a.repeated(&r, testKey, s, s.Sources[0].Last.Add(-time.Hour)); again {
		t.Error("a repetition of what comes in an hour")
	}
}

// Two inputs are the same only if all parts are, and not their sum.
func TestInputTellsItsParts(t *testing.T) {
	a := attempt{account: Account{Name: "alice"}}
	seen := map[uint16]string{}
	for _, r := range []Request{{Typed: opaque.Text("123456")}, {Kept: opaque.Text("1"), Typed: opaque.Text("23456")},
		{Kept: opaque.Text("12"), Typed: opaque.Text("3456")}, {Kept: opaque.Text("x"), Typed: opaque.Text("123456")}} {
		what := fmt.Sprintf("%s|%s", r.Kept.Reveal(), r.Typed.Reveal())
		if was, is := seen[a.input(&r, testKey)]; is {
			t.Errorf("%s and %s are one", was, what)
		}
		seen[a.input(&r, testKey)] = what
	}
}

// The clock that is learned is the one that the second code shows.
func TestResyncByAdminLearnsTheSecondCode(t *testing.T) {
	w := newWorld(t)
	here := testKey.Step(w.now)
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(w.code(99)), opaque.Text(w.code(100))); err != nil || r.Reason.Kind != None {
		t.Fatal(r, err)
	}
	if c := w.state().Clock; c != begin(observation(testKey, here+100, w.now, 3*time.Minute), w.now) {
		t.Errorf("%+v", c)
	}
}

// Whoever is unlocked need not wait either, also if nothing but a wait is left.
func TestUnlockEndsWaiting(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		w.fail("192.0.2.1", i)
	}
	w.must("secret"+w.code(0), Refused, Locked)
	if n, err := w.Unlock(t.Context(), w.dir.account); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	w.must("secret"+w.code(0), Accepted, None)

	w = newWorld(t)
	for i := range 6 {
		w.fail("elsewhere", i)
	}
	w.must("secret"+w.code(0), Accepted, None) // the count begins anew, elsewhere still waits
	if _, err := w.Unlock(t.Context(), w.dir.account); err != nil || len(w.state().Sources) != 0 {
		t.Error(w.state().Sources, err)
	}
}

// Nothing of the clock is left: neither the one before nor half a pair.
func TestResetClockForgetsAll(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	w.must("secret"+w.code(720), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(720), Accepted, None)
	w.now = w.now.Add(time.Minute)
	w.must("secret"+w.code(-500), Refused, OutOfStep)
	if s := w.state(); s.Former == (Clock{}) || s.Far.Steps == nil {
		t.Fatalf("nothing to forget: %+v", s)
	}
	if err := w.ResetClock(t.Context(), w.dir.account); err != nil {
		t.Fatal(err)
	}
	if s := w.state(); s.Clock != (Clock{}) || s.Former != (Clock{}) || s.Far.Steps != nil || !s.Far.At.IsZero() {
		t.Errorf("%+v", s)
	}
}

// An admin's change that meets a login is made all the same.
func TestChangeTriesAgainAfterAConflict(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	w.now = w.now.Add(time.Minute)
	w.mem.before = func() { w.mem.before = nil; w.must("secret"+w.code(0), Accepted, None) }
	if err := w.ResetClock(t.Context(), w.dir.account); err != nil || w.state().Clock != (Clock{}) || len(w.state().Spent) != 2 {
		t.Errorf("%+v, %v", w.state(), err)
	}
}

// Where a device is now is not where it was seen last.
func TestStandingIsOfNow(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	w.now = w.now.Add(100 * 24 * time.Hour)
	all, err := w.Standing(t.Context(), w.dir.account)
	st := all.Tokens[0]
	if want := w.state().Clock.at(testKey, w.now); err != nil || st.Offset != want || st.Offset == st.Clock.Offset {
		t.Errorf("%v, want %v; %v", st.Offset, want, err)
	}
}

func TestExplainMore(t *testing.T) {
	w := newWorld(t)
	old := w.code(0)
	w.must("secret"+old, Accepted, None)
	for range keptRecent + 1 {
		w.now = w.now.Add(10 * time.Minute)
		w.must("secret"+w.code(0), Accepted, None)
	}
	if e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(old)); err != nil || e.Reason.Kind != Replayed || !e.Spent.At.IsZero() {
		t.Errorf("spent nobody knows when: %+v, %v", e, err)
	}
	other := testKey
	other.Algorithm, other.Digits = SHA512, 8
	code, err := other.Code(other.Step(w.now.Add(8 * time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(code)); err != nil || e.Other.Algorithm != SHA512 || e.Other.Digits != 8 || e.Other.Bytes.Len() != 0 {
		t.Errorf("SHA512, 8 digits, 8 min fast: %+v, %v", e.Other, err)
	}
	for i := range DefaultMaxFailures {
		w.fail(fmt.Sprint("source", i), i)
	}
	if e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(w.code(0))); err != nil || !e.Locked {
		t.Errorf("locked at the limit: %+v, %v", e, err)
	}
}

// A typing error between two codes of an enrolment loses neither, and one code
// does within ten minutes either way, no further.
func TestConfirmBounds(t *testing.T) {
	code := func(off int64) opaque.Bytes {
		c, err := testKey.Code(testKey.Step(start) + off)
		if err != nil {
			t.Fatal(err)
		}
		return opaque.Text(c)
	}
	for _, tt := range []struct {
		off  int64
		want Kind
	}{{20, None}, {-20, None}, {21, OutOfStep}, {-21, OutOfStep}} {
		if c, err := Confirm(testKey, Far{}, code(tt.off), start); err != nil || c.Reason.Kind != tt.want {
			t.Errorf("%d: %+v, %v", tt.off, c, err)
		}
	}
	c, _ := Confirm(testKey, Far{}, code(-200), start)
	for _, typed := range []string{"12", "999999"} {
		c, _ = Confirm(testKey, c.Far, opaque.Text(typed), start)
	}
	if c, err := Confirm(testKey, c.Far, code(-199), start.Add(30*time.Second)); err != nil || c.Reason.Kind != None {
		t.Errorf("%+v, %v", c, err)
	}
}

// Seed is told of periods by whoever can reach the admin socket.
func TestSeedRefusesOddPeriods(t *testing.T) {
	w := newWorld(t)
	for _, period := range []time.Duration{0, time.Millisecond, -30 * time.Second, time.Hour} {
		if err := w.Seed(t.Context(), testKey.ID(), period, 1, time.Unix(0, 0)); err == nil {
			t.Errorf("%v: no error", period)
		}
	}
}

// Guesses at names that nobody has do not reach the alarm.
func TestUnknownNamesRaiseNoAlarm(t *testing.T) {
	w := newWorld(t)
	code, err := w.decoy.Code(w.decoy.Step(w.now) + 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		r := Request{User: fmt.Sprint("nobody", i), Typed: opaque.Text("x" + code), Source: fmt.Sprint(i)}
		if _, err := w.Verify(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if a, on := w.Alarm(); on {
		t.Errorf("%v", a)
	}
}

// A State that was loaded is left alone when a source is forgiven.
func TestForgiveLeavesTheArrayAlone(t *testing.T) {
	s := State{Sources: []SourceFailures{{Source: "a", Count: 1}, {Source: "b", Count: 2}}}
	next := s
	next.forgive("a")
	if len(next.Sources) != 1 || s.Sources[0].Source != "a" || s.Sources[1].Source != "b" {
		t.Errorf("%+v, %+v", s.Sources, next.Sources)
	}
}

// Half a pair is of no use once the helpdesk has set the clock.
func TestResyncByAdminForgetsFar(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(300), Refused, OutOfStep)
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(w.code(99)), opaque.Text(w.code(100))); err != nil || r.Reason.Kind != None || w.state().Far.Steps != nil {
		t.Errorf("%v, %v, %+v", r, err, w.state().Far)
	}
}
