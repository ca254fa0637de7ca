package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// The linker says nothing of a variable that is not there, and packages would have
// no version.
func TestPackagesSayTheirVersion(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "gcc") // for the helper
	for program, source := range map[string]string{"lockstep": ".", "lockstep-pam": "../../pam/lockstep-pam"} {
		path := filepath.Join(t.TempDir(), program)
		if out, err := exec.Command("go", "build", "-ldflags", "-s -w -X lockstep/internal/build.version=9.8.7-6", "-o", path, source).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", program, err, out)
		}
		for _, option := range []string{"-version", "--version"} {
			out, err := exec.Command(path, option).CombinedOutput()
			if line := string(out); err != nil || !strings.HasPrefix(line, program+" 9.8.7-6 ") || strings.Count(line, "\n") != 1 {
				t.Errorf("%s %s: %q, %v", program, option, line, err)
			}
		}
	}
}
