package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"lockstep/store"
	"lockstep/verifier"
)

var noon = time.Date(2024, 2, 29, 12, 0, 0, 250e6, time.UTC)

// sample is a State with something in every field, told from others by n.
func sample(n int) verifier.State {
	step := int64(n)
	return verifier.State{
		Floor:    step,
		Spent:    []int64{step + 1, step + 9},
		Recent:   []verifier.Spent{{Step: step + 1, At: noon, By: "vpn"}, {Step: step + 9, At: noon, By: ""}},
		Clock:    clock(n),
		Former:   clock(-n),
		Far:      verifier.Far{At: noon, Source: fmt.Sprint("far ", n), Steps: []int64{-step - 1, step}},
		Failures: uint32(n),
		Sources:  []verifier.SourceFailures{{Source: fmt.Sprint("source ", n), Count: 2, Last: noon, Input: uint16(n), Kind: verifier.WrongCode}},
	}
}

func clock(n int) verifier.Clock {
	low := time.Duration(n) * time.Millisecond
	return verifier.Clock{
		At: noon, Offset: verifier.Offsets{Low: low, High: low + time.Second}, Rate: verifier.Rates{Low: -60_000, High: int64(n)},
		Since: noon.Add(-time.Hour), Start: verifier.Offsets{Low: -time.Second, High: time.Second},
	}
}

func load(t testing.TB, s store.Store, id string) (verifier.State, verifier.Version) {
	t.Helper()
	state, v, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load(%q): %v", id, err)
	}
	return state, v
}

func swap(t testing.TB, s store.Store, id string, old verifier.Version, next verifier.State) {
	t.Helper()
	if err := s.CompareAndSwap(t.Context(), id, old, next); err != nil {
		t.Fatalf("CompareAndSwap(%q, %d): %v", id, old, err)
	}
}

func wantState(t testing.TB, s store.Store, id string, want verifier.State) verifier.Version {
	t.Helper()
	got, v := load(t, s, id)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load(%q) = %+v; want %+v", id, got, want)
	}
	return v
}

func unseen(t *testing.T, s store.Store) {
	if v := wantState(t, s, "alice", verifier.State{}); v != 0 {
		t.Errorf("version is %d; want 0", v)
	}
}

func written(t *testing.T, s store.Store) {
	for i, want := range []verifier.State{sample(1), sample(2), {}} {
		_, v := load(t, s, "alice")
		swap(t, s, "alice", v, want)
		if got := wantState(t, s, "alice", want); got == 0 || got == v {
			t.Errorf("write %d: version goes from %d to %d", i, v, got)
		}
	}
}

func versions(t *testing.T, s store.Store) {
	wantConflict(t, s, "alice", 1)
	swap(t, s, "alice", 0, sample(1))
	v1 := wantState(t, s, "alice", sample(1))
	wantConflict(t, s, "alice", 0)
	wantConflict(t, s, "alice", v1+1)
	swap(t, s, "alice", v1, sample(2))
	wantConflict(t, s, "alice", v1)
	wantState(t, s, "alice", sample(2))
}

// wantConflict expects that a swap fails, and leaves what is there.
func wantConflict(t testing.TB, s store.Store, id string, old verifier.Version) {
	t.Helper()
	before, v := load(t, s, id)
	if err := s.CompareAndSwap(t.Context(), id, old, sample(99)); !errors.Is(err, verifier.ErrConflict) {
		t.Errorf("CompareAndSwap(%q, %d) = %v; want a conflict", id, old, err)
	}
	if got := wantState(t, s, id, before); got != v {
		t.Errorf("a conflict changes version %d to %d", v, got)
	}
}

// noABA deletes and writes again: a claim made before must not succeed.
func noABA(t *testing.T, s store.Store) {
	seen := map[verifier.Version]bool{0: true}
	for round := range 5 {
		swap(t, s, "alice", 0, sample(round))
		_, first := load(t, s, "alice")
		swap(t, s, "alice", first, sample(50+round)) // as it is it might stay
		_, second := load(t, s, "alice")
		for _, v := range []verifier.Version{first, second} {
			if seen[v] {
				t.Errorf("round %d: version %d is given again", round, v)
			}
			seen[v] = true
		}
		if err := s.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		wantConflict(t, s, "alice", second)
	}
}

func otherKey(t *testing.T, s store.Store) {
	swap(t, s, "alice", 0, sample(1))
	swap(t, s, "alice", wantState(t, s, "alice", sample(1)), sample(2))
	_, v := load(t, s, "alice")
	wantConflict(t, s, "bob", v)
}

func deleted(t *testing.T, s store.Store) {
	swap(t, s, "alice", 0, sample(1))
	swap(t, s, "bob", 0, sample(2))
	for range 2 { // the second finds nothing, and is no error
		if err := s.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if v := wantState(t, s, "alice", verifier.State{}); v != 0 {
			t.Errorf("version after Delete is %d; want 0", v)
		}
	}
	wantState(t, s, "bob", sample(2))
	swap(t, s, "alice", 0, sample(3))
	wantState(t, s, "alice", sample(3))
}

func list(t *testing.T, s store.Store) {
	want := map[string]verifier.State{}
	for i := range 600 { // more than a store may read at a time
		id := fmt.Sprintf("user%03d", i*7%600)
		want[id] = sample(i)
		swap(t, s, id, 0, want[id])
	}
	got := map[string]verifier.State{}
	var order []string
	err := s.List(t.Context(), func(id string, state verifier.State) error {
		got[id] = state
		order = append(order, id)
		if len(order)%100 == 0 { // must not wait for itself
			_, v := load(t, s, id)
			swap(t, s, id, v, state)
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) || len(order) != len(want) {
		t.Errorf("List = %v, with %d calls and %d ids; want %d", err, len(order), len(got), len(want))
	}
	if !sort.StringsAreSorted(order) {
		t.Errorf("ids are not in order: %q", order)
	}
}

func listStops(t *testing.T, s store.Store) {
	for _, id := range []string{"a", "b", "c"} {
		swap(t, s, id, 0, sample(1))
	}
	enough, calls := errors.New("enough"), 0
	err := s.List(t.Context(), func(string, verifier.State) error {
		calls++
		if calls == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 {
		t.Errorf("List = %v after %d calls; want %v after 2", err, calls, enough)
	}
}

func oddIDs(t *testing.T, s store.Store) {
	ids := []string{
		"\x00", "\x00\x00", "a", "a\x00", "a\x00b", "A", "a/b", "a/", "/a", "../a", " ", "a b", "a\nb", "\xff", "\xff\xfe", "é", "e\u0301",
		"*", "%", "'", "\"", "uid=a,dc=example", strings.Repeat("x", store.MaxID), strings.Repeat("\xff", store.MaxID),
	}
	for i, id := range ids {
		swap(t, s, id, 0, sample(i))
	}
	for i, id := range ids {
		wantState(t, s, id, sample(i))
	}
	var got []string
	if err := s.List(t.Context(), func(id string, _ verifier.State) error { got = append(got, id); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("List gives %q; want %q", got, ids)
	}
	for i, id := range ids {
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete(%q): %v", id, err)
		}
		if _, v := load(t, s, id); v != 0 {
			t.Errorf("id %d, %q, is there after Delete", i, id)
		}
	}
}

func badIDs(t *testing.T, s store.Store) {
	for _, id := range []string{"", strings.Repeat("x", store.MaxID+1), strings.Repeat("x", 100_000)} {
		if _, _, err := s.Load(t.Context(), id); err == nil {
			t.Errorf("Load takes an id of %d bytes", len(id))
		}
		if err := s.CompareAndSwap(t.Context(), id, 0, sample(1)); err == nil || errors.Is(err, verifier.ErrConflict) {
			t.Errorf("CompareAndSwap with an id of %d bytes = %v; want an error, not a conflict", len(id), err)
		}
		if err := s.Delete(t.Context(), id); err == nil {
			t.Errorf("Delete takes an id of %d bytes", len(id))
		}
	}
}

func badStates(t *testing.T, s store.Store) {
	swap(t, s, "alice", 0, sample(1))
	_, v := load(t, s, "alice")
	for name, bad := range map[string]verifier.State{
		"spent steps that descend": {Spent: []int64{2, 1}},
		"a clock never observed":   {Clock: verifier.Clock{Since: noon}},
		"over a megabyte":          {Sources: []verifier.SourceFailures{{Source: strings.Repeat("x", store.MaxRecord)}}},
	} {
		if err := s.CompareAndSwap(t.Context(), "alice", v, bad); err == nil || errors.Is(err, verifier.ErrConflict) {
			t.Errorf("%s: CompareAndSwap = %v; want an error, not a conflict", name, err)
		}
	}
	if got := wantState(t, s, "alice", sample(1)); got != v {
		t.Errorf("version goes from %d to %d", v, got)
	}
}

func bigState(t *testing.T, s store.Store) {
	var big verifier.State
	for i := range int64(20_000) {
		big.Spent = append(big.Spent, i*3+1)
		big.Recent = append(big.Recent, verifier.Spent{Step: i*3 + 1, At: noon, By: strings.Repeat("n", 30)})
	}
	swap(t, s, "alice", 0, big)
	wantState(t, s, "alice", big)
}

func notShared(t *testing.T, s store.Store) {
	mine := sample(1)
	swap(t, s, "alice", 0, mine)
	scribble(mine)
	wantState(t, s, "alice", sample(1))
	loaded, _ := load(t, s, "alice")
	scribble(loaded)
	wantState(t, s, "alice", sample(1))

	// The other way round: a later write must not show in what was loaded.
	kept, v := load(t, s, "alice")
	for i := range 20 {
		swap(t, s, "alice", v, sample(i))
		_, v = load(t, s, "alice")
	}
	if !reflect.DeepEqual(kept, sample(1)) {
		t.Errorf("a State changes after Load, to %+v", kept)
	}
}

func scribble(s verifier.State) {
	s.Spent[0] = 1 << 40
	s.Recent[0] = verifier.Spent{Step: 1 << 40, By: "scribble"}
	s.Far.Steps[0] = 1 << 40
	s.Sources[0].Source = "scribble"
}
