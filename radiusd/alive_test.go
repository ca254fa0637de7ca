package radiusd

import (
	"testing"
	"testing/synctest"
	"time"
)

// A job that does not end shows, one that ends in time does not, nor does idleness.
func TestStuckWorkersShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := newCrew(8, 8, time.Second, time.Now, func(*job, time.Time) result {
			<-release
			return decided
		})
		defer c.stop()
		c.take(&job{})
		time.Sleep(time.Minute)
		if got := c.stuck(time.Now()); got != time.Minute {
			t.Errorf("one job for a minute: stuck for %s", got)
		}
		release <- struct{}{}
		synctest.Wait()
		time.Sleep(time.Hour)
		if got := c.stuck(time.Now()); got != 0 {
			t.Errorf("idle: stuck for %s", got)
		}
		c.take(&job{})
		if got := c.stuck(time.Now()); got != 0 {
			t.Errorf("begun after an hour of idleness: stuck for %s", got)
		}
		c.take(&job{})
		time.Sleep(time.Minute)
		release <- struct{}{}
		synctest.Wait()
		if got := c.stuck(time.Now()); got != 0 {
			t.Errorf("another has ended: stuck for %s", got)
		}
		close(release)
		synctest.Wait()
	})
}

// A reader that hangs in one packet shows.
func TestStuckReadersShow(t *testing.T) {
	s := &Server{}
	if got := s.Stuck(); got != 0 {
		t.Errorf("nothing served: stuck for %s", got)
	}
	socket, err := s.addSocket(nil)
	if err != nil {
		t.Fatal(err)
	}
	socket.busy.Store(time.Now().Add(-time.Minute).UnixNano())
	if got := s.Stuck(); got < time.Minute {
		t.Errorf("a packet for a minute: stuck for %s", got)
	}
	socket.busy.Store(0)
	if got := s.Stuck(); got != 0 {
		t.Errorf("the packet is done: stuck for %s", got)
	}
}
