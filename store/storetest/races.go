package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/store"
	"lockstep/verifier"
)

var errSpent = errors.New("step is spent")

// Claim spends step for id as a login does: load, look, swap, and from the
// start after a conflict. It returns an error if the step is spent already.
func Claim(ctx context.Context, s verifier.Store, id string, step int64) error {
	for {
		state, v, err := s.Load(ctx, id)
		if err != nil {
			return err
		}
		next, err := spend(state, step)
		if err != nil {
			return err
		}
		if err := s.CompareAndSwap(ctx, id, v, next); !errors.Is(err, verifier.ErrConflict) {
			return err
		}
	}
}

// Spent reports whether step was claimed for id.
func Spent(ctx context.Context, s verifier.Store, id string, step int64) (bool, error) {
	state, _, err := s.Load(ctx, id)
	if err != nil {
		return false, err
	}
	_, err = spend(state, step)
	return err != nil, nil
}

// kept is the number of spent steps, and of their details, that a record holds
// before the oldest go under the floor.
const kept = 64

func spend(s verifier.State, step int64) (verifier.State, error) {
	i, found := slices.BinarySearch(s.Spent, step)
	if found || step <= s.Floor {
		return s, errSpent
	}
	s.Spent = slices.Insert(s.Spent, i, step)
	s.Recent = slices.Insert(s.Recent, 0, verifier.Spent{Step: step, At: noon, By: "vpn"})
	if len(s.Spent) > kept {
		s.Floor = s.Spent[0]
		s.Spent = s.Spent[1:]
		s.Recent = s.Recent[:kept]
	}
	return s, nil
}

func oneWinner(t *testing.T, s store.Store) {
	for step := int64(1); step <= 5; step++ {
		var wins, losses atomic.Int64
		together(100, func(int) {
			switch err := Claim(t.Context(), s, "alice", step); {
			case err == nil:
				wins.Add(1)
			case errors.Is(err, errSpent):
				losses.Add(1)
			default:
				t.Error(err)
			}
		})
		if wins.Load() != 1 || losses.Load() != 99 {
			t.Errorf("step %d: %d claims win and %d lose; want 1 and 99", step, wins.Load(), losses.Load())
		}
	}

	// The same without looking: all have loaded one version.
	_, v := load(t, s, "alice")
	var wins, conflicts atomic.Int64
	together(100, func(i int) {
		switch err := s.CompareAndSwap(t.Context(), "alice", v, sample(i)); {
		case err == nil:
			wins.Add(1)
		case errors.Is(err, verifier.ErrConflict):
			conflicts.Add(1)
		default:
			t.Error(err)
		}
	})
	if wins.Load() != 1 || conflicts.Load() != 99 {
		t.Errorf("of one version: %d win and %d conflict; want 1 and 99", wins.Load(), conflicts.Load())
	}
}

// together runs f n times at once, and returns when all have ended.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

func noLostUpdate(t *testing.T, s store.Store) {
	const workers, rounds = 8, 15
	together(workers, func(int) {
		for range rounds {
			for {
				state, v, err := s.Load(t.Context(), "alice")
				if err != nil {
					t.Error(err)
					return
				}
				state.Failures++
				err = s.CompareAndSwap(t.Context(), "alice", v, state)
				if err == nil {
					break
				}
				if !errors.Is(err, verifier.ErrConflict) {
					t.Error(err)
					return
				}
			}
		}
	})
	if state, _ := load(t, s, "alice"); state.Failures != workers*rounds {
		t.Errorf("%d updates are left of %d", state.Failures, workers*rounds)
	}
}

func manyKeys(t *testing.T, s store.Store) {
	const n = 200
	id := func(i int) string { return fmt.Sprint("user", i) }
	together(n, func(i int) {
		if err := Claim(t.Context(), s, id(i), int64(i)+1); err != nil {
			t.Errorf("%s: %v", id(i), err)
		}
	})
	for i := range n {
		state, _ := load(t, s, id(i))
		if len(state.Spent) != 1 || state.Spent[0] != int64(i)+1 {
			t.Errorf("%s has %+v; want step %d alone", id(i), state, i+1)
		}
	}
}

func cancelled(t *testing.T, s store.Store) {
	swap(t, s, "alice", 0, sample(1))
	_, v := load(t, s, "alice")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	for _, tt := range []struct {
		ctx  context.Context
		want error
	}{{ctx, context.Canceled}, {late, context.DeadlineExceeded}} {
		if state, v, err := s.Load(tt.ctx, "alice"); !errors.Is(err, tt.want) || v != 0 || len(state.Spent) != 0 {
			t.Errorf("Load = %+v, %d, %v; want nothing and %v", state, v, err, tt.want)
		}
		if err := s.CompareAndSwap(tt.ctx, "alice", v, sample(2)); !errors.Is(err, tt.want) {
			t.Errorf("CompareAndSwap = %v; want %v", err, tt.want)
		}
		if err := s.Delete(tt.ctx, "alice"); !errors.Is(err, tt.want) {
			t.Errorf("Delete = %v; want %v", err, tt.want)
		}
		if err := s.List(tt.ctx, func(string, verifier.State) error { return nil }); !errors.Is(err, tt.want) {
			t.Errorf("List = %v; want %v", err, tt.want)
		}
	}
	if got := wantState(t, s, "alice", sample(1)); got != v {
		t.Errorf("version goes from %d to %d", v, got)
	}
}

func healthy(t *testing.T, s store.Store) {
	for range 3 {
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		swap(t, s, "alice", version(t, s, "alice"), sample(1))
	}
	// A conflict is an answer, not a fault.
	wantConflict(t, s, "alice", 0)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func version(t testing.TB, s store.Store, id string) verifier.Version {
	t.Helper()
	_, v := load(t, s, id)
	return v
}

func closed(t *testing.T, s store.Store) {
	swap(t, s, "alice", 0, sample(1))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, _, loadErr := s.Load(t.Context(), "alice")
	for what, err := range map[string]error{
		"Load":           loadErr,
		"CompareAndSwap": s.CompareAndSwap(t.Context(), "alice", 0, sample(1)),
		"Delete":         s.Delete(t.Context(), "alice"),
		"List":           s.List(t.Context(), func(string, verifier.State) error { return nil }),
		"Check":          s.Check(t.Context()),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close = %v; want %v", what, err, store.ErrClosed)
		}
	}
}
