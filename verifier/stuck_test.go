package verifier

import (
	"fmt"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// phone is somebody with a device, whose clock can be set, at a client that
// takes no challenges.
type phone struct {
	*world
	ahead time.Duration
}

// shows returns the code that the phone shows now.
func (p *phone) shows() string {
	p.t.Helper()
	k := p.dir.account.Keys[0]
	c, err := k.Code(k.Step(p.now.Add(p.ahead)))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// next waits for the next code, and reads and types it.
func (p *phone) next() (Decision, error) {
	k := p.dir.account.Keys[0]
	on := p.now.Add(p.ahead)
	p.now = p.now.Add(k.Start(k.Step(on) + 1).Sub(on))
	c := p.shows()
	p.now = p.now.Add(5 * time.Second)
	return p.Verify(p.t.Context(), Request{User: "alice", Typed: opaque.Text("secret" + c), Client: "vpn", Source: "home"})
}

// getsIn counts the codes that it takes.
func (p *phone) getsIn() int {
	p.t.Helper()
	for n := 1; n < 20; n++ {
		d, err := p.next()
		if err != nil {
			p.t.Fatal(err)
		}
		if d.Outcome == Accepted {
			return n
		}
	}
	return 0
}

// The table that other verifiers strand people in: a phone is off, its owner
// gets in, logs in three times more, and then its clock is put right.
func TestNobodyIsStuckAfterTheClockIsPutRight(t *testing.T) {
	for _, period := range []time.Duration{30 * time.Second, 60 * time.Second} {
		for _, off := range []time.Duration{0, time.Minute, 2 * time.Minute, 4 * time.Minute, 9 * time.Minute, time.Hour, 6 * time.Hour, 23 * time.Hour} {
			for _, ahead := range []time.Duration{off, -off} {
				for _, learns := range []bool{true, false} {
					t.Run(fmt.Sprint(period, ahead, learns), func(t *testing.T) {
						p := &phone{newWorld(t), ahead}
						p.dir.account.Keys[0].Period = period
						p.SetTrusted(func() bool { return learns })
						if n := p.getsIn(); n < 1 || n > 2 {
							t.Errorf("%d codes for the first login, want 1 or 2", n)
						}
						for range 3 {
							p.now = p.now.Add(time.Hour)
							if n := p.getsIn(); n != 1 {
								t.Errorf("%d codes for a login with a clock that was seen, want 1", n)
							}
						}
						p.now, p.ahead = p.now.Add(time.Hour), 0
						if n := p.getsIn(); n != 1 {
							t.Errorf("%d codes after the clock was put right, want 1", n)
						}
						p.now, p.ahead = p.now.Add(time.Hour), ahead
						if n := p.getsIn(); n != 1 {
							t.Errorf("%d codes after the clock was set wrong again, want 1", n)
						}
					})
				}
			}
		}
	}
}

// However often a clock is set, and wherever to: two codes at most.
func TestNobodyIsStuckWhateverTheClockDoes(t *testing.T) {
	long(t)
	p := &phone{newWorld(t), 0}
	for i := range 200 {
		p.now = p.now.Add(time.Duration(i%7) * 10 * time.Minute)
		p.ahead = time.Duration((i*7919)%2700-1350) * time.Minute
		was := p.state()
		for was.spent(testKey.Step(p.now.Add(p.ahead))+1) || was.spent(testKey.Step(p.now.Add(p.ahead))+2) {
			p.ahead += time.Minute // that was shown, and used, before
		}
		if n := p.getsIn(); n < 1 || n > 2 {
			t.Fatalf("setting %d, %v ahead: %d codes", i, p.ahead, n)
		}
	}
	p.ahead, p.now = 0, p.now.Add(time.Hour)
	if n := p.getsIn(); n != 1 {
		t.Errorf("%d codes at last", n)
	}
}

// A phone in the future that logs in all the time leaves more spent steps there
// than anybody would keep details of.
func TestNobodyIsStuckAfterManyLogins(t *testing.T) {
	p := &phone{newWorld(t), 6 * time.Hour}
	p.getsIn()
	for range 600 {
		if n := p.getsIn(); n != 1 {
			t.Fatalf("%d codes", n)
		}
	}
	p.ahead = 0
	if n := p.getsIn(); n != 1 {
		t.Errorf("%d codes after the clock was put right, want 1", n)
	}
	p.ahead = -6 * time.Hour
	if n := p.getsIn(); n != 2 {
		t.Errorf("%d codes with the clock 6 h slow, want 2", n)
	}
}

// The server's clock was wrong as well, for long, and is put right.
func TestServerAndPhonePutRightTogether(t *testing.T) {
	for _, off := range []time.Duration{90 * time.Second, time.Hour, 30 * 24 * time.Hour} {
		p := &phone{newWorld(t), 0}
		p.now = p.now.Add(off)
		for range 50 {
			p.now = p.now.Add(time.Hour)
			if n := p.getsIn(); n != 1 {
				t.Fatalf("%v: %d codes", off, n)
			}
		}
		p.now = p.now.Add(-off)
		if n := p.getsIn(); n != 1 {
			t.Errorf("%v: %d codes after both were put right", off, n)
		}
	}
}

func TestForwardOnlySaysUntilWhen(t *testing.T) {
	p := &phone{newWorld(t), 540 * time.Second}
	p.SetForwardOnly(true)
	if n := p.getsIn(); n != 2 {
		t.Fatalf("%d codes", n)
	}
	last := p.dir.account.Keys[0].Step(p.now.Add(p.ahead))
	p.ahead = 0
	d, err := p.next()
	want := "older than the last code used, refused until " + p.dir.account.Keys[0].Start(last+1).Local().Format(time.DateTime) + " (forward_only)"
	if err != nil || d.Outcome != Refused || d.Reason.String() != want {
		t.Fatalf("%+v, %v; want %q", d, err, want)
	}
	if s := p.mem.states[testKey.ID()]; s.Failures != 0 {
		t.Errorf("%d failures, want none: it was a right code", s.Failures)
	}
	p.now = d.Reason.Until.Add(-61 * time.Second)
	if d, err := p.login("secret" + p.shows()); err != nil || d.Reason.Kind != TooEarly {
		t.Errorf("just before: %+v, %v", d, err)
	}
	p.now = d.Reason.Until
	if d, err := p.login("secret" + p.shows()); err != nil || d.Outcome != Accepted {
		t.Errorf("at the time it was told: %+v, %v", d, err)
	}
}

// With forward_only, the reason reckons with the device's own clock.
func TestForwardOnlyWithASlowPhone(t *testing.T) {
	p := &phone{newWorld(t), 0}
	p.SetForwardOnly(true)
	p.getsIn()
	p.ahead = -time.Hour
	d, err := p.next()
	if err != nil || d.Reason.Kind != TooEarly || d.Reason.Until.Before(p.now.Add(59*time.Minute)) || d.Reason.Until.After(p.now.Add(62*time.Minute)) {
		t.Errorf("%+v at %v, %v", d, p.now, err)
	}
	p.now = d.Reason.Until
	if n := p.getsIn(); n != 2 {
		t.Errorf("%d codes when the mark is behind, want 2", n)
	}
}
