package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// secondsClock is a second later at each look, so that no probe has to wait.
func secondsClock() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return time.Unix(n.Add(1), 0) }
}

// awaitClaim claims step once the store is back, for which it may need tries.
func awaitClaim(t *testing.T, s *Store, id string, step int64) {
	t.Helper()
	testenv.Eventually(t, "the store to come back", func() bool { return storetest.Claim(t.Context(), s, id, step) == nil })
}

func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("needs root, to make a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	log, lines := logger()
	s := open(t, path, Options{Log: log, Now: secondsClock()})

	// Until it is full, and on.
	var claims []claim
	failed := 0
	state := verifier.State{Sources: []verifier.SourceFailures{{Source: strings.Repeat("x", 2000)}}}
	for i := 0; failed < 20; i++ {
		if i > 10_000 {
			t.Fatal("the disk does not get full")
		}
		id := fmt.Sprintf("user%05d", i)
		if err := s.CompareAndSwap(t.Context(), id, 0, state); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("write to a full disk = %v; want %v", err, unix.ENOSPC)
			}
			failed++
			continue
		}
		if err := storetest.Claim(t.Context(), s, id, 1); err != nil {
			failed++
			continue
		}
		claims = append(claims, claim{id, 1})
	}
	for _, c := range claims {
		if spent, err := storetest.Spent(t.Context(), s, c.id, c.step); !spent || err != nil {
			t.Errorf("on a full disk, step %d of %s is spent: %v, %v", c.step, c.id, spent, err)
		}
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check after space is back: %v", err)
	}
	if err := storetest.Claim(t.Context(), s, "late", 1); err != nil {
		t.Errorf("claim after space is back: %v", err)
	}
	claims = append(claims, claim{"late", 1})
	if got := lines(); !strings.Contains(got, "cannot be written") || !strings.Contains(got, "can be written again") {
		t.Errorf("log is\n%s", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d claims acknowledged, %d refused", len(claims), failed)
	wantSpent(t, path, claims)
}

// The name of a file is part of what was promised: without it, all is gone at
// the next start.
func TestAFileThatWasMovedAwayIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{Now: secondsClock()})
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	for step := int64(1); step < 4; step++ {
		if err := storetest.Claim(t.Context(), s, "alice", 2); err == nil {
			t.Error("a claim succeeds in a file that has no name")
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a new file appears in the place of the one moved away")
	}

	// Another one in its place knows nothing of what is spent.
	if other, err := Open(path, Options{}); err == nil {
		other.Close()
		t.Error("a store begins anew beside the log of the one moved away")
	}
	if other, err := Open(path+".other", Options{}); err != nil {
		t.Fatal(err)
	} else if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".other", path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := storetest.Claim(t.Context(), s, "alice", 1); err == nil {
			t.Error("a spent step is claimed again from a file put in place")
		}
	}
	testenv.Eventually(t, "Check to tell", func() bool { return errors.Is(s.Check(t.Context()), errReplaced) })

	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	awaitClaim(t, s, "alice", 2)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check after the file is back: %v", err)
	}
	if spent, err := storetest.Spent(t.Context(), s, "alice", 1); !spent || err != nil {
		t.Errorf("step 1 is spent: %v, %v", spent, err)
	}
}

// A fault in a mapped file ends a Go program unless it is caught.
func TestAFileCutShortIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if err := s.CompareAndSwap(t.Context(), fmt.Sprint("user", i), 0, verifier.State{Failures: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // or they are in memory
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		id := fmt.Sprint("user", i)
		if state, v, err := s.Load(t.Context(), id); err == nil {
			t.Fatalf("Load(%q) = %+v, %d, nil; want an error", id, state, v)
		}
	}
	if err := s.CompareAndSwap(t.Context(), "user1", 1, verifier.State{}); err == nil {
		t.Error("a write to a file cut short succeeds")
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check finds nothing wrong with a file cut short")
	}
}

func TestAFileThatWasReplacedIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	s := open(t, path, Options{})
	backup, err := Open(filepath.Join(dir, "backup.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Close(); err != nil {
		t.Fatal(err)
	}
	// As a restore does, with no moment without a file.
	if err := os.Rename(filepath.Join(dir, "backup.db"), path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := storetest.Claim(t.Context(), s, "alice", 1); err == nil {
			t.Error("a claim succeeds in a file that was replaced")
		}
	}
}
