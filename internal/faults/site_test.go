package faults

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// site is an installation with all its parts.
type site struct {
	dir     string // of logs and data; kept if the test fails
	seed    uint64
	program string
	secret  string
	slapd   *testenv.SlapdServer
	etcd    *nodes // nil for a store of its own
	disk    *disk  // of that store
	servers []*instance
	period  time.Duration // of everybody's codes
	lot     *lot
	record  *recorder
}

const people = 4000

// newSite starts everything: three servers with etcd, or one without.
func newSite(t *testing.T, withEtcd bool, period time.Duration) *site {
	t.Helper()
	testenv.Tool(t, "slapd")
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: dir, seed: seedFrom(t), secret: rand.Text(), period: period, record: &recorder{}, program: lockstep(t)}
	s.lot = newLot(s.seed, 3)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs are in %s; LOCKSTEP_FAULTS_SEED=%d repeats the run", s.dir, s.seed)
			return
		}
		os.RemoveAll(s.dir)
	})
	s.slapd = testenv.Slapd(t, testenv.WithSyncprov())
	enrol(t, s.slapd, people, period)
	n, store := 1, ""
	if withEtcd {
		n, s.etcd = 3, startNodes(t, dir, 3, s.seed)
	} else {
		s.disk = newDisk(t, filepath.Join(dir, "disk"), 4<<20)
		store = "path = \"" + filepath.Join(s.disk.path, "state.db") + "\""
	}
	for i := range n {
		s.servers = append(s.servers, s.newInstance(t, i, store, withEtcd && i == n-1))
		s.servers[i].start(t)
	}
	return s
}

// lockstep is the program under test, built once.
func lockstep(t testing.TB) string {
	t.Helper()
	b := build()
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, "lockstep")
}

type built struct {
	dir string // TestMain removes it
	err error
}

var builds atomic.Bool // whether build was called

var build = sync.OnceValue(func() built {
	builds.Store(true)
	dir, err := os.MkdirTemp("", "faults-build")
	if err != nil {
		return built{err: err}
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "lockstep"), "lockstep/cmd/lockstep").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build lockstep: %w\n%s", err, out)
	}
	return built{dir, err}
})

// killAll kills every part at once.
func (s *site) killAll(t testing.TB) {
	var all []*process
	for _, n := range s.servers {
		all = append(all, n.process)
	}
	if s.etcd != nil {
		all = append(all, s.etcd.all...)
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(p.kill)
	}
	s.slapd.Kill(t)
	wg.Wait()
	s.slapd.Start(t)
	for _, p := range all {
		p.start(t)
	}
}

// reasons returns what the servers logged about logins, by Calling-Station-Id.
func (s *site) reasons() map[string][]string {
	all := map[string][]string{}
	for _, n := range s.servers {
		f, err := os.Open(n.log)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var line struct{ Time, Msg, Result, Reason, Calling, Err string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Calling != "" {
				all[line.Calling] = append(all[line.Calling], strings.TrimSpace(strings.Join([]string{n.name, line.Time, line.Msg, line.Result, line.Reason, line.Err}, " ")))
			}
		}
		f.Close()
	}
	return all
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
