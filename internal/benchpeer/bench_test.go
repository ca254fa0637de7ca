package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// The tests run this program as the load generator, too.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{asLoad}) {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestSmallRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	for _, name := range []string{"slapd", "slapadd", "freeradius"} {
		testenv.Tool(t, name)
	}
	if _, err := os.Stat("/usr/lib/freeradius/rlm_ldap.so"); err != nil && !testenv.All() {
		t.Skip(err) // a package of its own
	}
	dir := t.TempDir()
	program, result, svg := filepath.Join(dir, "lockstep"), filepath.Join(dir, "out.json"), filepath.Join(dir, "out.svg")
	if err := build(t.Context(), program); err != nil {
		t.Fatal(err)
	}
	var out, err strings.Builder
	status := run([]string{"-k", "8", "-rounds", "1", "-users", "200", "-logins", "100", "-dir", dir,
		"-lockstep", program, "-json", result, "-svg", svg}, nil, &out, &err)
	if status != statusOK {
		t.Fatalf("status %d\n%s", status, err.String())
	}
	for _, want := range []string{"freeradius", "lockstep", "logins/s at K=8, lockstep / freeradius", "logins/s at K=8, lockstep / freeradius-apart", "code used before refused"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	testReport(t, result)
	if text, err := os.ReadFile(svg); err != nil || xml.Unmarshal(text, new(struct{ XMLName xml.Name })) != nil {
		t.Errorf("plot: %v\n%s", err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "benchpeer*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func testReport(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{freeradius, apart, lockstep} {
		s, ok := r.at(name, 8)
		if !ok || s.Logins != 100 || s.faults() != 0 || s.ServerCPU <= 0 || s.SlapdCPU <= 0 || s.P50 <= 0 || s.P99 < s.P50 || s.Resident <= 0 {
			t.Errorf("%s: %+v, %v", name, s, ok)
		}
	}
	for _, c := range r.Checks {
		want := 0
		if c.Peer != lockstep && c.What == usedBefore {
			want = c.Asked // this release remembers no codes
		}
		if c.Asked == 0 || c.Wrong != want {
			t.Errorf("%s: %s: %d of %d wrong, want %d", c.Peer, c.What, c.Wrong, c.Asked, want)
		}
	}
	if len(r.Checks) != 18 {
		t.Errorf("%d checks, want 6 of each server", len(r.Checks))
	}
}
