package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// load claims step after step, each through two servers at once, and keeps what
// it was told.
type load struct {
	name    string // of the test; its users are its own
	stores  []*Store
	stop    chan struct{}
	workers sync.WaitGroup
	won     [loadWorkers]map[int64]bool
	claims  atomic.Int64
	errors  atomic.Int64
	longest atomic.Int64
}

const loadWorkers = 6

// claimWithin is much longer than a claim takes without a fault, on a machine with
// too much else to do.
const claimWithin = 20 * time.Second

func startLoad(t *testing.T, stores ...*Store) *load {
	l := &load{name: t.Name(), stores: stores, stop: make(chan struct{})}
	for w := range loadWorkers {
		l.won[w] = map[int64]bool{}
		l.workers.Go(func() {
			for step := int64(1); ; step++ {
				select {
				case <-l.stop:
					return
				default:
					l.claim(t, w, step)
				}
			}
		})
	}
	return l
}

func (l *load) claim(t *testing.T, w int, step int64) {
	var wins atomic.Int64
	var both sync.WaitGroup
	for _, s := range l.stores {
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), claimWithin)
			defer cancel()
			began := time.Now()
			err := storetest.Claim(ctx, s, l.user(w), step)
			l.longest.Store(max(l.longest.Load(), int64(time.Since(began))))
			l.claims.Add(1)
			switch {
			case err == nil:
				wins.Add(1)
			case err.Error() == "step is spent": // as storetest says it
			case step == 1 && errors.Is(err, errUnknown):
				// The first record of all was sent twice, as the answer was slow, and
				// the other server's is there. That is no fault's doing.
			default:
				l.errors.Add(1)
			}
		})
	}
	both.Wait()
	if wins.Load() > 1 {
		t.Errorf("%s: step %d is accepted %d times", l.user(w), step, wins.Load())
	}
	if wins.Load() > 0 {
		l.won[w][step] = true
	}
}

func (l *load) user(w int) string { return fmt.Sprint(l.name, w) }

// progress waits until n more claims have ended.
func (l *load) progress(t *testing.T, n int64) {
	t.Helper()
	from := l.claims.Load()
	testenv.Eventually(t, "claims to go on", func() bool { return l.claims.Load() >= from+n })
}

// end stops the load and looks whether all that was won is spent.
func (l *load) end(t *testing.T, by *Store) {
	t.Helper()
	close(l.stop)
	l.workers.Wait()
	total := 0
	for w := range loadWorkers {
		state := present(t, by, l.user(w))
		for step := range l.won[w] {
			total++
			if step > state.Floor && !contains(state.Spent, step) {
				t.Errorf("%s: step %d was accepted, and is not spent", l.user(w), step)
			}
		}
	}
	t.Logf("%d claims, %d won, %d errors, the longest took %v", l.claims.Load(), total, l.errors.Load(), time.Duration(l.longest.Load()))
}

// present asks the quorum: what a server remembers may be a second old.
func present(t *testing.T, s *Store, id string) verifier.State {
	t.Helper()
	is, err := s.fetch(t.Context(), s.key(id))
	if err != nil {
		t.Fatal(err)
	}
	state, err := decodeRecord(is.value)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func contains(steps []int64, step int64) bool {
	for _, s := range steps {
		if s == step {
			return true
		}
	}
	return false
}

func TestNoClaimIsLostOrDoubledWhileNodesFail(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 3)
	stores := []*Store{open(t, Options{Endpoints: c.Endpoints()}), open(t, Options{Endpoints: c.Endpoints()})}
	other := func(leader int) int { return (leader + 1) % 3 }
	for _, tt := range []struct {
		name   string
		faults int64 // that a login may see
		fail   func(leader int) (heal func())
	}{
		{"a follower is frozen", 0, func(leader int) func() {
			n := c.Node(other(leader))
			n.Freeze(t)
			return func() { n.Thaw(t) }
		}},
		{"the leader is frozen", -1, func(leader int) func() {
			n := c.Node(leader)
			n.Freeze(t)
			return func() { n.Thaw(t) }
		}},
		{"a follower is killed", 0, func(leader int) func() {
			n := c.Node(other(leader))
			n.Kill(t)
			return func() { n.Start(t) }
		}},
		{"the leader is killed", -1, func(leader int) func() {
			n := c.Node(leader)
			n.Kill(t)
			return func() { n.Start(t) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.AwaitHealthy(t)
			leader := c.Leader(t)
			for _, s := range stores {
				s.cluster.favourite.Store(int32(other(leader)))
			}
			l := startLoad(t, stores...)
			l.progress(t, 100)
			heal := tt.fail(leader)
			l.progress(t, 200)
			heal()
			l.progress(t, 200)
			l.end(t, stores[0])
			if tt.faults >= 0 && l.errors.Load() > tt.faults {
				t.Errorf("%d claims fail; want %d at most", l.errors.Load(), tt.faults)
			}
		})
	}
}

// Not even the copy answers when nobody can tell whether it is up to date.
func TestWithoutAQuorumNobodyGetsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testenv.EtcdNode, testing.TB) func(testing.TB){
		"frozen": func(n *testenv.EtcdNode, t testing.TB) func(testing.TB) { n.Freeze(t); return n.Thaw },
		"killed": func(n *testenv.EtcdNode, t testing.TB) func(testing.TB) { n.Kill(t); return n.Start },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testenv.Etcd(t, 3)
			log, logged := logger()
			s := open(t, Options{Endpoints: c.Endpoints(), Log: log})
			if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
				t.Fatal(err)
			}
			one, two := fail(c.Node(0), t), fail(c.Node(1), t)
			began := time.Now()
			testenv.Eventually(t, "Check to say so", func() bool { return s.Check(t.Context()) != nil })
			if took := time.Since(began); took > away+3*time.Second {
				t.Errorf("Check says so after %v", took)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if state, v, err := s.Load(ctx, "alice"); err == nil {
				t.Errorf("Load = %+v, %d", state, v)
			}
			if err := s.CompareAndSwap(ctx, "alice", 1, verifier.State{}); err == nil || errors.Is(err, verifier.ErrConflict) {
				t.Errorf("CompareAndSwap = %v; want an error, not a conflict", err)
			}
			one(t)
			two(t)
			testenv.Eventually(t, "Check to be content", func() bool { return s.Check(t.Context()) == nil })
			if err := storetest.Claim(t.Context(), s, "alice", 2); err != nil {
				t.Error(err)
			}
			if spent, err := storetest.Spent(t.Context(), s, "alice", 1); err != nil || !spent {
				t.Errorf("step 1 is spent: %v, %v", spent, err)
			}
			testenv.Eventually(t, "it to be logged", func() bool { return strings.Contains(logged(), "answers again") })
			if !takeTurns(logged(), "no quorum of etcd answers", "etcd answers again") {
				t.Errorf("want one line for the fault and one for its end:\n%s", logged())
			}
		})
	}
}

// takeTurns reports whether one line is in the log and the other after it, neither
// twice without the other in between. A node that comes back can bring an election,
// and so a second fault.
func takeTurns(log, one, other string) bool {
	fault, turns := false, 0
	for line := range strings.Lines(log) {
		is := strings.Contains(line, one)
		if !is && !strings.Contains(line, other) {
			continue
		}
		if is == fault {
			return false
		}
		fault = is
		turns++
	}
	return turns >= 2
}

func TestNothingPilesUpWhileTheQuorumIsAway(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Endpoints: []string{"http://127.0.0.1:1"}})
	ctx, cancel := context.WithCancel(t.Context())
	var busy, others atomic.Int64
	var asked sync.WaitGroup
	for i := range 3 * maxWaiting {
		asked.Go(func() {
			switch _, _, err := s.Load(ctx, fmt.Sprint(i)); {
			case errors.Is(err, store.ErrBusy):
				busy.Add(1)
			case err != nil:
				others.Add(1)
			}
		})
	}
	testenv.Eventually(t, "some to be refused", func() bool { return busy.Load() > maxWaiting })
	cancel()
	asked.Wait()
	if n := busy.Load() + others.Load(); n != 3*maxWaiting {
		t.Errorf("%d of %d fail", n, 3*maxWaiting)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check is content, and there is no etcd")
	}
}
