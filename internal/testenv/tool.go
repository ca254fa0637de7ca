// Package testenv gives tests the real programs they drive: slapd, 389-DS, Samba,
// radclient and others. It is imported by tests only.
//
// Everything runs as the current user, in the test's own temporary directory,
// on free ports of loopback, and is stopped at the end of the test. It promises
// to leave the machine as it was, but for what [SambaAD] keeps in the user's cache.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// All reports whether an absent program is a failure and not a skip, as it is
// under "make test": otherwise a suite can stay green for a year without
// having run.
func All() bool { return os.Getenv("LOCKSTEP_TEST_ALL") == "1" }

// Tool returns the path of the named program. It skips t where there is none,
// or fails it if [All] or [Directories]. The sbin directories are searched too, which an
// ordinary user's PATH often lacks.
func Tool(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if All() || Directories() {
		t.Fatalf("%s is not installed; make installs what its tests need", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
