package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

func TestFileAndDirectoryAreForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "lockstep")
	path := filepath.Join(dir, "state.db")
	open(t, path, Options{})
	for name, want := range map[string]os.FileMode{path: 0o600, lockPath(path): 0o600, dir: 0o700 | os.ModeDir, filepath.Dir(dir): 0o700 | os.ModeDir} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if files := filesIn(t, dir); len(files) != 1 {
		t.Errorf("directory holds %v; want the file alone", files)
	}
}

// filesIn returns what is in dir, but the lock.
func filesIn(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f os.DirEntry) bool { return strings.HasSuffix(f.Name(), ".lock") })
}

func TestASecondProcessIsToldSo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	began := time.Now()
	_, err := Open(path, Options{})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Open = %v; want %v, with the path", err, ErrInUse)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("second Open takes %v", took)
	}
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Errorf("claim of the first: %v", err)
	}
}

func TestManyMayCreateTheFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := createIfAbsent(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	open(t, path, Options{})
}

// edit changes the closed file at path behind the store's back.
func edit(t *testing.T, path string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	setFormat := func(v string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(formatKey, []byte(v)) })
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, string)
		want  string
	}{
		{"a newer format", setFormat(strconv.Itoa(lastFormat + 1)), "newer lockstep"},
		{"a format of 0", setFormat("0"), "does not say its format"},
		{"a format that is none", setFormat("x"), "does not say its format"},
		{"a file without states", func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket(recordsBucket) })
		}, "not a state file of lockstep"},
		{"a bbolt file of another program", func(t *testing.T, path string) {
			os.Remove(path)
			edit(t, path, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err })
		}, "not a state file of lockstep"},
		{"an empty file", func(t *testing.T, path string) { os.Truncate(path, 0) }, "the file is empty"},
		{"a text", func(t *testing.T, path string) { os.WriteFile(path, []byte("hello\n"), 0o600) }, "invalid database"},
		{"zeros", func(t *testing.T, path string) { os.WriteFile(path, make([]byte, 32768), 0o600) }, "invalid database"},
		{"a file cut short", func(t *testing.T, path string) { os.Truncate(path, 8192) }, ""},
		{"a directory", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, "is a directory"},
		{"a link to nowhere", func(t *testing.T, path string) { os.Remove(path); os.Symlink("nowhere", path) }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if s, err := Open(path, Options{}); err != nil {
				t.Fatal(err)
			} else if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, path)
			before, _ := os.ReadFile(path)
			s, err := Open(path, Options{})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Open = %v; want an error with %q and the path", err, tt.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
				t.Error("Open changes the file that it refuses")
			}
		})
	}
}

func TestADamagedRecordIsAnErrorAndNotAnEmptyState(t *testing.T) {
	good := append([]byte{0, 0, 0, 0, 0, 0, 0, 9}, store.Encode(verifier.State{Failures: 300})...)
	for name, raw := range map[string][]byte{
		"nothing":         {},
		"a version alone": good[:8],
		"cut short":       good[:len(good)-1],
		"a byte too many": append(bytes.Clone(good), 0),
		"a newer format":  append(bytes.Clone(good[:8]), 2, 0, 0, 0, 0),
		"version 0":       append(make([]byte, 8), good[8:]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			s, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"alice", "carol"} {
				if err := storetest.Claim(t.Context(), s, id, 1); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(recordsBucket).Put([]byte("bob"), raw) })

			s = open(t, path, Options{})
			if state, v, err := s.Load(t.Context(), "bob"); err == nil || v != 0 || state.Failures != 0 {
				t.Errorf("Load = %+v, %d, %v; want an error", state, v, err)
			}
			if err := storetest.Claim(t.Context(), s, "bob", 1); err == nil {
				t.Error("a claim on a damaged record succeeds")
			}
			if err := s.CompareAndSwap(t.Context(), "bob", 0, verifier.State{}); err == nil {
				t.Error("a damaged record is overwritten as if there were none")
			}
			var seen []string
			err = s.List(t.Context(), func(id string, _ verifier.State) error { seen = append(seen, id); return nil })
			if err == nil || !strings.Contains(err.Error(), `"bob"`) || strings.Join(seen, " ") != "alice carol" {
				t.Errorf("List gives %q and %v; want alice, carol and an error about bob", seen, err)
			}
			if err := storetest.Claim(t.Context(), s, "alice", 2); err != nil {
				t.Errorf("claim of another key: %v", err)
			}
		})
	}
}
