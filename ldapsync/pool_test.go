package ldapsync

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// A server may close a connection at the moment that it is used again.
func TestAnUnansweredBindOnAUsedConnectionIsTriedOnce(t *testing.T) {
	t.Parallel()
	yes := []*reply{result(ldap.ApplicationBindResponse, 0, "")}
	for _, tt := range []struct {
		name   string
		second []*reply // the answer to the second bind on a connection; nil closes it, empty gives none
		right  bool
		binds  int64
	}{
		{"closed without an answer", nil, true, 3},
		{"no answer in time", []*reply{}, false, 2},
		{"an answer that makes no sense", []*reply{withControl(yes[0], ldap.ControlTypeBeheraPasswordPolicy, "\xff")}, false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			s := serve(t, func(request) []*reply {
				if n.Add(1) == 2 {
					return tt.second
				}
				return yes
			})
			d := open(t, fakeConfig(s))
			alice := Account{DN: dn("alice")}
			if err := check(t, d, alice, "x"); err != nil {
				t.Fatal(err)
			}
			if err := check(t, d, alice, "x"); (err == nil) != tt.right || errors.As(err, new(*PasswordError)) {
				t.Errorf("second check: %v, want right: %v", err, tt.right)
			}
			if got := s.binds.Load(); got != tt.binds {
				t.Errorf("%d binds, want %d", got, tt.binds)
			}
		})
	}
}

// A frozen server must not hold up everything that calls.
func TestAFrozenServerHoldsFewCallers(t *testing.T) {
	t.Parallel()
	s := serve(t, func(request) []*reply { return []*reply{} })
	c := fakeConfig(s)
	c.Pool, c.Timeout = 2, time.Minute
	d := open(t, c)
	alice, callers := Account{DN: dn("alice")}, &d.source.(*poller).pool.callers
	for range 2 { // again, when all have gone
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		for range 2 + 256 {
			wait.Go(func() {
				if _, err := d.CheckPassword(ctx, alice, opaque.Text("x")); !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want to have waited for the server", err)
				}
			})
		}
		eventually(t, "all wait", func() bool { return callers.Load() == 258 })
		soon, cancelSoon := context.WithTimeout(ctx, 10*time.Second)
		_, err := d.CheckPassword(soon, alice, opaque.Text("x"))
		if !errors.Is(err, errCrowded) || errors.As(err, new(*PasswordError)) || soon.Err() != nil {
			t.Errorf("one more: %v, want errCrowded at once", err)
		}
		if err := d.source.reachable(); err != nil {
			t.Errorf("turning callers away made the server unhealthy: %v", err)
		}
		cancelSoon()
		cancel()
		wait.Wait()
	}
}

// Each login that waits for a frozen server keeps an appliance waiting.
func TestAServerThatHasFailedIsProbedByOneLogin(t *testing.T) {
	t.Parallel()
	s := serve(t, func(request) []*reply { return []*reply{} })
	d := open(t, fakeConfig(s))
	alice := Account{DN: dn("alice")}
	if _, err := d.CheckPassword(t.Context(), alice, opaque.Text("x")); err == nil {
		t.Fatal("no error")
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := d.CheckPassword(t.Context(), alice, opaque.Text("x")); err == nil || errors.As(err, new(*PasswordError)) {
				t.Errorf("%v, want an error that is no refusal", err)
			}
		})
	}
	wait.Wait()
	// One at first, and one probe of the eight; two if they were not all at once.
	if n := s.binds.Load(); n > 3 {
		t.Errorf("%d binds, want 2", n)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var h health
	now := time.Unix(1e9, 0)
	down := errors.New("down")
	for range 2 {
		if !h.enter(now, false) {
			t.Error("a server that is well is not asked by many")
		}
	}
	h.leave(now, down)
	h.leave(now, down) // of a login at the same moment: no second failure
	if h.enter(now.Add(500*time.Millisecond), false) {
		t.Error("asked within its pause")
	}
	if !h.enter(now.Add(time.Second), false) {
		t.Error("not asked after its pause")
	}
	if h.enter(now.Add(time.Second), false) || h.enter(now.Add(time.Second), true) {
		t.Error("probed by two at once")
	}
	h.leave(now.Add(time.Second), down)
	if h.enter(now.Add(2*time.Second), false) {
		t.Error("the pause does not grow")
	}
	if !h.enter(now.Add(2*time.Second), true) {
		t.Error("not asked though there is no other")
	}
	h.leave(now.Add(2*time.Second), nil)
	if !h.enter(now.Add(2*time.Second), false) {
		t.Error("not asked though it has answered")
	}
	for failures, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := backOff(failures); got > most || got < most*3/4 {
			t.Errorf("backOff(%d) = %s, want about %s", failures, got, most)
		}
	}
}
