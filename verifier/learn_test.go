package verifier

import (
	"context"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// slowDirectory takes its time over passwords.
type slowDirectory struct {
	now *time.Time
	by  time.Duration
}

func (d slowDirectory) Account(name string) (Account, error) {
	return Account{ID: name, Name: name, Keys: []Key{testKey}}, nil
}

func (d slowDirectory) CheckPassword(context.Context, Account, opaque.Bytes) (PasswordInfo, error) {
	*d.now = d.now.Add(d.by)
	return PasswordInfo{}, nil
}

// What a directory takes is not on the person's account: D ends when the code
// arrives.
func TestSlowDirectoryTeachesNothingWrong(t *testing.T) {
	now := start
	mem := &memory{states: map[string]State{}, versions: map[string]Version{}}
	v := New(slowDirectory{&now, 4 * time.Second}, mem, func() time.Time { return now })
	for i := range 2000 {
		now = now.Add(8*time.Hour + 1700*time.Millisecond)
		code, err := testKey.Code(testKey.Step(now.Add(-time.Duration(i%47) * time.Second))) // a right device
		if err != nil {
			t.Fatal(err)
		}
		d, err := v.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret" + code)})
		if err != nil || d.Outcome != Accepted {
			t.Fatalf("login %d: %+v, %v", i, d, err)
		}
		if o := mem.states[testKey.ID()].Clock.at(testKey, now); o.Low > 0 || o.High < 0 {
			t.Fatalf("login %d: the device is right, and %v does not hold that", i, o)
		}
	}
}

// The clock of half a year ago says nothing about a device that was set since.
func TestOldFormerClockTeachesNothing(t *testing.T) {
	s, set := State{}, start.AddDate(0, 6, 0)
	at := func(offset time.Duration, t time.Time) { s = s.learn(testKey, testKey.Step(t.Add(offset)), t) }
	at(-2*time.Minute, start)
	for day := time.Hour; start.Add(day).Before(set); day += 24 * time.Hour {
		at(0, start.Add(day))
	}
	at(90*time.Second, set)
	if c := s.Clock; c.Since != set || c.Rate != (Rates{-maxRate, maxRate}) {
		t.Errorf("a device that was set at %v: %+v", set, c)
	}
}

// The helpdesk is told what is in the way, and not that all is well.
func TestResyncByAdminSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	w.now = w.now.Add(20 * time.Second)
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(w.code(-2)), opaque.Text(w.code(-1))); err != nil || r.Reason.String() != "replayed (20 s ago, by vpn)" {
		t.Errorf("the second code was used: %+v, %v", r, err)
	}
	w = newWorld(t)
	w.SetForwardOnly(true)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	w.must("secret"+w.code(120), Accepted, None)
	w.now = w.now.Add(10 * time.Minute)
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(w.code(0)), opaque.Text(w.code(1))); err != nil || r.Reason.Kind != TooEarly {
		t.Errorf("forward_only refuses the codes at the login: %+v, %v", r, err)
	}
}

// While nothing may be learned, a device that is back where it was before it was
// set is known to be there, and no better than before.
func TestSetBackWhileNothingIsLearned(t *testing.T) {
	w := newWorld(t)
	w.SetTrusted(func() bool { return false })
	for _, off := range []int64{120, -120} {
		w.must("secret"+w.code(off), Refused, OutOfStep)
		w.now = w.now.Add(30 * time.Second)
		w.must("secret"+w.code(off), Accepted, None)
	}
	before := w.state()
	w.now = w.now.Add(time.Hour)
	w.must("secret"+w.code(120), Accepted, None)
	if s := w.state(); s.Clock != before.Former || s.Former != before.Clock {
		t.Errorf("clock %+v and former %+v became %+v and %+v", before.Clock, before.Former, s.Clock, s.Former)
	}
}

// Step 0 cannot be told from none in a State, and is no step.
func TestTheFirstStepOf1970(t *testing.T) {
	w := newWorld(t)
	w.now = time.Unix(10, 0)
	w.must("secret"+w.code(0), Refused, WrongCode)
	if n := len(w.state().Spent); n != 0 {
		t.Errorf("%d steps are spent", n)
	}
}
