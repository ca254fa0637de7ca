package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/verifier"
)

func openBolt(t *testing.T, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func temporary(t *testing.T) *bolt.Store {
	return openBolt(t, filepath.Join(t.TempDir(), "state.db"))
}

func used(step int64) verifier.State {
	return verifier.State{Floor: 7, Spent: []int64{step}, Failures: 3,
		Recent: []verifier.Spent{{Step: step, At: time.UnixMilli(1_700_000_000_000).UTC(), By: "vpn"}}}
}

func put(t *testing.T, s store.Store, id string, state verifier.State) {
	t.Helper()
	_, v, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CompareAndSwap(t.Context(), id, v, state); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, s store.Store) map[string]verifier.State {
	t.Helper()
	all := map[string]verifier.State{}
	if err := s.List(t.Context(), func(id string, state verifier.State) error { all[id] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCopyLosesNothing(t *testing.T) {
	from, to := temporary(t), temporary(t)
	for i := range 1000 {
		put(t, from, fmt.Sprintf("key\x00%d\xff", i), used(int64(100+i)))
	}
	last, calls := 0, 0
	got, err := store.Copy(t.Context(), from, to, func(done, of int) {
		if done != last+1 || of != 1000 {
			t.Errorf("step %d of %d after %d", done, of, last)
		}
		last, calls = done, calls+1
	})
	if err != nil || got != (store.Copied{Written: 1000}) || calls != 1000 {
		t.Errorf("Copy = %+v, %v with %d steps", got, err, calls)
	}
	if !reflect.DeepEqual(content(t, to), content(t, from)) {
		t.Error("what was copied differs")
	}
	if got, err = store.Copy(t.Context(), from, to, nil); err != nil || got != (store.Copied{Same: 1000}) {
		t.Errorf("again, Copy = %+v, %v", got, err)
	}
}

func TestCopyOverwritesNothing(t *testing.T) {
	from, to := temporary(t), temporary(t)
	put(t, from, "alice", used(100))
	put(t, from, "bob", used(100))
	put(t, to, "alice", used(101))
	got, err := store.Copy(t.Context(), from, to, nil)
	if err != nil || got != (store.Copied{Written: 1, Differ: 1}) {
		t.Errorf("Copy = %+v, %v", got, err)
	}
	want := map[string]verifier.State{"alice": used(101), "bob": used(100)}
	if is := content(t, to); !reflect.DeepEqual(is, want) {
		t.Errorf("the store holds %+v; want %+v", is, want)
	}
}

func TestCopySaysWhatItCouldNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	from, to := openBolt(t, path), temporary(t)
	put(t, from, "alice", used(100))
	put(t, from, "bob", used(100))
	from.Close()
	damage(t, path, "alice")
	got, err := store.Copy(t.Context(), openBolt(t, path), to, nil)
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "alice") || got.Written != 1 {
		t.Errorf("Copy = %+v, %v; want all but alice, and who it is", got, err)
	}
}

// damage flips a bit of the last octet of a record.
func damage(t *testing.T, path, id string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			raw := append([]byte(nil), b.Get([]byte(id))...)
			if len(raw) == 0 {
				return nil
			}
			raw[len(raw)-1] ^= 1
			return b.Put([]byte(id), raw)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCopyStopsAtTheFirstError(t *testing.T) {
	from, to := temporary(t), temporary(t)
	for i := range 500 {
		put(t, from, fmt.Sprint("key", i), used(1_000))
	}
	to.Close()
	if got, err := store.Copy(t.Context(), from, to, nil); !errors.Is(err, store.ErrClosed) || got != (store.Copied{}) {
		t.Errorf("Copy to a closed store = %+v, %v", got, err)
	}
}
