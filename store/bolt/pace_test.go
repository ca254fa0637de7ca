package bolt

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/verifier"
)

func TestPace(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, tt := range []struct {
		name           string
		size, expected int
		since          time.Duration
		enough         int
		most           time.Duration
	}{
		{"a login after none", 0, 0, 0, 0, 0},
		{"a login after a lone one", 1, 1, 0, 0, 0},
		{"a login after a few", leastGroup - 1, 20, 0, 0, 0},
		{"a login after a group", 6, 11, 800 * time.Microsecond, 11, time.Millisecond},
		{"a login long after a group", 6, 11, 1800 * time.Microsecond, 0, 0},
		{"a login after a large group", 100, 120, time.Millisecond, 120, time.Millisecond},
		{"more than anybody waits for", 2000, 2000, 0, plenty, longest},
		{"a clock that went back", 100, 120, -time.Hour, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enough, most := pace{began, tt.size, tt.expected}.wait(began.Add(tt.since))
			if enough != tt.enough || most != tt.most {
				t.Errorf("waits for %d, for %v; want %d, %v", enough, most, tt.enough, tt.most)
			}
		})
	}
}

func TestTheLeaderSleepsUntilThereIsEnough(t *testing.T) {
	gather := func(q *queue) time.Duration {
		timer := time.NewTimer(0)
		timer.Stop()
		began := time.Now()
		q.gather(3, time.Millisecond, timer)
		return time.Since(began)
	}
	add := func(t *testing.T, q *queue, n int) {
		for range n {
			if err := q.add(&request{answer: make(chan error, 1)}); err != nil && !q.isClosed() {
				t.Error(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		before int                          // wait already
		then   func(t *testing.T, q *queue) // while the leader sleeps
		slept  time.Duration
	}{
		{"enough wait already", 3, func(*testing.T, *queue) {}, 0},
		{"enough come", 1, func(t *testing.T, q *queue) { add(t, q, 2) }, 0},
		{"many more come", 1, func(t *testing.T, q *queue) { add(t, q, 10) }, 0},
		{"too few come", 1, func(t *testing.T, q *queue) { add(t, q, 1) }, time.Millisecond},
		{"the queue is closed", 1, func(_ *testing.T, q *queue) { q.close() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(nil)
				add(t, q, tt.before)
				for range 2 { // it leaves nothing behind that ends the next sleep
					slept := make(chan time.Duration, 1)
					go func() { slept <- gather(q) }()
					synctest.Wait()
					tt.then(t, q)
					if got := <-slept; got != tt.slept {
						t.Errorf("it sleeps %v; want %v", got, tt.slept)
					}
					q.take(nil)
					add(t, q, tt.before)
				}
			})
		})
	}
}

// Time in the bubble stands still while anybody works, so that all that passes
// was waited for.
func TestALoneWriteNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
		began := time.Now()
		for i := range 20 {
			write(t, s, fmt.Sprint("user", i%3), i)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("20 writes one after the other wait %v", took)
		}
	})
}

func TestAfterAGroupTheNextWaitsForMore(t *testing.T) {
	const most = min(8*perClaim, longest)
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		first := true
		s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{beforeCommit: func() {
			if first {
				first = false
				g.stop()
			}
		}})
		var wg sync.WaitGroup
		users := 0
		writes := func(n int) {
			for range n {
				users++
				id := fmt.Sprint("user", users)
				wg.Go(func() {
					if err := s.CompareAndSwap(context.Background(), id, 0, verifier.State{}); err != nil {
						t.Error(err)
					}
				})
			}
		}
		writes(8)
		g.await()
		synctest.Wait() // the others wait behind the first
		g.open()
		wg.Wait()

		began := time.Now()
		writes(1)
		synctest.Wait()
		writes(7)
		wg.Wait()
		if took := time.Since(began); took != 0 || s.commits.Load() != 2 {
			t.Errorf("all who were expected came, and waited %v for %d syncs; want 0, 2", took, s.commits.Load())
		}
		writes(2)
		wg.Wait()
		if took := time.Since(began); took != most || s.commits.Load() != 3 {
			t.Errorf("few came, and waited %v for %d syncs; want %v, 3", took, s.commits.Load(), most)
		}
		writes(2)
		wg.Wait()
		if took := time.Since(began); took != most {
			t.Errorf("after few came, the next waited for %v", took-most)
		}
	})
}
