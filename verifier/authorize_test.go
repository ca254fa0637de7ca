package verifier

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// doorman answers Authorize, and counts.
type doorman struct {
	err   error
	asked []string // IDs
	dir   *directory
	binds int // before it was asked
}

func (d *doorman) ask(_ context.Context, a Account) error {
	d.asked = append(d.asked, a.ID)
	d.binds = len(d.dir.asked)
	return d.err
}

func TestAuthorize(t *testing.T) {
	broken, denied := errors.New("broken"), error(&DeniedError{Cause: "not in the group vpn"})
	for _, tt := range []struct {
		name, typed string
		policy      Policy
		answers     string // and not the first of a challenge
		says        error
		want        Outcome
		kind        Kind
		asked       int
		binds       int
	}{
		{"allowed", "secretCODE", Policy{}, "", nil, Accepted, None, 1, 1},
		{"denied", "secretCODE", Policy{}, "", denied, Refused, Denied, 1, 1},
		{"denied in other words", "secretCODE", Policy{}, "", errors.Join(denied), Refused, Denied, 1, 1},
		{"could not tell", "secretCODE", Policy{}, "", broken, Refused, None, 1, 1},
		{"wrong password", "wrongCODE", Policy{}, "", denied, Refused, WrongPassword, 0, 1},
		{"no password", "CODE", Policy{}, "", denied, Refused, NoPassword, 0, 0},
		{"wrong code", "secret000000", Policy{}, "", denied, Refused, WrongCode, 0, 0},
		{"code alone, allowed", "CODE", Policy{CodeOnly: true}, "", nil, Accepted, None, 1, 0},
		{"code alone, denied", "CODE", Policy{CodeOnly: true}, "", denied, Refused, Denied, 1, 0},
		{"code alone, wrong", "000000", Policy{CodeOnly: true}, "", denied, Refused, WrongCode, 0, 0},
		{"may be challenged, denied", "secretCODE", Policy{Challenge: true}, "", denied, Refused, Denied, 1, 1},
		{"is challenged", "secret", Policy{Challenge: true}, "", denied, Challenged, NoCode, 0, 0},
		{"answers, allowed", "CODE", Policy{Challenge: true}, "secret", nil, Accepted, None, 1, 1},
		{"answers, denied", "CODE", Policy{Challenge: true}, "secret", denied, Refused, Denied, 1, 1},
		{"answers, could not tell", "CODE", Policy{Challenge: true}, "secret", broken, Refused, None, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			door := &doorman{err: tt.says, dir: w.dir}
			typed := tt.typed
			if n := len(typed) - len("CODE"); n >= 0 && typed[n:] == "CODE" {
				typed = typed[:n] + w.code(0)
			}
			r := Request{User: "alice", Typed: opaque.Text(typed), Policy: tt.policy, Authorize: door.ask}
			if tt.answers != "" {
				r.Answering, r.Kept = true, opaque.Text(tt.answers)
			}
			d, err := w.Verify(t.Context(), r)
			if tt.says == broken {
				if !errors.Is(err, broken) || !reflect.DeepEqual(d, Decision{}) {
					t.Errorf("%+v, %v", d, err)
				}
			} else if err != nil || d.Outcome != tt.want || d.Reason.Kind != tt.kind {
				t.Errorf("%+v, %v", d, err)
			}
			if len(door.asked) != tt.asked || tt.asked > 0 && (door.asked[0] != "id-1" || door.binds != tt.binds) || len(w.dir.asked) != tt.binds {
				t.Errorf("asked for %q after %d binds, %d binds in all", door.asked, door.binds, len(w.dir.asked))
			}
			spent := len(w.state().Spent)
			if (spent == 1) != (tt.want == Accepted) || (tt.kind == Denied || tt.says == broken) && w.state().Failures != 0 {
				t.Errorf("%d spent, %d failures", spent, w.state().Failures)
			}
		})
	}
}

// Whoever is denied has spent nothing and is not held up, however often they try;
// nor does it forget the failures of others.
func TestDeniedChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.fail("elsewhere", 1)
	before := w.state()
	door := &doorman{err: &DeniedError{Cause: "after six"}, dir: w.dir}
	r := Request{User: "alice", Typed: opaque.Text("secret" + w.code(0)), Source: "x", Authorize: door.ask}
	for range 10 {
		d, err := w.Verify(t.Context(), r)
		if err != nil || d.Reason.String() != "not allowed (after six), code right and not spent" {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if !reflect.DeepEqual(w.state(), before) {
		t.Errorf("%+v became %+v", before, w.state())
	}
	door.err = nil
	if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Accepted {
		t.Errorf("%+v, %v", d, err)
	}
}

// Nobody is asked about names that are nobody's, though their codes be guessed.
func TestDecoysAreNotAuthorized(t *testing.T) {
	w := newWorld(t)
	code, err := w.decoy.Code(w.decoy.Step(w.now))
	if err != nil {
		t.Fatal(err)
	}
	door := &doorman{dir: w.dir}
	for typed, p := range map[string]Policy{"x" + code: {}, code: {CodeOnly: true}, "y" + code: {Challenge: true}} {
		d, err := w.Verify(t.Context(), Request{User: "nobody", Typed: opaque.Text(typed), Policy: p, Authorize: door.ask})
		if err != nil || d.Outcome == Accepted {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if len(door.asked) != 0 {
		t.Errorf("asked %d times", len(door.asked))
	}
}

// What the directory says of a password goes with the Accept, and nowhere else.
func TestPasswordInfo(t *testing.T) {
	info := PasswordInfo{ExpiresIn: 72 * time.Hour}
	w := newWorld(t)
	w.dir.info = info
	if d := w.must("secret"+w.code(0), Accepted, None); d.Password != info {
		t.Errorf("%+v", d.Password)
	}
	if d := w.replayed("secret" + w.code(0)); d.Password != (PasswordInfo{}) {
		t.Errorf("replayed: %+v", d.Password)
	}
	other := New(w.dir, w.mem, w.Verifier.now)
	w.mem.before = func() {
		w.mem.before = nil
		d, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret" + w.code(1))})
		if err != nil || d.Outcome != Accepted {
			t.Errorf("at another server: %+v, %v", d, err)
		}
	}
	if d := w.must("secret"+w.code(1), Refused, Replayed); d.Password != (PasswordInfo{}) {
		t.Errorf("replayed while it was checked: %+v", d.Password)
	}
	r := Request{User: "alice", Typed: opaque.Text(w.code(-1)), Policy: Policy{CodeOnly: true}}
	if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || d.Password != (PasswordInfo{}) {
		t.Errorf("code alone: %+v, %v", d, err)
	}
	w.dir.info = PasswordInfo{Expired: true, GraceLogins: 2}
	w.now = w.now.Add(time.Minute)
	r = Request{User: "alice", Typed: opaque.Text(w.code(0)), Answering: true, Kept: opaque.Text("secret"), Policy: Policy{Challenge: true}}
	if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || d.Password != w.dir.info {
		t.Errorf("answer: %+v, %v", d, err)
	}
}
