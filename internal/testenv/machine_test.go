package testenv

import (
	"os"
	"strings"
	"testing"
)

// What happens on a machine stays there.
func TestMachine(t *testing.T) {
	t.Parallel()
	m := NewMachine(t, "192.0.2.1", "192.0.2.10")
	m.Write("/etc/lockstep-machine-test", "there\n", 0o600)
	if got := m.Must("cat", "/etc/lockstep-machine-test"); got != "there\n" {
		t.Errorf("its own file: %q", got)
	}
	if _, err := os.Stat("/etc/lockstep-machine-test"); err == nil {
		t.Error("the file is on the real machine, too")
	}
	m.From("192.0.2.10", "192.0.2.1")
	if got := m.Must("ip", "route", "get", "192.0.2.1"); !strings.Contains(got, "src 192.0.2.10") {
		t.Errorf("from another address: %q", got)
	}
	if m.Listens("", 1812) {
		t.Error("somebody listens on a new machine")
	}
	if out, err := m.Run("typed\n", "cat"); err != nil || out != "typed\n" {
		t.Errorf("%q, %v", out, err)
	}
}
