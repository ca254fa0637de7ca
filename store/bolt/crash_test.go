package bolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store/bolt/journal"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// The test binary runs itself as a child that may be killed, or starved.
const (
	childEnv = "LOCKSTEP_TEST_BOLT_CHILD"
	pathEnv  = "LOCKSTEP_TEST_BOLT_PATH"
	baseEnv  = "LOCKSTEP_TEST_BOLT_BASE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "claim":
		claimForever(limits{})
	case "claim with a small log":
		claimForever(small)
	case "claim through errors":
		claimThroughErrors(limits{})
	case "claim through errors, with a small log":
		claimThroughErrors(small)
	}
}

func child(ctx context.Context, t *testing.T, role, path string, base int64, wrapper ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(wrapper, self)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), childEnv+"="+role, pathEnv+"="+path, fmt.Sprintf("%s=%d", baseEnv, base))
	c.Stderr = os.Stderr
	return c
}

func childStore(opts Options) (*Store, int64) {
	s, err := Open(os.Getenv(pathEnv), opts)
	var base int64
	if err == nil {
		_, err = fmt.Sscan(os.Getenv(baseEnv), &base)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return s, base
}

// claimForever claims steps with 8 at once, and writes "id step" for each that
// the store has acknowledged.
func claimForever(l limits) {
	s, base := childStore(Options{limits: l})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("user", i)
			for step := base; ; step++ {
				if err := storetest.Claim(context.Background(), s, id, step); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(2)
				}
				// One write, so that a kill cannot cut the line short.
				os.Stdout.WriteString(fmt.Sprintf("%s %d\n", id, step))
			}
		})
	}
	wg.Wait()
}

// claimThroughErrors claims 60 steps one after the other, and tries each again
// until it is known to be spent. It writes each that was acknowledged, and at
// last the number of errors.
func claimThroughErrors(l limits) {
	clock := time.Unix(0, 0)
	var mu sync.Mutex
	s, base := childStore(Options{limits: l, Now: func() time.Time { // each look is a second later
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(time.Second)
		return clock
	}})
	failed := 0
	for step := base; step < base+60; step++ {
		for {
			err := storetest.Claim(context.Background(), s, "user0", step)
			if err == nil {
				fmt.Printf("user0 %d\n", step)
				break
			}
			spent, loadErr := storetest.Spent(context.Background(), s, "user0", step)
			if loadErr == nil && spent {
				break // the one before, of which nobody could tell
			}
			failed++
			if failed > 1000 {
				fmt.Fprintln(os.Stderr, "store does not come back:", err, loadErr)
				os.Exit(2)
			}
			<-time.After(time.Millisecond) // a write is being tried
		}
	}
	_ = s.Close() // leaves a log to the next where the disk fails again
	fmt.Println("errors", failed)
}

type claim struct {
	id   string
	step int64
}

func readClaims(r io.Reader, got func(claim)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var c claim
		if _, err := fmt.Sscan(lines.Text(), &c.id, &c.step); err == nil {
			got(c)
		}
	}
}

// wantSpent expects that each claim can be made no more, and a whole file.
func wantSpent(t *testing.T, path string, claims []claim) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		if spent, err := storetest.Spent(t.Context(), s, c.id, c.step); !spent || err != nil {
			t.Errorf("step %d of %s was acknowledged, and is spent: %v, %v", c.step, c.id, spent, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		if err := errors.Join(all...); err != nil {
			t.Errorf("file is not whole: %v", err)
		}
		return nil
	})
	if numbers, err := journal.Files(path); len(numbers) > 0 || err != nil {
		t.Errorf("after Close there is a log, %v, %v", numbers, err)
	}
}

func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	t.Parallel()
	killLoop(t, "claim", 6)
}

func killLoop(t *testing.T, role string, rounds int) {
	path := filepath.Join(t.TempDir(), "state.db")
	if testing.Short() {
		rounds = 2
	}
	var all []claim
	for round := range rounds {
		ctx, kill := context.WithCancel(t.Context()) // SIGKILL, by exec.CommandContext
		c := child(ctx, t, role, path, int64(round)*1_000_000+1)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var acknowledged []claim
		enough := 50 + rand.IntN(500)
		readClaims(out, func(c claim) {
			acknowledged = append(acknowledged, c)
			if len(acknowledged) == enough {
				time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, kill)
			}
		})
		if err := c.Wait(); len(acknowledged) < enough {
			t.Fatalf("child ends by itself after %d claims: %v", len(acknowledged), err)
		}
		kill()
		all = append(all, acknowledged...)
		wantSpent(t, path, all)
	}
	t.Logf("%d claims acknowledged in %d rounds", len(all), rounds)
}

// Real failures of real system calls: every fifth sync of a commit, which is
// now that of the data and now that of the head, and every second of the syncs
// that mend the file afterwards.
func TestNothingAcknowledgedIsLostByFailingSyncs(t *testing.T) {
	t.Parallel()
	strace := testenv.Tool(t, "strace")
	for _, tt := range []struct {
		name   string
		inject []string
	}{
		{"of commits", []string{"-e", "inject=fdatasync:error=EIO:when=7+5"}},
		{"of commits and repairs", []string{"-e", "inject=fdatasync:error=EIO:when=7+5", "-e", "inject=fsync:error=EIO:when=2+2"}},
		{"of commits, and writes", []string{"-e", "inject=fdatasync:error=EIO:when=7+5", "-e", "inject=pwrite64:error=ENOSPC:when=12+7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if s, err := Open(path, Options{}); err != nil {
				t.Fatal(err)
			} else if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			trace := filepath.Join(t.TempDir(), "trace")
			wrapper := append([]string{strace, "-f", "-y", "-qq", "-o", trace, "-e", "signal=none", "-e", "trace=fdatasync,fsync,pwrite64"}, tt.inject...)
			out, err := child(t.Context(), t, "claim through errors", path, 1, wrapper...).Output()
			if err != nil {
				if strings.Contains(err.Error(), "exit status 1") && len(out) == 0 && !testenv.All() {
					t.Skipf("strace may not trace here: %v", err)
				}
				t.Fatalf("child: %v\n%s", err, out)
			}
			var acknowledged []claim
			failed := int64(0)
			readClaims(strings.NewReader(string(out)), func(c claim) {
				if c.id == "errors" {
					failed = c.step
					return
				}
				acknowledged = append(acknowledged, c)
			})
			if failed < 5 || len(acknowledged) < 20 {
				t.Errorf("%d errors and %d claims; want some of both", failed, len(acknowledged))
			}
			t.Logf("%d claims acknowledged, %d errors", len(acknowledged), failed)
			wantSpent(t, path, acknowledged)
			wantSettled(t, trace)
		})
	}
}

// A call is a system call of the trace: of strace -f -y, with the parts of one
// that was interrupted put together.
type call struct {
	text     string
	line     int
	file     string // its name, without the directory
	ok       bool
	injected bool
}

func readTrace(t *testing.T, trace string) (calls []call) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	begun := map[string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		pid, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if first, ok := strings.CutSuffix(rest, "<unfinished ...>"); ok {
			begun[pid] = first
			continue
		}
		if _, last, ok := strings.Cut(rest, "resumed>"); ok && strings.HasPrefix(rest, "<...") {
			rest = begun[pid] + last
		}
		_, file, _ := strings.Cut(rest, "<")
		file, _, _ = strings.Cut(file, ">")
		calls = append(calls, call{rest, i + 1, filepath.Base(file), !strings.Contains(rest, "= -1"), strings.Contains(rest, "INJECTED")})
	}
	return calls
}

// wantSettled expects that nothing is committed to the state file after a sync
// has failed, nor at the beginning, until the two head pages are written again
// and synced; and that nothing is written to a segment of the log in which a
// write or a sync has failed. No test here can cut the power to see what comes
// of it otherwise.
func wantSettled(t *testing.T, trace string) {
	t.Helper()
	head := fmt.Sprintf(", %d, 0) = %d", 2*os.Getpagesize(), 2*os.Getpagesize())
	rewritten, settled := false, false
	left, failures := map[string]bool{}, map[string]int{}
	for _, c := range readTrace(t, trace) {
		sync := strings.HasPrefix(c.text, "fdatasync")
		if c.file == "state.db" {
			switch {
			case strings.HasSuffix(c.text, head):
				rewritten = true
			case strings.HasPrefix(c.text, "fsync") && c.ok && rewritten:
				settled = true
			case sync && c.ok && !settled:
				t.Errorf("trace line %d: a commit before the file was settled: %s", c.line, c.text)
			case sync && c.injected:
				rewritten, settled = false, false
				failures["of the file"]++
			}
			continue
		}
		if strings.HasPrefix(c.file, "state.db.log-") {
			if left[c.file] {
				t.Errorf("trace line %d: %s is used after it has failed: %s", c.line, c.file, c.text)
			}
			if !c.ok {
				left[c.file] = true
				failures["of the log"]++
			}
		}
	}
	if failures["of the file"] == 0 || failures["of the log"] == 0 {
		t.Errorf("trace shows failures %v; want some of the log and of the file", failures)
	}
	t.Logf("failures: %v", failures)
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var lastVersion verifier.Version
	for round := range 3 {
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := storetest.Claim(t.Context(), s, fmt.Sprint("user", i), int64(round)+1); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		_, v, err := s.Load(t.Context(), "user19")
		if err != nil || v <= lastVersion {
			t.Errorf("version goes from %d to %d, %v", lastVersion, v, err)
		}
		lastVersion = v
		// Versions must not begin anew in an empty file either.
		for i := range 20 {
			if round == 1 {
				if err := s.Delete(t.Context(), fmt.Sprint("user", i)); err != nil {
					t.Error(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
