package radiusd

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

func TestShutdown(t *testing.T) { // C95
	t.Run("finishes what is in flight", func(t *testing.T) {
		inBubbleWith(t, &Server{Workers: 1, Patience: 5 * time.Second}, slow(time.Second, Accept), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			r.silent(r.send(vpn, login(2, "bob", "pass"))) // in the queue
			done := make(chan error)
			go func() { done <- r.Shutdown(t.Context()) }()
			synctest.Wait()
			r.silent(r.send(vpn, login(3, "carol", "pass"))) // not read any more
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := r.replies(); len(got) != 2 {
				t.Errorf("%d replies, want 2", len(got))
			}
		})
	})
	t.Run("waits for rejects that wait", func(t *testing.T) {
		inBubble(t, always(Reject), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			if err := r.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			r.only(r.replies(), layeh.CodeAccessReject)
		})
	})
	t.Run("does not wait for ever", func(t *testing.T) {
		inBubble(t, slow(time.Hour, Accept), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want context.DeadlineExceeded", err)
			}
			time.Sleep(2 * time.Hour)
			r.silent(r.replies())
		})
	})
	t.Run("Serve returns, and refuses afterwards", func(t *testing.T) {
		var s Server
		conn := newFakeConn()
		served := make(chan error)
		go func() { served <- s.Serve(conn) }()
		conn.in <- fakeDatagram{nil, net.UDPAddrFromAddrPort(vpn)}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		// Whether Serve began before or after, it does not go on.
		if err := <-served; err != nil && err != ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		if err := s.Serve(newFakeConn()); err != ErrServerClosed {
			t.Errorf("Serve afterwards: %v, want ErrServerClosed", err)
		}
	})
}

// Once its ctx has ended, Shutdown leaves no goroutine behind: the bubble
// could not end otherwise.
func TestShutdownDropsWhatIsLeft(t *testing.T) {
	cutShort := func(t *testing.T, r *rig) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	}
	wantNothingLeft := func(t *testing.T, r *rig) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Errorf("something is in flight for ever: %v", err)
		}
		if n := r.dedupe.pending(); n != 0 {
			t.Errorf("%d are pending for ever", n)
		}
		r.silent(r.replies())
		if r.logged("cannot send a reply") {
			t.Errorf("sent to a closed socket\n%s", r.log)
		}
	}
	hang := func(ctx context.Context, _ *Request) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}
	t.Run("requests in both queues, undecided", func(t *testing.T) {
		inBubbleWith(t, &Server{Workers: 1}, twoRounds, func(t *testing.T, r *rig) {
			s := r.challenge(vpn, 0, "alice")
			asked := r.asks()
			r.setAuth(hang)
			const waiting = 20
			for i := range 1 + waiting {
				var more []radius.Attribute
				if i > waiting/2 {
					more = append(more, state(s))
				}
				r.silent(r.send(vpn, login(byte(1+i), "alice", "123456", more...)))
			}
			cutShort(t, r)
			wantNothingLeft(t, r)
			if got := r.asks() - asked; got != 1 || r.count("DropShutdown") != waiting {
				t.Errorf("asked %d times, %d dropped; want 1, %d", got, r.count("DropShutdown"), waiting)
			}
		})
	})
	t.Run("an answer that comes too late", func(t *testing.T) {
		inBubble(t, slow(time.Second, Accept), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			cutShort(t, r)
			wantNothingLeft(t, r)
			if r.count("TotalAccessAccepts") != 0 || r.count("DropShutdown") != 1 {
				t.Errorf("counted %d accepts, %d dropped; want 0, 1", r.count("TotalAccessAccepts"), r.count("DropShutdown"))
			}
		})
	})
	for _, o := range []Outcome{Reject, Challenge} {
		t.Run("a reply that waits for its time, "+o.String(), func(t *testing.T) {
			inBubble(t, always(o), func(t *testing.T, r *rig) {
				r.silent(r.send(vpn, login(1, "alice", "pass")))
				cutShort(t, r)
				wantNothingLeft(t, r)
				if r.count("DropShutdown") != 1 {
					t.Errorf("%d dropped, want 1", r.count("DropShutdown"))
				}
			})
		})
	}
}
