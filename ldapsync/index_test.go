package ldapsync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// An index against a map, with hashes of which many are the same, and records that
// are in with more than one.
func TestIndex(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			x, model := newIndex(), map[*record][]uint32{}
			hash := func() uint32 { return uint32(rng.IntN(1 << rng.IntN(10))) }
			any := func() *record {
				for r := range model {
					return r
				}
				return nil
			}
			for range 3000 {
				if rng.IntN(50) == 0 {
					x.trim()
				}
				switch old := any(); {
				case old == nil || rng.IntN(10) < 4:
					r := &record{text: fmt.Sprint(rng.Uint64())}
					for range 1 + rng.IntN(2) {
						h := hash()
						x.add(h, r)
						model[r] = append(model[r], h)
					}
				case rng.IntN(2) == 0:
					r := &record{text: old.text}
					for _, h := range model[old] {
						x.swap(h, old, r)
					}
					model[r] = model[old]
					delete(model, old)
				default:
					for _, h := range model[old] {
						x.remove(h, old)
					}
					delete(model, old)
				}
			}
			compareIndex(t, x, model)
		})
	}
}

func compareIndex(t *testing.T, x *index, model map[*record][]uint32) {
	t.Helper()
	live := 0
	for r, hashes := range model {
		live += len(hashes)
		for _, h := range hashes {
			found := false
			x.each(h, func(other *record) bool {
				found = found || other == r
				return !found
			})
			if !found {
				t.Errorf("not found by %d", h)
			}
		}
	}
	seen := map[*record]bool{}
	n := 0
	x.all(func(r *record) bool { seen[r] = true; n++; return true })
	if n != live || x.live != live || len(seen) != len(model) {
		t.Errorf("%d records %d times, counted as %d; want %d, %d times", len(seen), n, x.live, len(model), live)
	}
	for r := range maps.Keys(seen) {
		if model[r] == nil {
			t.Errorf("a record that has gone is still there")
		}
	}
}

func TestAnIndexDoesNotGrowByWhatHasGone(t *testing.T) {
	t.Parallel()
	x := newIndex()
	for n := range uint32(100_000) {
		r := &record{}
		x.add(n, r)
		x.remove(n, r)
	}
	if got := len(x.table.Load().slots); got != fewestSlots {
		t.Errorf("%d slots for nothing, want %d", got, fewestSlots)
	}
}

// What a refresh has made room for is given back, however many came.
func TestIndexesHaveLittleRoomAfterARefresh(t *testing.T) {
	for n := 1000; n < 3000; n += 150 {
		r := filled(replicaFor(t), key1, n)
		for _, x := range []*index{r.names, r.ids, r.dns} {
			if slots := len(x.table.Load().slots); slots > n*17/10 || x.live != n {
				t.Errorf("%d slots for %d records, of %d", slots, x.live, n)
			}
		}
		if _, err := r.lookup(fmt.Sprintf("user%07d", n-1), opened); err != nil {
			t.Error(err)
		}
	}
}
