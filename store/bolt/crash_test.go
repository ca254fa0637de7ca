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
		claimForever()
	case "claim through errors":
		claimThroughErrors()
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
func claimForever() {
	s, base := childStore(Options{})
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
func claimThroughErrors() {
	clock := time.Unix(0, 0)
	var mu sync.Mutex
	s, base := childStore(Options{Now: func() time.Time { // each look is a second later
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
			<-time.After(time.Millisecond) // the committer is trying
		}
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
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
	defer s.Close()
	for _, c := range claims {
		if spent, err := storetest.Spent(t.Context(), s, c.id, c.step); !spent || err != nil {
			t.Errorf("step %d of %s was acknowledged, and is spent: %v, %v", c.step, c.id, spent, err)
		}
	}
	if err := s.view(func(tx *tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	}); err != nil {
		t.Errorf("file is not whole: %v", err)
	}
}

func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	var all []claim
	for round := range rounds {
		ctx, kill := context.WithCancel(t.Context()) // SIGKILL, by exec.CommandContext
		c := child(ctx, t, "claim", path, int64(round)*1_000_000+1)
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
			wrapper := append([]string{strace, "-f", "-qq", "-o", trace, "-e", "signal=none", "-e", "trace=fdatasync,fsync,pwrite64"}, tt.inject...)
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

// wantSettled expects that nothing is committed after a sync has failed, nor
// at the beginning, until the two head pages are written again and synced. No
// test here can cut the power to see what comes of it otherwise.
func wantSettled(t *testing.T, trace string) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(", %d, 0) = %d", 2*os.Getpagesize(), 2*os.Getpagesize())
	rewritten, settled, failures := false, false, 0
	for i, line := range strings.Split(string(text), "\n") {
		ok := strings.HasSuffix(line, "= 0")
		switch {
		case strings.Contains(line, "pwrite64") && strings.HasSuffix(line, head):
			rewritten = true
		case strings.Contains(line, "fsync") && ok && rewritten:
			settled = true
		case strings.Contains(line, "fdatasync") && ok && !settled:
			t.Errorf("trace line %d: a commit before the file was settled: %s", i+1, line)
		case strings.Contains(line, "fdatasync") && strings.Contains(line, "INJECTED"):
			rewritten, settled = false, false
			failures++
		}
	}
	if failures == 0 {
		t.Errorf("trace shows no failed sync:\n%.2000s", text)
	}
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
