package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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

// gate holds the leader: each commit announces itself, and waits.
type gate struct {
	arrived chan struct{}
	pass    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) stop() {
	g.arrived <- struct{}{}
	<-g.pass
}

func (g *gate) await() { <-g.arrived }
func (g *gate) open()  { g.pass <- struct{}{} }

// awaitWaiting returns when n requests wait.
func awaitWaiting(t *testing.T, s *Store, n int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprint(n, " requests to wait"), func() bool { return s.queue.length() == n })
}

func start(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func TestWhatWaitsGoesToDiskTogether(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{beforeCommit: g.stop})
	first := start(func() error { return storetest.Claim(t.Context(), s, "first", 1) })
	g.await() // has the first, and nothing else yet

	var wg sync.WaitGroup
	var conflicts atomic.Int64
	for i := range 64 {
		wg.Go(func() {
			// Half of them race for one key, to see each conflict fail alone.
			id := fmt.Sprint("user", i)
			if i%2 == 0 {
				id = "shared"
			}
			err := s.CompareAndSwap(t.Context(), id, 0, verifier.State{Failures: uint32(i)})
			if errors.Is(err, verifier.ErrConflict) {
				conflicts.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	awaitWaiting(t, s, 65)
	g.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if got := s.commits.Load(); got != 1 {
		t.Errorf("65 writes take %d commits; want 1", got)
	}
	if got := conflicts.Load(); got != 31 {
		t.Errorf("%d writes conflict; want 31", got)
	}
}

func TestAConflictAloneWritesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	if err := s.CompareAndSwap(t.Context(), "alice", 7, verifier.State{}); !errors.Is(err, verifier.ErrConflict) {
		t.Error(err)
	}
	if got := s.commits.Load(); got != 0 {
		t.Errorf("a conflict takes %d commits; want none", got)
	}
}

func TestAWriteUnderWayIsNotAbandoned(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{afterCommit: func() error { g.stop(); return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	result := start(func() error { return storetest.Claim(ctx, s, "alice", 1) })
	g.await() // written, not yet answered
	cancel()
	select {
	case err := <-result:
		t.Errorf("claim returns %v while its outcome is open", err)
	case <-time.After(50 * time.Millisecond):
	}
	g.open()
	if err := <-result; err != nil {
		t.Errorf("claim = %v; want nil, as it is on disk", err)
	}
}

func TestAWriteThatWaitsGivesUpWithItsContext(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{afterCommit: func() error { g.stop(); return nil }})
	first := start(func() error { return storetest.Claim(t.Context(), s, "alice", 1) })
	g.await()
	ctx, cancel := context.WithCancel(t.Context())
	second := start(func() error { return s.CompareAndSwap(ctx, "bob", 0, verifier.State{Failures: 1}) })
	awaitWaiting(t, s, 1)
	third := start(func() error { return s.CompareAndSwap(t.Context(), "carol", 0, verifier.State{Failures: 1}) })
	awaitWaiting(t, s, 2)
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) { // while the disk is still busy
		t.Errorf("write = %v; want %v", err, context.Canceled)
	}
	g.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	g.await() // carol leads: bob was the next, and has gone
	g.open()
	if err := <-third; err != nil {
		t.Error(err)
	}
	if state, v, err := s.Load(t.Context(), "bob"); v != 0 || err != nil {
		t.Errorf("Load = %+v, %d, %v; want nothing: the write was given up", state, v, err)
	}
}

func TestTooManyWritesAreRefusedAtOnce(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{beforeCommit: g.stop})
	write := func(i int) error { return s.CompareAndSwap(t.Context(), fmt.Sprint("user", i), 0, verifier.State{}) }
	first := start(func() error { return write(-1) })
	g.await()
	var wg sync.WaitGroup
	for i := range maxWaiting - 1 { // beside the first
		wg.Go(func() {
			if err := write(i); err != nil {
				t.Error(err)
			}
		})
	}
	awaitWaiting(t, s, maxWaiting)
	if err := write(maxWaiting); !errors.Is(err, store.ErrBusy) {
		t.Errorf("write %d = %v; want %v", maxWaiting, err, store.ErrBusy)
	}
	g.open()
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestCloseFinishesWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	g := newGate()
	s := open(t, path, Options{afterCommit: func() error { g.stop(); return nil }})
	var results []<-chan error
	claim := func(i int) {
		results = append(results, start(func() error { return storetest.Claim(t.Context(), s, "alice", int64(i)) }))
	}
	write := func(i int) {
		id := fmt.Sprint("user", i)
		results = append(results, start(func() error { return s.CompareAndSwap(t.Context(), id, 0, verifier.State{Failures: 1}) }))
	}
	claim(1)
	g.await()
	for i := range 10 {
		write(i)
	}
	awaitWaiting(t, s, 10)
	closed := start(s.Close)
	testenv.Eventually(t, "Close to begin", s.queue.isClosed)
	if err := s.CompareAndSwap(t.Context(), "late", 0, verifier.State{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("write after Close = %v; want %v", err, store.ErrClosed)
	}
	g.open()
	g.await() // those who waited make a group of their own
	g.open()
	for i, r := range results {
		if err := <-r; err != nil {
			t.Errorf("write %d, before Close: %v", i, err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	again := open(t, path, Options{})
	for i := range 10 {
		if state, _, err := again.Load(t.Context(), fmt.Sprint("user", i)); state.Failures != 1 || err != nil {
			t.Errorf("user%d is %+v, %v after Close", i, state, err)
		}
	}
}

// A commit that fails in its last sync leaves its outcome open: readers may
// have seen it, and the disk may forget it. All callers get an error, and no
// Version that was seen may come back with another meaning.
func TestACommitThatFailsFailsForAll(t *testing.T) {
	g := newGate()
	broken := errors.New("disk on fire")
	var fail atomic.Bool
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{
		beforeCommit: g.stop,
		afterCommit: func() error {
			if fail.Load() {
				return broken
			}
			return nil
		},
	})
	fail.Store(true)
	first := start(func() error { return s.CompareAndSwap(t.Context(), "alice", 0, verifier.State{Failures: 1}) })
	g.await()
	var all []<-chan error
	for i := range 10 {
		id := fmt.Sprint("user", i/2) // each second one is a conflict
		all = append(all, start(func() error { return s.CompareAndSwap(t.Context(), id, 0, verifier.State{}) }))
	}
	awaitWaiting(t, s, 11)
	g.open()
	for i, r := range append(all, first) {
		if err := <-r; !errors.Is(err, broken) || errors.Is(err, verifier.ErrConflict) {
			t.Errorf("write %d = %v; want %v alone", i, err, broken)
		}
	}

	fail.Store(false)
	next := start(func() error { return storetest.Claim(t.Context(), s, "bob", 1) })
	g.await()
	g.open()
	if err := <-next; err != nil {
		t.Errorf("claim after the disk is back: %v", err)
	}
}

// The sequence set back stands for a disk that lost a commit after its sync
// had failed.
func TestAVersionThatTheDiskForgotIsNotGivenAgain(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	if err := s.CompareAndSwap(t.Context(), "alice", 0, verifier.State{Failures: 1}); err != nil {
		t.Fatal(err)
	}
	_, kept, _ := s.Load(t.Context(), "alice")
	if err := s.CompareAndSwap(t.Context(), "alice", kept, verifier.State{Failures: 2}); err != nil {
		t.Fatal(err)
	}
	_, forgotten, _ := s.Load(t.Context(), "alice")
	if err := s.update(func(tx *tx) error { return tx.Bucket(recordsBucket).SetSequence(uint64(kept)) }); err != nil {
		t.Fatal(err)
	}
	if err := s.CompareAndSwap(t.Context(), "bob", 0, verifier.State{}); err != nil {
		t.Fatal(err)
	}
	if _, v, _ := s.Load(t.Context(), "bob"); v <= forgotten {
		t.Errorf("version %d is given after %d", v, forgotten)
	}
}

func TestCheckProbesOnceASecondUntilADiskIsBack(t *testing.T) {
	var fail atomic.Bool
	var clock atomic.Int64
	var tries atomic.Int64
	log, lines := logger()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{
		Log: log,
		Now: func() time.Time { return time.Unix(0, clock.Load()) },
		afterCommit: func() error {
			tries.Add(1)
			if fail.Load() {
				return errors.New("disk on fire")
			}
			return nil
		},
	})
	check := func(wantTries int64, wantOK bool) {
		t.Helper()
		tries.Store(0)
		for range 5 {
			if err := s.Check(t.Context()); (err == nil) != wantOK {
				t.Errorf("Check = %v; want ok %v", err, wantOK)
			}
		}
		if got := tries.Load(); got != wantTries {
			t.Errorf("5 checks try the disk %d times; want %d", got, wantTries)
		}
	}
	check(0, true)
	fail.Store(true)
	if err := storetest.Claim(t.Context(), s, "alice", 1); err == nil {
		t.Fatal("a claim succeeds on a disk that fails")
	}
	check(1, false)
	clock.Add(int64(999 * time.Millisecond))
	check(0, false)
	clock.Add(int64(time.Millisecond))
	check(1, false)
	fail.Store(false)
	check(0, false)
	clock.Add(int64(time.Second))
	check(1, true)
	check(0, true)
	if got := lines(); strings.Count(got, "level=ERROR") != 1 || strings.Count(got, "level=INFO") != 1 {
		t.Errorf("log is\n%swant one error and one info", got)
	}
}

func TestCheckSeesADiskThatHangs(t *testing.T) {
	var clock atomic.Int64
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{
		Now:         func() time.Time { return time.Unix(1, clock.Load()) },
		afterCommit: func() error { g.stop(); return nil },
	})
	claim := start(func() error { return storetest.Claim(t.Context(), s, "alice", 1) })
	g.await()
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check at once: %v", err)
	}
	clock.Add(int64(stuckAfter + 1))
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check finds nothing wrong with a write that takes too long")
	}
	g.open()
	if err := <-claim; err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check afterwards: %v", err)
	}
}

func TestAPanicIsAnError(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	err := s.update(func(*tx) error { panic("page 7 already freed") })
	if !errors.Is(err, errPanic) {
		t.Errorf("write = %v; want %v", err, errPanic)
	}
	// Nobody knows in what state that left bbolt.
	if err := storetest.Claim(t.Context(), s, "alice", 1); !errors.Is(err, errPanic) {
		t.Errorf("claim = %v; want %v", err, errPanic)
	}
	if err := s.Check(t.Context()); !errors.Is(err, errPanic) {
		t.Errorf("Check = %v; want %v", err, errPanic)
	}
}
