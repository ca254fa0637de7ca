package etcd

import (
	"errors"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/verifier"
)

// A restore and a copy each keep their hands off what the other has left.
func TestNoCopyIntoHalfARestore(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	from, to := open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()}), open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()})
	if err := from.CompareAndSwap(t.Context(), "alice", 0, verifier.State{Failures: 1}); err != nil {
		t.Fatal(err)
	}
	b := backupBytes(t, from)
	if err := to.Restore(t.Context(), reader(t, b[:len(b)-5]), restoredAt, nil); !errors.Is(err, store.ErrBackup) {
		t.Fatalf("cut short: %v", err)
	}
	if _, err := store.Copy(t.Context(), from, to, nil, nil); !errors.Is(err, ErrHalfRestored) {
		t.Errorf("a copy: %v", err)
	}
	if _, err := to.Restored(t.Context()); !errors.Is(err, ErrHalfRestored) {
		t.Errorf("the mark of a restore is gone: %v", err)
	}
}

// Servers that run hear of a copy as of a restore.
func TestHalfACopyIsTold(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	prefix := newPrefix()
	server, to := open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix}), open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix})
	if at, err := server.Restored(t.Context()); !at.IsZero() || err != nil {
		t.Errorf("at first: %v, %v", at, err)
	}
	backup := reader(t, backupBytes(t, to))
	_, end, err := to.BeginCopy(t.Context(), store.CopyMark{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	hears := func(want error) {
		t.Helper()
		testenv.Eventually(t, "the server to hear of it", func() bool {
			_, err := server.Restored(t.Context())
			return errors.Is(err, want)
		})
	}
	hears(store.ErrHalfCopied)
	if err := to.Restore(t.Context(), backup, restoredAt, nil); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("a restore over half a copy: %v", err)
	}
	// Programs from before there were such marks read it so.
	is, err := to.fetch(t.Context(), to.restoredKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeRestored(is.value); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an older program takes it: %v", err)
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	hears(nil)
}
