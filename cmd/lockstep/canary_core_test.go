package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is who the servers of these tests run as, and who would like to know.
const nobody = 65534

// withCores runs a command line as nobody, with core dumps of any size allowed, in a
// folder that nobody may write to.
func withCores(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ulimit -c unlimited && exec "$@"`, "sh", program}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "GOTRACEBACK=crash")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// forNobody gives nobody a folder, and what is in it, and the program under test.
func forNobody(t *testing.T, dir string) (program string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	for d := filepath.Dir(dir); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program = filepath.Join(dir, "program")
	if err := copyFile(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func cores(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*core*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func dumped(cmd *exec.Cmd) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.CoreDump()
}

// A server that dies leaves no core file, though it might, and though the runtime is
// told to leave one; nobody else of its user can read its memory or its environment.
// A program that has not seen to it does, and what it had is found there.
func TestCanaryCore(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	alice := h.person("alice")
	s := h.newSite(ldifDirectory, "text", map[string]string{"people.ldif": wideLDIF(t, alice)})
	self := forNobody(t, s.dir)

	t.Run("of another program", func(t *testing.T) {
		dir := t.TempDir()
		forNobody(t, dir)
		cmd := withCores(dir, "/bin/sh", "-c", "typed=$1; kill -SEGV $$", "sh", alice.password)
		cmd.Run()
		if !dumped(cmd) {
			t.Skip("this system writes no core files")
		}
		found := cores(t, dir)
		if len(found) == 0 {
			t.Skip("this system writes core files elsewhere")
		}
		core, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if h.finder.Find(core) == nil {
			t.Error("what the program had is not found in its core file")
		}
	})
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGBUS} {
		cmd := withCores(s.dir, self, "serve", "-config", "lockstep.toml")
		s.startAs(cmd)
		s.types(t, alice.name, alice.password+"00000000")
		h.unreadable(cmd.Process.Pid)
		s.end(cmd, signal)
		if dumped(cmd) || len(cores(t, s.dir)) > 0 {
			t.Errorf("%v: a core file: %v", signal, cores(t, s.dir))
		}
	}
	h.look("the log", []byte(s.log.String()))
	h.folder(s.dir, "program", "secret", "people.ldif")
}

// types logs in, whatever comes of it.
func (s *site) types(t *testing.T, name, typed string) {
	t.Helper()
	if s.exchange(s.dial(), s.packet(name, typed)) == nil {
		t.Errorf("no answer\n%s", s.tail())
	}
}

// unreadable checks that nobody can look into the process, though it is nobody's.
func (h *hoard) unreadable(pid int) {
	h.tb.Helper()
	other := withCores("/", "/bin/sleep", "60")
	if err := other.Start(); err != nil {
		h.tb.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	read := func(pid int, name string) error {
		cmd := withCores("/", "/bin/sh", "-c", fmt.Sprintf("exec head -c 1 /proc/%d/%s >/dev/null", pid, name))
		return cmd.Run()
	}
	for _, name := range []string{"environ", "auxv", "maps"} {
		if read(pid, name) == nil {
			h.tb.Errorf("/proc/PID/%s can be read by another process", name)
		}
		if err := read(other.Process.Pid, name); err != nil {
			h.tb.Errorf("/proc/PID/%s of a program that does not mind: %v", name, err)
		}
	}
	for _, file := range []string{"mem", "fd"} {
		var stat unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/%s", pid, file), &stat); err != nil || stat.Uid != 0 {
			h.tb.Errorf("/proc/PID/%s is owned by %d, want root: %v", file, stat.Uid, err)
		}
	}
}

// heap returns what the Go runtime has of the process in memory.
func heap(t *testing.T, pid int) []byte {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all bytes.Buffer
	for line := range strings.Lines(string(table)) {
		var from, to int64
		var mode string
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode)
		// Not files, and not the shadow that the race detector has of all.
		if err != nil || !strings.HasPrefix(mode, "rw") || strings.Contains(line, "/") || to-from > 128<<20 {
			continue
		}
		io.Copy(&all, io.NewSectionReader(mem, from, to-from))
	}
	return all.Bytes()
}

// The memory of a server holds keys, and what was typed: that is why nobody may have
// it, and no core file may be left. It shows, too, that they would be found in one.
func TestCanaryMemory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to read memory")
	}
	h := newHoard(t)
	alice := h.person("alice")
	s := h.newSite(ldifDirectory, "text", map[string]string{"people.ldif": wideLDIF(t, alice)})
	s.start()
	s.types(t, alice.name, alice.password+alice.code(0))
	found := map[string]bool{}
	for _, leak := range h.finder.Find(heap(t, s.cmd.Process.Pid)) {
		found[leak.Name] = true
	}
	t.Logf("in memory: %v", slices.Sorted(maps.Keys(found)))
	if !found["key of alice"] {
		t.Error("the key is not found where it must be")
	}
	h.look("the log", []byte(s.log.String()))
}
