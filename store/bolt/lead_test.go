package bolt

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"lockstep/store/storetest"
	"lockstep/verifier"
)

func TestALoneWriteLeadsItself(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	s.queue.alone = func() { t.Error("a goroutine of its own leads") }
	for i := range 10 {
		write(t, s, fmt.Sprint("user", i), i)
	}
	if got := s.commits.Load(); got != 10 {
		t.Errorf("10 writes take %d groups; want 10", got)
	}
}

func TestAProbeThatNobodyWaitsForIsWritten(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{afterCommit: func() error { g.stop(); return nil }})
	for range 2 { // with nobody leading, and behind one that leads
		if err := s.enqueue(&request{do: probe}); err != nil {
			t.Fatal(err)
		}
	}
	g.await()
	g.open()
	if s.queue.length() > 0 { // the first led before the second came
		g.await()
		g.open()
	}
	last := start(func() error { return storetest.Claim(t.Context(), s, "alice", 1) })
	g.await()
	g.open()
	if err := <-last; err != nil {
		t.Error(err)
	}
}

// Whoever serves a request survives a panic in it. The store must not stand still
// then, nor say yes to anything.
func TestAPanicInTheLeaderEndsTheStoreAndHoldsUpNobody(t *testing.T) {
	g := newGate()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{afterCommit: func() error { g.stop(); panic("of a bug") }})
	survived := func(f func() error) func() error {
		return func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return f()
		}
	}
	leader := start(survived(func() error { return storetest.Claim(t.Context(), s, "alice", 1) }))
	g.await()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := survived(func() error {
				return s.CompareAndSwap(t.Context(), fmt.Sprint("user", i), 0, verifier.State{Failures: 1})
			})()
			if !errors.Is(err, errPanic) {
				t.Errorf("write behind it = %v; want %v", err, errPanic)
			}
		})
	}
	awaitWaiting(t, s, 8)
	g.open()
	if err := <-leader; err == nil {
		t.Error("the write of the leader that panicked succeeds")
	}
	wg.Wait()
	if _, _, err := s.Load(t.Context(), "alice"); !errors.Is(err, errPanic) {
		t.Errorf("Load = %v; want %v", err, errPanic)
	}
	if err := s.Check(t.Context()); !errors.Is(err, errPanic) {
		t.Errorf("Check = %v; want %v", err, errPanic)
	}
}

func TestAPanicBeforeTheGroupIsTakenHoldsUpNobody(t *testing.T) {
	for _, before := range []int{0, 2} { // groups
		n := 0
		s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{beforeCommit: func() {
			if n++; n == before+1 {
				panic("of a bug")
			}
		}})
		for i := range before {
			write(t, s, fmt.Sprint("user", i), i)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = storetest.Claim(t.Context(), s, "alice", 1)
		}()
		if err := s.CompareAndSwap(t.Context(), "bob", 0, verifier.State{}); !errors.Is(err, errPanic) {
			t.Errorf("after %d groups: the next write = %v; want %v", before, err, errPanic)
		}
		_ = s.Close() // it returns
	}
}

func TestWhatTheFileHasIsReadFromMemory(t *testing.T) {
	tables := tables{active: newTable()}
	tables.publish(map[string]change{"alice": {version: 1}, "bob": {version: 2}, "carol": {version: 3}})
	tables.seal(1, tables.active.mark)
	tables.publish(map[string]change{"bob": {version: 4, deleted: true}})
	tables.drop()
	for _, tt := range []struct {
		id   string
		want uint64
	}{{"alice", 1}, {"bob", 4}, {"dave", 0}} {
		if c, ok := tables.get(tt.id); c.version != tt.want || ok != (tt.want > 0) {
			t.Errorf("get(%q) = version %d, %v; want %d", tt.id, c.version, ok, tt.want)
		}
	}
	tables.seal(2, tables.active.mark)
	tables.drop()
	if _, ok := tables.get("alice"); ok {
		t.Error("two tables that the file has are kept; want one")
	}
	if c, ok := tables.get("bob"); !ok || !c.deleted {
		t.Errorf("get(bob) = %+v, %v; want that it is deleted", c, ok)
	}
}
