package verifier

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// fails has so many wrong codes tried at a world's account.
func (w *world) fails(n int) {
	w.t.Helper()
	for range n {
		d, err := w.Verify(w.t.Context(), Request{User: "alice", Typed: opaque.Text("secret000000"), Client: "vpn", Source: "192.0.2.1"})
		if err != nil || d.Reason.Kind != WrongCode {
			w.t.Fatal(d.Reason, err)
		}
		w.now = w.now.Add(10 * time.Minute)
	}
}

// An admin who unlocks while a login waits for the directory finds the failures, and
// they stay forgotten when the password turns out to be wrong.
func TestWhatIsUnlockedMeanwhileStaysUnlocked(t *testing.T) {
	w := newWorld(t)
	w.fails(5)
	found, asked := -1, false
	w.dir.err = nil
	unlock := func() {
		asked = true
		var err error
		if found, err = w.Unlock(context.Background(), w.dir.account); err != nil {
			t.Error(err)
		}
	}
	w.waiting = waitingFunc(func(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() func()) (PasswordInfo, error) {
		meanwhile()
		unlock()
		return w.dir.CheckPassword(ctx, a, password)
	})
	w.dir2(unlock)
	w.must("wrong"+w.code(0), Refused, WrongPassword)
	if s := w.mem.states[testKey.ID()]; !asked || found != 5 || s.Failures != 1 {
		t.Errorf("%d failures found by the admin, want 5; %d afterwards, want 1", found, s.Failures)
	}
}

// Another account with the same key, at which a wrong code is tried while a login waits,
// does not have the failures of before forgotten, nor is it let past them.
func TestAnotherAccountWithTheKeyBringsNoFailuresOutOfMind(t *testing.T) {
	w := newWorld(t)
	w.fails(5)
	other := newWorld(t)
	other.mem = w.mem
	other.dir.account.ID, other.dir.account.Name = "id-2", "bob"
	other.Verifier = New(other.dir, w.mem, func() time.Time { return w.now })
	during := func() {
		if _, err := other.Verify(t.Context(), Request{User: "bob", Typed: opaque.Text("secret000000"), Client: "vpn", Source: "elsewhere"}); err != nil {
			t.Error(err)
		}
	}
	w.waiting = waitingFunc(func(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() func()) (PasswordInfo, error) {
		meanwhile()
		during()
		return w.dir.CheckPassword(ctx, a, password)
	})
	w.dir2(during)
	w.must("wrong"+w.code(0), Refused, WrongPassword)
	if s := w.mem.states[testKey.ID()]; s.Failures != 7 {
		t.Errorf("%d failures, want 7", s.Failures)
	}
}

// Where the directory is away, and the code cannot be given back, the same login may
// come again: nobody has had an answer.
func TestALoginWithoutAnAnswerComesAgainThoughItsCodeIsSpent(t *testing.T) {
	w := newWorld(t)
	typed := "secret" + w.code(0)
	away := errors.New("the directory is away")
	w.dir.after = func() { w.dir.err, w.mem.err = away, errors.New("disk full") }
	if _, err := w.login(typed); err == nil {
		t.Fatal("decided")
	}
	w.dir.after, w.dir.err, w.mem.err = nil, nil, nil
	if !w.spentNow() {
		t.Fatal("the code was given back")
	}
	w.must("wrong"+w.code(0), Refused, Replayed)
	w.must(typed, Accepted, 0)
	w.now = w.now.Add(time.Second)
}

type waitingFunc func(context.Context, Account, opaque.Bytes, func() func()) (PasswordInfo, error)

func (f waitingFunc) CheckPasswordMeanwhile(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() func()) (PasswordInfo, error) {
	return f(ctx, a, password, meanwhile)
}

// dir2 has f called also where the password is checked without waiting.
func (w *world) dir2(f func()) {
	w.Verifier.dir = beforeDirectory{w.dir, f}
}

type beforeDirectory struct {
	Directory
	before func()
}

func (d beforeDirectory) CheckPassword(ctx context.Context, a Account, password opaque.Bytes) (PasswordInfo, error) {
	d.before()
	return d.Directory.CheckPassword(ctx, a, password)
}

// The RADIUS server survives a panic, and so does the code.
func TestAPanicLeavesNoCodeClaimed(t *testing.T) {
	w := newWorld(t)
	w.dir.after = func() { panic("in the directory") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		w.login("secret" + w.code(0))
	}()
	w.dir.after = nil
	w.must("secret"+w.code(0), Accepted, 0)
}
