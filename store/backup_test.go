package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/verifier"
)

var backupHead = store.BackupHead{Made: time.UnixMilli(1_700_000_100_000).UTC(), Engine: "bolt", Program: "test"}

func backupOf(t testing.TB, s store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := store.Backup(context.Background(), s, &b, backupHead, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// filled has n records, with all that a login leaves.
func filled(t *testing.T, n int) *bolt.Store {
	s := temporary(t)
	for i := range n {
		state := used(int64(100 + i))
		state.Last = verifier.Login{From: 1, Server: 2, Input: 3}
		state.Sources = []verifier.SourceFailures{{Source: "home", Count: 1, Last: state.Recent[0].At, Input: 77, Kind: verifier.WrongCode}}
		put(t, s, fmt.Sprintf("key:%04d", i), state)
	}
	return s
}

func TestBackupIsRestoredWhole(t *testing.T) {
	from := filled(t, 1000)
	b := backupOf(t, from)
	want := content(t, from)
	for id, s := range want {
		want[id] = store.Bare(s)
	}
	sum, err := store.CheckBackup(bytes.NewReader(b), nil)
	if err != nil || sum.Records != 1000 || sum.Made != backupHead.Made || sum.Newest != backupHead.Made || sum.Note != "" {
		t.Fatalf("%+v, %v", sum, err)
	}
	path := filepath.Join(t.TempDir(), "new", "state.db")
	at := time.UnixMilli(1_700_000_200_123).UTC()
	r, err := store.NewBackupReader(bytes.NewReader(b))
	if err == nil {
		err = bolt.Restore(t.Context(), path, r, at, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	to := openBolt(t, path)
	if got := content(t, to); !reflect.DeepEqual(got, want) {
		t.Errorf("%d records restored of %d, or others", len(got), len(want))
	}
	if got, err := to.Restored(t.Context()); got != at || err != nil {
		t.Errorf("restored at %v, %v", got, err)
	}
	if !bytes.Equal(backupOf(t, to), b) {
		t.Error("the backup of what was restored is another one")
	}
	// A copy goes on saying so.
	third := temporary(t)
	if _, err := store.Copy(t.Context(), to, third, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := third.Restored(t.Context()); got != at || err != nil {
		t.Errorf("the copy was restored at %v, %v", got, err)
	}
}

// Nothing of what was typed is in a backup.
func TestBackupHasNoHashesOfInput(t *testing.T) {
	if b := store.Bare(content(t, filled(t, 1))["key:0000"]); b.Last != (verifier.Login{}) || b.Sources[0].Input != 0 || b.Sources[0].Count != 1 {
		t.Errorf("%+v", b)
	}
}

// Whatever is cut off or changed, a backup is refused, and nothing is put in the
// place of the old state.
func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	b := backupOf(t, filled(t, 20))
	path := filepath.Join(t.TempDir(), "state.db")
	old := openBolt(t, path)
	put(t, old, "old", used(9))
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := store.CheckBackup(bytes.NewReader(b), nil); !errors.Is(err, store.ErrBackup) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := range b {
		refused(fmt.Sprint("the first ", n, " bytes"), b[:n])
		changed := bytes.Clone(b)
		changed[n] ^= 1 << (n % 8)
		refused(fmt.Sprint("byte ", n, " changed"), changed)
	}
	refused("a byte more", append(bytes.Clone(b), 0))
	newer := bytes.Clone(b)
	newer[11] = 2
	if _, err := store.CheckBackup(bytes.NewReader(newer), nil); err == nil || !strings.Contains(err.Error(), "written by a newer lockstep") {
		t.Errorf("a newer one: %v", err)
	}
	for _, n := range []int{len(b) - 1, len(b) / 2} {
		r, err := store.NewBackupReader(bytes.NewReader(b[:n]))
		if err != nil {
			t.Fatal(err)
		}
		if err := bolt.Restore(t.Context(), path, r, time.Now(), nil); !errors.Is(err, store.ErrBackup) {
			t.Errorf("Restore of %d bytes: %v", n, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Error("the old file has changed")
		}
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// failing is a disk that is full after so many bytes.
type failing int

func (f *failing) Write(b []byte) (int, error) {
	if *f -= failing(len(b)); *f < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestBackupToAFullDiskFails(t *testing.T) {
	s := filled(t, 200)
	n := failing(len(backupOf(t, s)))
	for _, room := range []failing{0, 1, n / 2, n - 1} {
		if _, err := store.Backup(t.Context(), s, &room, backupHead, nil); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%v", err)
		}
	}
}

// listing is a store whose list ends with an error.
type listing struct {
	store.Store
	err error
}

func (l listing) List(ctx context.Context, each func(string, verifier.State) error) error {
	return errors.Join(l.Store.List(ctx, each), l.err)
}

func TestBackupOfRecordsThatCannotBeRead(t *testing.T) {
	var b bytes.Buffer
	end, err := store.Backup(t.Context(), listing{filled(t, 3), fmt.Errorf("state x: %w", store.ErrDamaged)}, &b, backupHead, nil)
	if err != nil || end.Records != 3 || !strings.Contains(end.Note, "state x") {
		t.Errorf("damaged: %+v, %v", end, err)
	}
	if sum, err := store.CheckBackup(&b, nil); err != nil || sum.BackupEnd != end {
		t.Errorf("read again: %+v, %v", sum, err)
	}
	for _, fault := range []error{errors.New("disk"), fmt.Errorf("%w or %w", store.ErrDamaged, store.ErrNewer)} {
		if _, err := store.Backup(t.Context(), listing{filled(t, 3), fault}, io.Discard, backupHead, nil); !errors.Is(err, fault) {
			t.Errorf("%v: %v", fault, err)
		}
	}
}

func FuzzBackup(f *testing.F) {
	var b bytes.Buffer
	path := filepath.Join(f.TempDir(), "state.db")
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	_, _ = store.Backup(context.Background(), s, &b, backupHead, nil)
	f.Add(b.Bytes())
	_ = s.CompareAndSwap(context.Background(), "key:1", 0, used(5))
	_ = s.CompareAndSwap(context.Background(), "key:2", 0, used(6))
	f.Add(backupOf(f, s))
	f.Add([]byte("\xe7LkBack\n\x00\x00\x00\x01\x02{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum, err := store.CheckBackup(bytes.NewReader(b), nil)
		if err != nil && !reflect.DeepEqual(sum, store.BackupSummary{}) {
			t.Errorf("an error and part of a summary: %+v, %v", sum, err)
		}
		if err == nil && sum.Records > len(b) {
			t.Errorf("%d records in %d bytes", sum.Records, len(b))
		}
	})
}
