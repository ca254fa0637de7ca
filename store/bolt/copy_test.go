package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"lockstep/store"
)

// A program that knows nothing of copies does not take half of one; this one takes
// the file for what it is, also where it was killed.
func TestHalfACopyHasAnotherFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	_, end, err := s.BeginCopy(t.Context(), store.CopyMark{Restored: restoredAt, Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "alice", 1)
	formats := ""
	look := func(path string) {
		edit(t, path, func(tx *tx) error { formats += string(tx.Bucket(metaBucket).Get(formatKey)); return nil })
	}
	killed := copyState(t, path)
	look(killed)
	again := open(t, killed, Options{})
	if _, err := again.Restored(t.Context()); !errors.Is(err, store.ErrHalfCopied) {
		t.Errorf("after a kill: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	look(killed)
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, s, restoredAt)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look(path)
	if formats != "873" {
		t.Errorf("formats %q", formats)
	}
	wantRestored(t, open(t, path, Options{}), restoredAt)
}

// A restore replaces the whole file, and what a copy has left with it.
func TestARestoreReplacesHalfACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	write(t, s, "alice", 1)
	backup := backupOf(t, s)
	if _, _, err := s.BeginCopy(t.Context(), store.CopyMark{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), path, backup, restoredAt, nil); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, open(t, path, Options{}), restoredAt)
}
