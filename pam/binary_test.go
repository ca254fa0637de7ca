package pam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/radiusd"
)

// binary builds lockstep-pam once, as the Makefile does, and returns its path.
func binary(t testing.TB) string {
	t.Helper()
	testenv.Tool(t, "gcc")
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var binaryDir string

var buildBinary = sync.OnceValues(func() (string, error) {
	// What go test has not seen opened it takes for unchanged, and shows the
	// result of an earlier run.
	for _, pattern := range []string{"lockstep-pam/*", "lockstep-pam/wire/*", "module/wire.h"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			_, _ = os.ReadFile(file)
		}
	}
	path := filepath.Join(binaryDir, "lockstep-pam")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "netgo,osusergo", "-buildmode=pie",
		"-ldflags", `-s -w -linkmode=external -extldflags "-Wl,-z,relro,-z,now,-z,noexecstack"`, "-o", path, "./lockstep-pam")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build lockstep-pam: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lockstep-pam")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaryDir = dir
		if err := os.Chmod(dir, 0o755); err != nil { // another user runs it too
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// running is a helper process, and the module's end of its socket.
type running struct {
	testing.TB
	cmd    *exec.Cmd
	module *os.File
	ended  chan struct{}
}

// run starts the helper, by way of the command given if there is one.
func run(t testing.TB, by ...string) *running {
	t.Helper()
	return runWith(t, nil, by...)
}

func runWith(t testing.TB, more []*os.File, by ...string) *running {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	helper := os.NewFile(uintptr(fds[0]), "helper")
	defer helper.Close()
	args := append(by, binary(t))
	r := &running{TB: t, cmd: exec.Command(args[0], args[1:]...), module: os.NewFile(uintptr(fds[1]), "module"), ended: make(chan struct{})}
	r.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "GOTRACEBACK=none"}
	r.cmd.ExtraFiles = append([]*os.File{helper}, more...)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.cmd.Wait(); close(r.ended) }()
	t.Cleanup(func() {
		r.module.Close()
		r.cmd.Process.Kill()
		<-r.ended
	})
	return r
}

func (r *running) say(frame string) {
	r.Helper()
	if _, err := r.module.WriteString(frame); err != nil {
		r.Fatal(err)
	}
}

// hear returns the next message, or "" when the helper has closed its end.
func (r *running) hear() string {
	r.Helper()
	r.module.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 10000)
	n, err := r.module.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.Fatal("the helper says nothing")
	}
	return string(b[:n])
}

func (r *running) wait() {
	r.Helper()
	select {
	case <-r.ended:
	case <-time.After(20 * time.Second):
		r.Fatal("the helper has not ended")
	}
}

func startFrame(args ...string) string {
	return "\x01\x01\x00\x00sshd\x00alice\x00192.0.2.7\x00ssh\x00\x00" + strings.Join(append(args, ""), "\x00")
}

const (
	answered  = "\x01\x02\x00\x00"
	promptOff = "\x01\x03\x00\x00"
	promptOn  = "\x01\x03\x01\x00"
	result    = "\x01\x05"
)

func forPassword(_ context.Context, r *radiusd.Request) (radiusd.Answer, error) {
	switch typed := string(r.Typed.Reveal()); {
	case typed == "secret123456", r.Challenged && typed == "654321":
		return radiusd.Answer{Outcome: radiusd.Accept}, nil
	case typed == "secret111111":
		return radiusd.Answer{Outcome: radiusd.Challenge, Message: "Next: "}, nil
	}
	return radiusd.Answer{Outcome: radiusd.Reject}, nil
}

func TestBinary(t *testing.T) {
	t.Parallel()
	arg := configured(t, 10*time.Second, serve(t, forPassword))
	for _, tt := range []struct {
		name  string
		start string
		turns []string // what the helper says, and what it is answered
	}{
		{"accepted", startFrame(arg), []string{promptOff + "Password: ", answered + "secret", promptOff + "Code: ", answered + "123456", result + "\x01\x00"}},
		{"accepted, with the password for the modules that follow", startFrame(arg, "forward_pass"), []string{promptOff + "Password: ", answered + "secret", promptOff + "Code: ", answered + "123456", result + "\x01\x00secret"}},
		{"refused", startFrame(arg, "one_prompt"), []string{promptOff + "Password and code: ", answered + "secret123457", result + "\x02\x00"}},
		{"challenged", startFrame(arg, "one_prompt"), []string{promptOff + "Password and code: ", answered + "secret111111", promptOn + "Next: ", answered + "654 321", result + "\x01\x00"}},
		{"no answer", startFrame(arg, "code_only"), []string{promptOff + "Code: ", "\x01\x02\x01\x00", result + "\x05\x00"}},
		{"an option that is none", startFrame(arg, "nonsense"), []string{result + "\x03\x00"}},
		{"no configuration", startFrame("config=/nonexistent"), []string{result + "\x03\x00"}},
		{"nobody there", startFrame(configured(t, time.Second, closedPort(t)), "code_only"), []string{promptOff + "Code: ", answered + "123456", result + "\x03\x00"}},
		{"garbage instead of START", "garbage", []string{""}},
		{"an answer of another version", startFrame(arg), []string{promptOff + "Password: ", "\x02\x02\x00\x00secret", ""}},
		{"garbage instead of an answer", startFrame(arg), []string{promptOff + "Password: ", "\x01\x05\x01\x00", ""}},
		{"an answer that is too long", startFrame(arg), []string{promptOff + "Password: ", answered + strings.Repeat("x", 8189), ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t)
			r.say(tt.start)
			for i, turn := range tt.turns {
				if i%2 == 1 {
					r.say(turn)
				} else if got := r.hear(); got != turn {
					t.Fatalf("turn %d: the helper said %q, want %q", i, got, turn)
				}
			}
			r.wait()
		})
	}
}

// The host may go at any time: at the start, at a prompt, while a server is asked.
func TestBinaryEndsWithItsHost(t *testing.T) {
	t.Parallel()
	away := fakeServer(t, silent)
	arg := configured(t, 50*time.Second, away.LocalAddr().String())
	for name, until := range map[string]func(r *running){
		"at the start": func(r *running) {},
		"at a prompt":  func(r *running) { r.say(startFrame(arg)); r.hear() },
		"while a server is asked": func(r *running) {
			r.say(startFrame(arg, "code_only"))
			r.hear()
			r.say(answered + "123456")
			awaitPacket(t, away)
		},
	} {
		r := run(t)
		until(r)
		began := time.Now()
		r.module.Close()
		r.wait()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}

	// The socket stays open here, as if a child of the host had it.
	host := run(t, "sh", "-c", "\"$0\" & echo started >&2; wait")
	host.say(startFrame(arg))
	host.hear() // the helper is there
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", host.cmd.Process.Pid))
	if err != nil || len(strings.Fields(string(children))) != 1 {
		t.Fatalf("the host's children are %q, %v", children, err)
	}
	host.cmd.Process.Kill()
	helper := "/proc/" + strings.TrimSpace(string(children))
	testenv.Eventually(t, "the helper to die", func() bool {
		status, err := os.ReadFile(helper + "/status")
		return err != nil || strings.Contains(string(status), "State:\tZ")
	})
}

func awaitPacket(t *testing.T, u *udp) {
	t.Helper()
	testenv.Eventually(t, "a packet", func() bool { return len(u.packets()) > 0 })
}

func TestBinaryIsHardened(t *testing.T) {
	t.Parallel()
	pipe, inherited, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	arg := configured(t, 10*time.Second, "127.0.0.1:9")
	r := runWith(t, []*os.File{inherited})
	inherited.Close()
	r.say(startFrame(arg))
	if got := r.hear(); got != promptOff+"Password: " {
		t.Fatalf("the helper said %q", got)
	}
	pipe.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := pipe.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a descriptor of the host stays open")
	}
	proc := fmt.Sprintf("/proc/%d", r.cmd.Process.Pid)
	status := read(t, proc+"/status")
	for _, want := range []string{"NoNewPrivs:\t1", "Umask:\t0077"} {
		if !strings.Contains(status, want) {
			t.Errorf("status has no %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "VmLck:\t       0 kB") {
		t.Error("the receive buffer may be swapped out")
	}
	if limits := read(t, proc+"/limits"); !slices.ContainsFunc(strings.Split(limits, "\n"), func(line string) bool {
		return slices.Equal(strings.Fields(line), []string{"Max", "core", "file", "size", "0", "0", "bytes"})
	}) {
		t.Errorf("core files are possible:\n%s", limits)
	}
	if dir, err := os.Readlink(proc + "/cwd"); err != nil || dir != "/" {
		t.Errorf("the directory is %s, %v", dir, err)
	}
	if !regexp.MustCompile(`(?m)^VmFlags:.* lo .*dd`).MatchString(read(t, proc+"/smaps")) {
		t.Error("no mapping is locked and left out of a core")
	}
}

// sudo and su run with the real ids of who calls them.
func TestBinaryGivesUpTheCaller(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	t.Parallel()
	r := run(t, testenv.Tool(t, "setpriv"), "--ruid", "65534", "--rgid", "65534", "--keep-groups")
	r.say(startFrame(configured(t, 10*time.Second, "127.0.0.1:9")))
	if got := r.hear(); got != promptOff+"Password: " {
		t.Fatalf("the helper said %q", got)
	}
	status := read(t, fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	for _, want := range []string{"Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

// Whoever calls sudo sets its limits and has its terminal. Neither may keep the
// helper from a decision: a stack may let people pass where there is none.
func TestCallerCannotStopTheBinary(t *testing.T) {
	t.Parallel()
	arg := configured(t, 10*time.Second, serve(t, always(radiusd.Reject)))
	bash := testenv.Tool(t, "bash")
	limits := []string{"-f 0", "-c unlimited", "-l 0", "-s 256", "-i 0", "-q 0", "-S -v 60000", "-S -d 60000", "-S -n 5"}
	if exec.Command(bash, "-c", "ulimit -v 20000 && ulimit -v unlimited").Run() == nil { // root, unless in a container
		limits = append(limits, "-v 60000", "-d 60000", "-n 5", "-u 1")
	}
	for _, limit := range limits {
		r := run(t, bash, "-c", "ulimit "+limit+" && exec \"$0\"")
		r.say(startFrame(arg, "code_only"))
		if got := r.hear(); got != promptOff+"Code: " {
			t.Errorf("ulimit %s: the helper said %q", limit, got)
			continue
		}
		stat := strings.Fields(read(t, fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid)))
		if session := stat[5]; session != stat[0] {
			t.Errorf("the helper is in session %s, and gets the signals of its terminal", session)
		}
		r.say(answered + "123456")
		if got := r.hear(); got != result+"\x02\x00" {
			t.Errorf("ulimit %s: the helper said %q", limit, got)
		}
	}
}

func TestBinaryIsNotDumpable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	t.Parallel()
	// Of another user, as root's processes look the same either way. That user
	// can read no configuration here, so the helper must be held before it tries.
	r := run(t, testenv.Tool(t, "setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups")
	proc := fmt.Sprintf("/proc/%d", r.cmd.Process.Pid)
	testenv.Eventually(t, "the helper to start", func() bool {
		comm, err := os.ReadFile(proc + "/comm")
		return err == nil && bytes.HasPrefix(comm, []byte("lockstep-pam")) && strings.Contains(read(t, proc+"/status"), "NoNewPrivs:\t1")
	})
	info, err := os.Stat(proc + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("user %d may look at its memory", owner)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBinaryAlone(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary(t)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "it is started by pam_lockstep.so") {
		t.Errorf("%v: %s", err, out)
	}
}

// From the start of the process to its end, with a server on loopback.
func BenchmarkBinary(b *testing.B) {
	start := startFrame(configured(b, 10*time.Second, serve(b, always(radiusd.Accept))), "code_only")
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		r := run(b)
		r.say(start)
		r.hear()
		r.say(answered + "123456")
		if got := r.hear(); got != result+"\x01\x00" {
			b.Fatalf("the helper said %q", got)
		}
		r.wait()
		took = append(took, time.Since(began))
		r.module.Close()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
}
