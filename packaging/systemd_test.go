package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var exposure = regexp.MustCompile(`Overall exposure level for lockstep\.service: ([0-9.]+)`)

func TestTheSandboxIsTight(t *testing.T) {
	out := must(t, exec.Command(testenv.Tool(t, "systemd-analyze"), "security", "--no-pager", "--offline=true", "systemd/lockstep.service"))
	found := exposure.FindStringSubmatch(out)
	if found == nil {
		t.Fatal(out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level >= 2.0 {
		t.Errorf("exposure %s, %v; want less than 2.0\n%s", found[1], err, out)
	}
}

func TestTheUnitIsWhole(t *testing.T) {
	analyze := testenv.Tool(t, "systemd-analyze")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string][2]string{
		"":               {"/usr/bin/lockstep", self},
		"RestartSecs":    {"RestartSec=", "RestartSecs="},
		"not executable": {"/usr/bin/lockstep", "/usr/bin/lockstep-that-is-not-there"},
	} {
		path := filepath.Join(t.TempDir(), "lockstep.service")
		unit := strings.ReplaceAll(read(t, "systemd/lockstep.service"), change[0], change[1])
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(unit, "Exec=/usr/bin/lockstep ", "Exec="+self+" ")), 0o644); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
		if said := about(string(out), "lockstep.service"); (said == "") != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%q: %s", want, said)
		}
	}
}

// about returns the lines that speak of a unit, and not of others of this machine.
func about(out, unit string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, unit) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Each relaxation has a comment in front of it.
func TestRelaxationsHaveReasons(t *testing.T) {
	before := ""
	for line := range strings.Lines(read(t, "systemd/lockstep.service")) {
		if strings.HasPrefix(line, "SystemCallFilter=") && !strings.HasPrefix(line, "SystemCallFilter=@system-service") &&
			!strings.HasPrefix(line, "SystemCallFilter=~") && !strings.HasPrefix(before, "#") {
			t.Errorf("no reason: %s", line)
		}
		before = line
	}
}

func TestProfilesOfAppArmor(t *testing.T) {
	parser := testenv.Tool(t, "apparmor_parser")
	for _, profile := range []string{"apparmor/lockstep", "apparmor/lockstep-pam"} {
		must(t, exec.Command(parser, "--skip-kernel-load", "--skip-cache", profile))
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte(strings.Replace(read(t, "apparmor/lockstep"), "/usr/bin/lockstep mr,", "/usr/bin/lockstep mr", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(parser, "--skip-kernel-load", "--skip-cache", broken).CombinedOutput(); err == nil {
		t.Errorf("a broken one is taken: %s", out)
	}
	if !strings.Contains(read(t, "systemd/lockstep.service"), "AppArmorProfile=-lockstep\n") || !strings.Contains(read(t, "apparmor/lockstep"), "\nprofile lockstep {") {
		t.Error("the unit puts on another profile")
	}
}

// The packaged configuration is the example, but for the group.
func TestThePackagesConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockstep.toml")
	command := regexp.MustCompile(`(?m)^\tsed (-e .*) config/lockstep\.toml >`).FindStringSubmatch(read(t, "build"))
	if command == nil {
		t.Fatal("packaging/build does not change the example")
	}
	must(t, exec.Command("/bin/sh", "-c", "sed "+command[1]+" ../config/lockstep.toml >"+path))
	for name, content := range map[string]string{"ldap.secret": "a password", "vpn.secret": "a secret of 16 octets"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Group != "lockstep-admin" || !strings.Contains(read(t, "systemd/lockstep.sysusers"), "\ng lockstep-admin ") {
		t.Errorf("group %q", c.Admin.Group)
	}
}
