package bolt

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/store"
	"lockstep/store/bolt/journal"
)

var restoredAt = time.UnixMilli(1_700_000_000_123).UTC()

func backupOf(t *testing.T, s *Store) *store.BackupReader {
	t.Helper()
	var b bytes.Buffer
	if _, err := store.Backup(t.Context(), s, &b, store.BackupHead{Made: restoredAt}, nil); err != nil {
		t.Fatal(err)
	}
	r, err := store.NewBackupReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantRestored(t *testing.T, s *Store, want time.Time) {
	t.Helper()
	if got, err := s.Restored(t.Context()); !got.Equal(want) || err != nil {
		t.Errorf("Restored() = %v, %v; want %v", got, err, want)
	}
}

// A file that is in use is not replaced; one that was killed is, with its log. The new
// one goes on as any other does.
func TestRestoreReplacesFileAndLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{limits: small})
	write(t, s, "alice", 1)
	backup := backupOf(t, s)
	for i := range 200 {
		write(t, s, "bob", i)
	}
	if err := Restore(t.Context(), path, backup, restoredAt, nil); err == nil || !strings.Contains(err.Error(), ErrInUse.Error()) {
		t.Fatalf("while in use: %v", err)
	}
	left := copyState(t, path)
	numbers, err := journal.Files(left)
	if err != nil || len(numbers) == 0 {
		t.Fatalf("no log is left: %v", err)
	}
	logs := map[string][]byte{}
	for _, n := range numbers {
		logs[journal.Path(left, n)], _ = os.ReadFile(journal.Path(left, n))
	}
	if err := Restore(t.Context(), left, backupOf(t, s), restoredAt, nil); err != nil {
		t.Fatal(err)
	}
	// As if it had been killed before it could remove the old log.
	for name, data := range logs {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]uint32{"alice": 1, "bob": 199}
	for range 3 {
		again, err := Open(left, Options{limits: small})
		if err != nil {
			t.Fatal(err)
		}
		wantRestored(t, again, restoredAt)
		if got := contents(t, again); !reflect.DeepEqual(got, want) {
			t.Errorf("%v; want %v", got, want)
		}
		want["carol"]++
		write(t, again, "carol", int(want["carol"]))
		crashed := copyState(t, left)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		left = crashed
	}
	if is, err := os.Stat(left); err != nil || is.Mode() != 0o600 {
		t.Errorf("%v, %v", is, err)
	}
}

// A program that knows nothing of restores does not take the file.
func TestARestoredFileHasAnotherFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	write(t, s, "alice", 1)
	if err := s.MarkRestored(t.Context(), restoredAt); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkRestored(t.Context(), restoredAt.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, s, restoredAt)
	formats := ""
	look := func(path string) {
		edit(t, path, func(tx *tx) error { formats += string(tx.Bucket(metaBucket).Get(formatKey)); return nil })
	}
	look(copyState(t, path))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look(path)
	if formats != "43" {
		t.Errorf("formats %q", formats)
	}
	wantRestored(t, open(t, path, Options{}), restoredAt)
}

// A file that somebody puts back by hand is noticed, also one that has nothing to do
// with the one before, and none at all. What was always there is not.
func TestAFileThatWasPutBackIsNoticed(t *testing.T) {
	now := func() time.Time { return restoredAt }
	for _, tt := range []struct {
		name    string
		put     func(path, copied string) error
		noticed bool
	}{
		{"nothing", func(string, string) error { return nil }, false},
		{"an old copy", func(path, copied string) error { return os.Rename(copied, path) }, true},
		{"removed", func(path, _ string) error { return os.Remove(path) }, true},
		{"an old copy, and the lock", func(path, copied string) error {
			return os.Rename(copied, path) // and os.Remove below
		}, false},
	} {
		path := filepath.Join(t.TempDir(), "state.db")
		use := func(id string) *Store {
			s, err := Open(path, Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			write(t, s, id, 1)
			return s
		}
		if err := use("alice").Close(); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		data, _ := os.ReadFile(path)
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := use("bob").Close(); err != nil {
			t.Fatal(err)
		}
		if err := tt.put(path, copied); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(tt.name, "and the lock") {
			os.Remove(lockPath(path))
		}
		log, logged := logger()
		s := open(t, path, Options{Now: now, Log: log})
		want := time.Time{}
		if tt.noticed {
			want = restoredAt
		}
		wantRestored(t, s, want)
		if strings.Contains(logged(), "put it back") != tt.noticed {
			t.Errorf("%s: the log says %q", tt.name, logged())
		}
	}
}

// The disk fails: the old state is as it was.
func TestRestoreIsAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	write(t, s, "alice", 1)
	backup := backupOf(t, s)
	write(t, s, "alice", 2)
	left := copyState(t, path)
	half := filepath.Join(filepath.Dir(left), halfRestored(left)+"123")
	if err := os.WriteFile(half, []byte("of one that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		// Nothing can be named so, and so no file can be replaced: the last step fails.
		if err := os.Rename(left, left+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(left, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.Context(), left, backup, restoredAt, nil); err == nil {
			t.Fatal("a directory is replaced")
		}
		os.RemoveAll(left)
		os.Rename(left+".away", left)
	}
	again := open(t, left, Options{})
	if got := contents(t, again); got["alice"] != 2 {
		t.Errorf("%v", got)
	}
	wantRestored(t, again, time.Time{})
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), left, backupOf(t, s), restoredAt, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("what a restore that was killed has left is still there")
	}
}
