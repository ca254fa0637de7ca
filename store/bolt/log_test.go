package bolt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/bolt/journal"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// small limits have the log go into the file all the time.
var small = limits{first: 4 << 10, segment: 16 << 10, table: 8 << 10, chunk: 3}

func TestStoreWithASmallLog(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store {
		return open(t, filepath.Join(t.TempDir(), "state.db"), Options{limits: small})
	})
}

// copyState copies the state file and its log as they are on disk, as a crash
// would leave them, and returns the new path.
func copyState(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(path))
}

func write(t *testing.T, s *Store, id string, failures int) {
	t.Helper()
	_, v, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CompareAndSwap(t.Context(), id, v, verifier.State{Failures: uint32(failures)}); err != nil {
		t.Fatal(err)
	}
}

// contents returns what List says, and has Load say the same.
func contents(t *testing.T, s *Store) map[string]uint32 {
	t.Helper()
	got := map[string]uint32{}
	last := ""
	if err := s.List(t.Context(), func(id string, state verifier.State) error {
		if id <= last {
			t.Errorf("List has %q after %q", id, last)
		}
		last, got[id] = id, state.Failures
		return nil
	}); err != nil {
		t.Error(err)
	}
	for id, want := range got {
		if state, v, err := s.Load(t.Context(), id); err != nil || v == 0 || state.Failures != want {
			t.Errorf("Load(%q) = %+v, %d, %v; List has %d", id, state, v, err, want)
		}
	}
	return got
}

func TestALogThatWasLeftIsReadAndFolded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	write(t, s, "alice", 1)
	write(t, s, "bob", 1)
	write(t, s, "alice", 2)
	write(t, s, "carol", 3)
	if err := s.Delete(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	_, v, _ := s.Load(t.Context(), "carol")
	left := copyState(t, path)
	want := map[string]uint32{"alice": 2, "carol": 3}
	for range 2 { // with the log, then without
		again, err := Open(left, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, again); !reflect.DeepEqual(got, want) {
			t.Errorf("after a crash: %v; want %v", got, want)
		}
		if _, got, _ := again.Load(t.Context(), "carol"); got != v {
			t.Errorf("version of carol goes from %d to %d", v, got)
		}
		if _, got, _ := again.Load(t.Context(), "bob"); got != 0 {
			t.Errorf("bob has version %d after he was deleted", got)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if files := filesIn(t, filepath.Dir(left)); len(files) != 1 {
			t.Errorf("after Close there are %v; want the state file alone", files)
		}
	}
	again := open(t, left, Options{})
	write(t, again, "dave", 1)
	if _, got, _ := again.Load(t.Context(), "dave"); got <= v {
		t.Errorf("version %d is given after %d", got, v)
	}
}

// Every moment between two parts of the fold is one at which the power may go.
func TestACrashWhileTheLogIsFoldedLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	var crashes []string
	want := map[string]uint32{}
	often := small
	often.table = 1 << 10
	s := open(t, path, Options{limits: often, afterChunk: func() { crashes = append(crashes, copyState(t, path)) }})
	var wants []map[string]uint32
	write(t, s, "first", 1) // begins the log
	want["first"] = 1
	for i := range 60 {
		id := fmt.Sprint("user", rand.IntN(40))
		s.writing.Lock() // or what was folded depends on who is first
		if i%10 == 9 {
			if err := s.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			delete(want, id)
		} else {
			write(t, s, id, i+1)
			want[id] = uint32(i + 1)
		}
		s.writing.Unlock()
		if err := s.foldNow(); err != nil {
			t.Fatal(err)
		}
		for len(wants) < len(crashes) {
			now := map[string]uint32{}
			for id, n := range want {
				now[id] = n
			}
			wants = append(wants, now)
		}
		if i == 59 {
			left := copyState(t, path)
			crashes, wants = append(crashes, left), append(wants, want)
		}
	}
	if len(crashes) < 20 {
		t.Errorf("%d moments; want more", len(crashes))
	}
	for i, left := range crashes {
		again, err := Open(left, Options{limits: small})
		if err != nil {
			t.Fatalf("moment %d: %v", i, err)
		}
		if got := contents(t, again); !reflect.DeepEqual(got, wants[i]) {
			t.Errorf("moment %d of %d: %v; want %v", i, len(crashes), got, wants[i])
		}
		if err := again.Close(); err != nil {
			t.Errorf("moment %d: %v", i, err)
		}
	}
}

func TestAFileAndALogThatDoNotBelongTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	log := func(path string) string {
		names, _ := filepath.Glob(path + ".log-*")
		return names[len(names)-1]
	}
	s := open(t, path, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	clean := copyState(t, path)
	s = open(t, path, Options{})
	write(t, s, "alice", 1)
	first := copyState(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	write(t, s, "alice", 2)
	second := copyState(t, path)
	other := filepath.Join(t.TempDir(), "state.db")
	write(t, open(t, other, Options{}), "alice", 1)
	other = copyState(t, other)

	for _, tt := range []struct {
		name, file, log string
		want            string // "" if Open succeeds
	}{
		{"both from one time", second, log(second), ""},
		{"the file of a clean stop and the log after it", clean, log(first), ""},
		{"an older file of a clean stop", clean, log(second), "do not belong together"},
		{"an older file", first, log(second), "do not belong together"},
		{"an older log", second, log(first), "is missing"},
		{"a file without its log", second, "", "is missing"},
		{"the log of another", second, log(other), "of another state file"},
		{"a log without its file", "", log(second), "its log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			here := filepath.Join(dir, "state.db")
			for _, from := range []string{tt.file, tt.log} {
				if from == "" {
					continue
				}
				data, err := os.ReadFile(from)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := filesIn(t, dir)
			s, err := Open(here, Options{})
			if err == nil {
				defer s.Close()
			}
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), here) {
				t.Errorf("Open = %v; want an error with %q and the path", err, tt.want)
			}
			if after := filesIn(t, dir); len(after) != len(before) {
				t.Errorf("Open leaves %v of %v", after, before)
			}
		})
	}
}

// A file from before there were logs has no word of them.
func TestAFileFromBeforeTheLogOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	write(t, s, "alice", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(logKey) })
	s = open(t, path, Options{})
	write(t, s, "alice", 2)
	again := open(t, copyState(t, path), Options{})
	if got := contents(t, again); got["alice"] != 2 {
		t.Errorf("after a crash: %v", got)
	}
}

func TestAnOlderProgramDoesNotTakeTheFileForComplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	format := func(path string) (format string) {
		edit(t, path, func(tx *bbolt.Tx) error {
			format = string(tx.Bucket(metaBucket).Get(formatKey))
			return nil
		})
		return format
	}
	write(t, s, "alice", 1)
	if got := format(copyState(t, path)); got != "2" {
		t.Errorf("format with a log is %s; want 2", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := format(path); got != "1" {
		t.Errorf("format after Close is %s; want 1", got)
	}
}

func TestALogThatIsDamagedIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	for i := range 3 {
		write(t, s, "alice", i)
	}
	left := copyState(t, path)
	f, err := os.OpenFile(journal.Path(left, 1), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, 2*512+40); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(left, Options{}); !errors.Is(err, journal.ErrDamaged) {
		if err == nil {
			s.Close()
		}
		t.Errorf("Open = %v; want %v", err, journal.ErrDamaged)
	}
}

// A file that cannot take the log must not let the log grow without end; what
// is in memory can be read all the same.
func TestALogThatCannotBeFoldedIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	log, lines := logger()
	var clock atomic.Int64
	s := open(t, path, Options{Log: log, Now: func() time.Time { return time.Unix(clock.Load(), 0) }, limits: small})
	write(t, s, "alice", 1)
	broken := errors.New("file on fire")
	s.writing.Lock()
	s.beforeUpdate = func() error { return broken }
	s.writing.Unlock()
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = s.CompareAndSwap(t.Context(), fmt.Sprint("user", n), 0, verifier.State{Failures: 1})
	}
	if !errors.Is(err, broken) || !errors.Is(err, errFull) {
		t.Fatalf("write %d = %v; want %v, %v", n, err, errFull, broken)
	}
	if files, err := journal.Files(path); len(files) > 2 || err != nil {
		t.Errorf("log has files %v, %v; want two at most", files, err)
	}
	for i := range n - 1 {
		if state, _, err := s.Load(t.Context(), fmt.Sprint("user", i)); state.Failures != 1 || err != nil {
			t.Errorf("user%d: %+v, %v", i, state, err)
		}
	}
	if err := s.Check(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Check = %v; want %v", err, broken)
	}
	s.writing.Lock()
	s.beforeUpdate = nil
	s.writing.Unlock()
	clock.Add(1)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check afterwards: %v", err)
	}
	write(t, s, "bob", 1)
	if got := lines(); !strings.Contains(got, "log cannot be put") || !strings.Contains(got, "log can be put") || !strings.Contains(got, "can be written again") {
		t.Errorf("log is\n%s", got)
	}
	if got := contents(t, s); len(got) != n+1 {
		t.Errorf("%d states; want %d", len(got), n+1)
	}
}

// While the log is being folded, each id is in the table, in the file, or in
// both. A look that fell between would make spent codes good.
func TestNoStateIsMissedWhileTheLogIsFolded(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{limits: small})
	const n = 8
	for i := range n {
		if err := storetest.Claim(t.Context(), s, fmt.Sprint("user", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for step := int64(2); ctx.Err() == nil; step++ {
			if err := storetest.Claim(ctx, s, fmt.Sprint("user", step%n), step); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
	var newest [n]verifier.Version
	for ctx.Err() == nil {
		for i := range n {
			_, v, err := s.Load(t.Context(), fmt.Sprint("user", i))
			if err != nil || v < newest[i] {
				t.Fatalf("version of user%d goes from %d to %d, %v", i, newest[i], v, err)
			}
			newest[i] = v
		}
		seen := 0
		if err := s.List(t.Context(), func(string, verifier.State) error { seen++; return nil }); err != nil || seen != n {
			t.Fatalf("List gives %d states, %v; want %d", seen, err, n)
		}
	}
	<-done
}

// The file of the log under the running program.
func TestALogThatWasMovedAwayIsAnErrorAndThenMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{Now: secondsClock()})
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(journal.Path(path, 1), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Claim(t.Context(), s, "alice", 2); err == nil {
		t.Error("a claim succeeds in a log that has no name")
	}
	awaitClaim(t, s, "alice", 3)
	if spent, err := storetest.Spent(t.Context(), s, "alice", 1); !spent || err != nil {
		t.Errorf("step 1 is spent: %v, %v", spent, err)
	}
	testenv.Eventually(t, "the log to be folded", func() bool { return s.tables.pending() == nil })
	again := open(t, copyState(t, path), Options{})
	for _, step := range []int64{1, 3} {
		if spent, err := storetest.Spent(t.Context(), again, "alice", step); !spent || err != nil {
			t.Errorf("after a crash, step %d is spent: %v, %v", step, spent, err)
		}
	}
}

// What failed is on disk here, and so whole in the log. It may come back, but
// not after a later write.
func TestAGroupThatFailedDoesNotComeBackAfterALaterOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var fail atomic.Bool
	s := open(t, path, Options{afterCommit: func() error {
		if fail.Load() {
			return errors.New("disk on fire")
		}
		return nil
	}})
	write(t, s, "alice", 1)
	_, v, _ := s.Load(t.Context(), "alice")
	fail.Store(true)
	if err := s.CompareAndSwap(t.Context(), "alice", v, verifier.State{Failures: 2}); err == nil {
		t.Fatal("a write succeeds on a disk that fails")
	}
	if state, is, err := s.Load(t.Context(), "alice"); state.Failures != 1 || is != v || err != nil {
		t.Errorf("after the failure: %+v, %d, %v; want what is known to be durable", state, is, err)
	}
	fail.Store(false)
	s.writing.Lock() // keeps the log from being folded
	write(t, s, "bob", 1)
	left := copyState(t, path)
	s.writing.Unlock()
	again := open(t, left, Options{})
	if got := contents(t, again); got["alice"] != 1 || got["bob"] != 1 {
		t.Errorf("after a crash: %v; want 1 and 1", got)
	}
}

func TestNothingAcknowledgedIsLostByKill9WhileTheLogIsFolded(t *testing.T) {
	t.Parallel()
	killLoop(t, "claim with a small log", 8)
}

// One failure of each system call that writes, in turn.
func TestNothingAcknowledgedIsLostByOneFailure(t *testing.T) {
	t.Parallel()
	strace := testenv.Tool(t, "strace")
	most := 6
	if testing.Short() {
		most = 2
	}
	for _, call := range []string{"pwrite64", "fdatasync", "fsync", "rename,renameat,renameat2", "unlinkat,unlink", "openat", "fallocate", "ftruncate"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			errors := 0
			for i := range most {
				when := 1 + i*2
				if call == "openat" {
					when += 10 // the first are the program's own
				}
				path := filepath.Join(t.TempDir(), "state.db")
				if s, err := Open(path, Options{}); err != nil {
					t.Fatal(err)
				} else if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				out, err := child(t.Context(), t, "claim through errors, with a small log", path, 1, strace, "-f", "-qq", "-o", "/dev/null", "-e", "signal=none",
					"-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", call, when)).Output()
				var acknowledged []claim
				readClaims(strings.NewReader(string(out)), func(c claim) {
					if c.id == "errors" {
						errors += int(c.step)
						return
					}
					acknowledged = append(acknowledged, c)
				})
				if err != nil && len(acknowledged) > 0 {
					t.Errorf("%s number %d fails: child: %v", call, when, err)
				}
				wantSpent(t, path, acknowledged)
			}
			t.Logf("%d errors", errors)
		})
	}
}

// A file that is cut short is seen by writes that need nothing of it, and what
// is in memory alone stays what it is.
func TestAFileCutShortBehindItsLogIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "alice", 1)
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Claim(t.Context(), s, "alice", 2); !errors.Is(err, errCutShort) {
		t.Errorf("claim = %v; want %v", err, errCutShort)
	}
	if state, _, err := s.Load(t.Context(), "alice"); state.Failures != 1 || err != nil {
		t.Errorf("Load = %+v, %v", state, err)
	}
	if err := s.Close(); !errors.Is(err, errCutShort) {
		t.Errorf("Close = %v; want %v", err, errCutShort)
	}
	if numbers, err := journal.Files(path); len(numbers) != 1 || err != nil {
		t.Errorf("log has files %v, %v; want the one", numbers, err)
	}
}

// One group looks into the tables for one id, and into the file for another.
func TestTheLogCountsAndNotTheFile(t *testing.T) {
	g := newGate()
	var hold atomic.Bool
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{limits: small, beforeCommit: func() {
		if hold.Load() {
			g.stop()
		}
	}})
	write(t, s, "alice", 1)
	_, old, _ := s.Load(t.Context(), "alice")
	for i := range 100 { // until alice is in the file
		write(t, s, fmt.Sprint("user", i), 1)
	}
	if err := s.foldNow(); err != nil {
		t.Fatal(err)
	}
	write(t, s, "alice", 2)
	hold.Store(true)
	results := []<-chan error{start(func() error { return s.CompareAndSwap(t.Context(), "first", 0, verifier.State{}) })}
	g.await()
	results = append(results, start(func() error { return s.CompareAndSwap(t.Context(), "new", 0, verifier.State{}) }))
	stale := start(func() error { return s.CompareAndSwap(t.Context(), "alice", old, verifier.State{}) })
	awaitWaiting(t, s, 3)
	hold.Store(false)
	g.open()
	for _, r := range results {
		if err := <-r; err != nil {
			t.Error(err)
		}
	}
	if err := <-stale; !errors.Is(err, verifier.ErrConflict) {
		t.Errorf("a write with the version that the file has = %v; want %v", err, verifier.ErrConflict)
	}
}
