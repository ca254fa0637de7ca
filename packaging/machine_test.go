package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// machine is Debian 12 with nothing on it but systemd, in namespaces of its own. Its
// systemd is a real one, and so what a unit says is carried out.
type machine struct {
	t      *testing.T
	root   string
	leader string // its process 1, as seen from here; empty while it is a mere chroot
}

// newMachine returns a machine that is not running: commands run in a chroot, as they
// do when an image is built.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "root")}
	must(t, exec.Command("cp", "-a", bareRoot(t), m.root))
	return m
}

// bareRoot returns a root made by debootstrap, which is kept in the user's cache.
func bareRoot(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "lockstep-test", "bookworm")
	if _, err := os.Stat(root); err == nil {
		return root
	}
	making := root + ".making"
	if err := errOf(os.RemoveAll(making), os.MkdirAll(making, 0o755)); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command(testenv.Tool(t, "debootstrap"), "--variant=minbase", "--include=systemd,systemd-sysv,libpam-modules,libpam-runtime", "bookworm", making))
	if err := os.Rename(making, root); err != nil {
		t.Fatal(err)
	}
	return root
}

// boot starts its systemd. The machine ends with the test, which is left out where the
// kernel, or what this runs in, lets nobody start any machine.
func (m *machine) boot() {
	m.t.Helper()
	nothing := exec.Command(testenv.Tool(m.t, "systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--private-network",
		"--pipe", "--directory="+m.root, "/bin/true")
	if out, err := nothing.CombinedOutput(); err != nil {
		m.t.Skipf("systemd-nspawn can start nothing here, so this is not run under systemd: %v\n%s", err, out)
	}
	cmd := exec.Command(testenv.Tool(m.t, "systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network",
		"--console=pipe", "--directory="+m.root, "--machine="+fmt.Sprintf("lockstep-test-%d", os.Getpid()))
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	log := &testenv.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	up := testenv.Await(func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if m.leader = strings.TrimSpace(string(children)); m.leader == "" || strings.Contains(m.leader, " ") {
			return false
		}
		out, _ := m.try("systemctl is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	if !up {
		m.t.Fatalf("the machine does not start: %s", log)
	}
}

// try runs a shell command in it and returns what it printed, on both streams.
func (m *machine) try(script string) (string, error) { return m.typed(script, "") }

// typed is try with standard input.
func (m *machine) typed(script, input string) (string, error) {
	cmd := exec.Command("chroot", m.root, "/bin/sh", "-c", script)
	if m.leader != "" {
		cmd = exec.Command("nsenter", "-t", m.leader, "-a", "/bin/sh", "-c", script)
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "HOME=/root", "TMPDIR=/tmp"}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what has to succeed.
func (m *machine) run(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// is fails the test unless the command prints want.
func (m *machine) is(want, script string) {
	m.t.Helper()
	if out, err := m.try(script); out != want {
		m.t.Errorf("%s: %q, %v; want %q", script, out, err, want)
	}
}

// fails is for what has to fail, and to say so.
func (m *machine) fails(want, script string) {
	m.t.Helper()
	if out, err := m.try(script); err == nil || !strings.Contains(out, want) {
		m.t.Errorf("%s: %q, %v; want a failure with %q", script, out, err, want)
	}
}

// put writes a file in it.
func (m *machine) put(path, content string, mode os.FileMode) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := errOf(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) there(path string) bool {
	_, err := os.Lstat(filepath.Join(m.root, path))
	return err == nil
}

func errOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}
