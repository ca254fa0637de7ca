package store_test

import (
	"context"
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
	}, nil)
	if err != nil || got != (store.Copied{Written: 1000}) || calls != 1000 {
		t.Errorf("Copy = %+v, %v with %d steps", got, err, calls)
	}
	if !reflect.DeepEqual(content(t, to), content(t, from)) {
		t.Error("what was copied differs")
	}
	if got, err = store.Copy(t.Context(), from, to, nil, nil); err != nil || got != (store.Copied{Same: 1000}) {
		t.Errorf("again, Copy = %+v, %v", got, err)
	}
}

func TestCopyOverwritesNothing(t *testing.T) {
	from, to := temporary(t), temporary(t)
	put(t, from, "alice", used(100))
	put(t, from, "bob", used(100))
	put(t, to, "alice", used(101))
	got, err := store.Copy(t.Context(), from, to, nil, nil)
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
	got, err := store.Copy(t.Context(), openBolt(t, path), to, nil, nil)
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
	if got, err := store.Copy(t.Context(), from, to, nil, nil); !errors.Is(err, store.ErrClosed) || got != (store.Copied{}) {
		t.Errorf("Copy to a closed store = %+v, %v", got, err)
	}
}

// refuses reports what a server is told that would start with the file.
func refuses(t *testing.T, path string) error {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Restored(t.Context())
	return err
}

// Half of a copy is not served from, whatever cut it short. To go on takes away what
// says so, and nothing is lost.
func TestHalfACopyIsNotServedFrom(t *testing.T) {
	from, path := temporary(t), filepath.Join(t.TempDir(), "state.db")
	for i := range 1000 {
		put(t, from, fmt.Sprint("key", i), used(int64(100+i)))
	}
	at := time.UnixMilli(1_600_000_000_000).UTC()
	if err := from.MarkRestored(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	to := openBolt(t, path)
	ctx, cut := context.WithCancel(t.Context())
	got, err := store.Copy(ctx, from, to, func(done, _ int) {
		if done == 100 {
			cut()
		}
	}, nil)
	if !errors.Is(err, context.Canceled) || got.Written < 100 || got.Written == 1000 {
		t.Fatalf("Copy = %+v, %v", got, err)
	}
	to.Close()
	if err := refuses(t, path); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("a server takes half of it: %v", err)
	}
	half := openBolt(t, path)
	if got, err := store.Copy(t.Context(), half, temporary(t), nil, nil); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("half of it is copied on: %+v, %v", got, err)
	}
	again, err := store.Copy(t.Context(), from, half, nil, nil)
	if want := (store.Copied{Written: 1000 - got.Written, Same: got.Written}); err != nil || again != want {
		t.Errorf("again, Copy = %+v, %v; want %+v", again, err, want)
	}
	if is, err := half.Restored(t.Context()); err != nil || !is.Equal(at) {
		t.Errorf("restored at %v, %v; want %v", is, err, at)
	}
	if !reflect.DeepEqual(content(t, half), content(t, from)) {
		t.Error("what was copied differs")
	}
	half.Close()
	if err := refuses(t, path); err != nil {
		t.Errorf("a server refuses all of it: %v", err)
	}
}

func TestACopyDuringWhichAServerCameUpIsNone(t *testing.T) {
	from, to := temporary(t), temporary(t)
	put(t, from, "alice", used(100))
	inUse := errors.New("in use")
	got, err := store.Copy(t.Context(), from, to, nil, func(ctx context.Context) error {
		if _, err := to.Restored(ctx); !errors.Is(err, store.ErrHalfCopied) {
			t.Errorf("the mark is gone before that is asked: %v", err)
		}
		return inUse
	})
	if !errors.Is(err, inUse) || got.Written != 1 {
		t.Errorf("Copy = %+v, %v", got, err)
	}
	if _, err := to.Restored(t.Context()); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("a server takes it: %v", err)
	}
}

// What was copied is old once the source is used again: codes spent since would be good.
func TestACopyOfWhatWasUsedSinceItWasCutShortIsNone(t *testing.T) {
	from, to := temporary(t), temporary(t)
	put(t, from, "alice", used(100))
	cut := func(context.Context) error { return errors.New("cut short") }
	if _, err := store.Copy(t.Context(), from, to, nil, cut); err == nil {
		t.Fatal("it is not cut short")
	}
	put(t, from, "alice", used(101))
	for range 2 {
		if got, err := store.Copy(t.Context(), from, to, nil, nil); !errors.Is(err, store.ErrInUse) || got.Differ != 1 {
			t.Errorf("Copy = %+v, %v", got, err)
		}
		if _, err := to.Restored(t.Context()); !errors.Is(err, store.ErrHalfCopied) {
			t.Errorf("a server takes it: %v", err)
		}
	}
}
