package verifier

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// spentNow tells whether the store has the device's code of now as spent.
func (w *world) spentNow() bool {
	k := w.dir.account.Keys[0]
	s := w.mem.states[k.ID()]
	return s.spent(k.Step(w.now))
}

func TestACodeIsClaimedWhileTheDirectoryAnswers(t *testing.T) {
	w := newWorld(t)
	w.dir.during = func() {
		if w.spentNow() {
			t.Error("it was spent before the password was on its way")
		}
	}
	early := false
	w.dir.after = func() { early = w.spentNow() }
	w.must("secret"+w.code(0), Accepted, 0)
	if !early || !w.spentNow() {
		t.Errorf("spent before the answer: %v, after it: %v; want both", early, w.spentNow())
	}
	w.replayed("secret" + w.code(0))
}

// Whatever keeps somebody out whose code was claimed early, the State is as if it had
// not been, but for the failure that is counted.
func TestWhoIsKeptOutHasTheCodeBack(t *testing.T) {
	away := errors.New("the directory is away")
	for name, tt := range map[string]struct {
		typed     string // before the code
		dirErr    error
		authorize error
		want      Kind
		failed    bool // an error, no decision
	}{
		"a wrong password":              {typed: "wrong", want: WrongPassword},
		"a directory that is away":      {typed: "secret", dirErr: away, failed: true},
		"somebody who is not allowed":   {typed: "secret", authorize: &DeniedError{Cause: "after six"}, want: Denied},
		"nobody knows who is allowed":   {typed: "secret", authorize: away, failed: true},
		"a wrong password, and unasked": {typed: "wrong", authorize: away, want: WrongPassword},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must("secret"+w.code(0), Accepted, 0)
			w.now = w.now.Add(time.Hour)
			before := maps.Clone(w.mem.states)
			claimed := false
			w.dir.err, w.dir.after = tt.dirErr, func() { claimed = w.spentNow() }
			d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(tt.typed + w.code(0)), Client: "vpn", Source: "192.0.2.1",
				Authorize: func(context.Context, Account) error { return tt.authorize }})
			if (err != nil) != tt.failed || d.Outcome != Refused || d.Reason.Kind != tt.want {
				t.Fatalf("outcome %d, reason %q, %v", d.Outcome, d.Reason, err)
			}
			if !claimed {
				t.Error("nothing was claimed early")
			}
			for id, s := range w.mem.states {
				if tt.want == WrongPassword {
					if s.Failures != before[id].Failures+1 {
						t.Errorf("%d failures, want %d", s.Failures, before[id].Failures+1)
					}
					s.Failures, s.Sources = before[id].Failures, before[id].Sources
				}
				if !reflect.DeepEqual(s, before[id]) {
					t.Errorf("the State is %+v; want %+v", s, before[id])
				}
			}
			w.dir.err = nil
			if d := w.must("secret"+w.code(0), Accepted, 0); d.Repeated {
				t.Error("accepted as the same login come again")
			}
		})
	}
}

func TestNobodyIsAcceptedByAnEarlyClaimThatFailed(t *testing.T) {
	full := errors.New("disk full")
	for name, tt := range map[string]struct {
		password string
		err      error // of the store
		quicker  bool  // another claims it first
		want     Kind
		failed   bool
	}{
		"the store fails":                     {password: "secret", err: full, failed: true},
		"the store fails, a wrong password":   {password: "wrong", err: full, failed: true},
		"another was quicker":                 {password: "secret", quicker: true, want: Replayed},
		"another was quicker, wrong password": {password: "wrong", quicker: true, want: WrongPassword},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			code := w.code(0)
			w.dir.during = func() {
				w.mem.err = tt.err
				if tt.quicker {
					w.dir.during = nil
					k := w.dir.account.Keys[0]
					s := w.mem.states[k.ID()].spend(k, Spent{Step: k.Step(w.now), At: stamp(w.now), By: "other"})
					if err := w.mem.CompareAndSwap(t.Context(), k.ID(), w.mem.versions[k.ID()], s); err != nil {
						t.Fatal(err)
					}
				}
			}
			d, err := w.login(tt.password + code)
			if (err != nil) != tt.failed || d.Outcome != Refused || d.Reason.Kind != tt.want {
				t.Errorf("outcome %d, reason %q, %v", d.Outcome, d.Reason, err)
			}
			if tt.quicker && !w.spentNow() {
				t.Error("the code of the quicker one is good again")
			}
		})
	}
}

// A claim of which the store cannot say whether it was written is given back if it
// was, and the password is wrong.
func TestAClaimThatMayBeWrittenIsGivenBack(t *testing.T) {
	w := newWorld(t)
	lost := errors.New("no answer from the disk")
	store := &lossy{memory: w.mem, err: lost}
	w.Verifier = New(w.dir, store, func() time.Time { return w.now })
	w.SetSole(true)
	if d, err := w.login("wrong" + w.code(0)); err != nil || d.Reason.Kind != WrongPassword {
		t.Fatalf("reason %q, %v", d.Reason, err)
	}
	w.must("secret"+w.code(0), Accepted, 0)
}

// lossy writes, and says once that nobody can tell.
type lossy struct {
	*memory
	err error
}

func (l *lossy) CompareAndSwap(ctx context.Context, id string, old Version, next State) error {
	err := l.memory.CompareAndSwap(ctx, id, old, next)
	if err == nil {
		err, l.err = l.err, nil
	}
	return err
}

func TestWhatAnAdminDidMeanwhileStays(t *testing.T) {
	for name, change := range map[string]func(*world) error{
		"unlocked":    func(w *world) error { _, err := w.Unlock(context.Background(), w.dir.account); return err },
		"clock reset": func(w *world) error { return w.ResetClock(context.Background(), w.dir.account) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for range 2 { // failures from elsewhere
				d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret000000"), Client: "vpn", Source: "elsewhere"})
				if err != nil || d.Reason.Kind != WrongCode {
					t.Fatal(d.Reason, err)
				}
				w.now = w.now.Add(2 * time.Minute)
			}
			w.must("secret"+w.code(0), Accepted, 0) // which leaves those alone
			w.now = w.now.Add(time.Hour)
			var changed State
			w.dir.after = func() {
				if err := change(w); err != nil {
					t.Error(err)
				}
				changed = w.mem.states[testKey.ID()]
			}
			w.must("wrong"+w.code(0), Refused, WrongPassword)
			s := w.mem.states[testKey.ID()]
			if !reflect.DeepEqual(s.Clock, changed.Clock) || s.Failures != changed.Failures+1 {
				t.Errorf("the admin's change is gone: %+v, want %+v and a failure", s, changed)
			}
		})
	}
}

func TestWhatIsNotClaimedEarly(t *testing.T) {
	early := func(t *testing.T, w *world, r Request) bool {
		claimed := false
		w.dir.after = func() { claimed = true }
		r.User, r.Client, r.Source = "alice", "vpn", "192.0.2.1"
		if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Accepted {
			t.Fatalf("outcome %d, reason %q, %v", d.Outcome, d.Reason, err)
		}
		return claimed
	}
	t.Run("where others share the store", func(t *testing.T) {
		w := newWorld(t)
		w.SetSole(false)
		if early(t, w, Request{Typed: opaque.Text("secret" + w.code(0))}) {
			t.Error("claimed early")
		}
	})
	t.Run("where the server has a name among others", func(t *testing.T) {
		w := newWorld(t)
		w.SetServer("one of two")
		if early(t, w, Request{Typed: opaque.Text("secret" + w.code(0))}) {
			t.Error("claimed early")
		}
	})
	t.Run("a code that the directory checks", func(t *testing.T) {
		w := newWorld(t)
		w.dir.account.Keys, w.dir.account.Delegated, w.dir.password = nil, true, "secret123456"
		if early(t, w, Request{Typed: opaque.Text("secret123456")}) {
			t.Error("claimed early")
		}
	})
	t.Run("a code alone", func(t *testing.T) {
		w := newWorld(t)
		if early(t, w, Request{Typed: opaque.Text(w.code(0)), Policy: Policy{CodeOnly: true}}) {
			t.Error("claimed early")
		}
	})
	t.Run("by a directory that does not wait", func(t *testing.T) {
		w := newWorld(t)
		w.dir.hasty = true
		w.dir.after = nil
		w.must("secret"+w.code(0), Accepted, 0)
		w.replayed("secret" + w.code(0))
	})
}

// The alarm about the server's clock goes by those who were let in.
func TestWhoIsRefusedRaisesNoAlarm(t *testing.T) {
	w := newWorld(t)
	w.must("wrong"+w.code(1), Refused, WrongPassword)
	if n := w.together.latest.Len(); n != 0 {
		t.Errorf("%d devices were seen, want none", n)
	}
}

// While the answer is awaited for long, the server may end, and whoever typed a wrong
// password with that code could not use it any more.
func TestACodeIsGivenBackWhileTheAnswerIsLate(t *testing.T) {
	w := newWorld(t)
	w.dir.late = true
	w.dir.after = func() {
		if w.spentNow() {
			t.Error("it is spent while the answer is late")
		}
	}
	w.must("wrong"+w.code(0), Refused, WrongPassword)
	w.must("secret"+w.code(0), Accepted, 0)
	if !w.spentNow() {
		t.Error("accepted, and not spent")
	}
	w.replayed("secret" + w.code(0))
}
