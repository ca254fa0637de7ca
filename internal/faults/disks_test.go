package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// attachWithin is how long strace may take to get hold of a process.
const attachWithin = 10 * time.Second

// slowDisk delays each fsync of a process, where the machine lets us trace it.
func slowDisk(which func(r *run) *process, by time.Duration) func(*run) {
	return func(r *run) {
		// Not by testenv.Tool, which would skip all that has been seen so far.
		strace, err := exec.LookPath("strace")
		if err != nil {
			r.notDone(err.Error())
			return
		}
		s := trace(r, strace, which(r).pid(), "delay_exit="+strconv.Itoa(int(by.Microseconds())))
		defer s.stop()
		for until := time.Now().Add(attachWithin); !s.holds() && s.runs() && time.Now().Before(until); {
			wait(r.ctx, 10*time.Millisecond)
		}
		if s.holds() {
			r.lasts()
		}
		if !s.holds() {
			r.notDone("strace does not hold the process: " + s.stop())
		}
	}
}

// tracer is strace at work on a process.
type tracer struct {
	cmd  *exec.Cmd
	of   int // pid
	says bytes.Buffer
	gone chan struct{}
}

func trace(t testing.TB, strace string, pid int, inject string) *tracer {
	t.Helper()
	s := &tracer{of: pid, gone: make(chan struct{}), cmd: exec.Command(strace, "-f", "-q", "-o", "/dev/null",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+inject, "-p", strconv.Itoa(pid))}
	s.cmd.Stderr = &s.says
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(s.gone); s.cmd.Wait() }()
	return s
}

func (s *tracer) runs() bool {
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// holds says whether the kernel has it as the tracer of the process.
func (s *tracer) holds() bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.of))
	return err == nil && s.runs() && strings.Contains(string(status), fmt.Sprintf("\nTracerPid:\t%d\n", s.cmd.Process.Pid))
}

// stop has it let go of the process, and returns what it has said.
func (s *tracer) stop() string {
	s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.gone
	return strings.TrimSpace(s.says.String())
}

// fullDisk fills disks, where the machine let us have them.
func fullDisk(which func(r *run) []*disk) func(*run) {
	return func(r *run) {
		disks := which(r)
		for _, d := range disks {
			if !d.mounted {
				r.notDone("it takes root, to mount a small disk")
				return
			}
		}
		for _, d := range disks {
			d.fill(r)
		}
		r.lasts()
		for _, d := range disks {
			d.free()
		}
	}
}

// deaf keeps what a run complains of.
type deaf struct {
	testing.TB
	failed bool
}

func (d *deaf) Errorf(string, ...any) { d.failed = true }
func (d *deaf) Log(...any)            {}

// A fault that did not come about does not count as survived.
func TestFaultNotDone(t *testing.T) {
	sleeper := newProcess(t, t.TempDir(), "sleep", func() *exec.Cmd { return exec.Command("sleep", "60") })
	sleeper.start(t)
	nobody := newProcess(t, t.TempDir(), "true", func() *exec.Cmd { return exec.Command("true") })
	nobody.start(t)
	nobody.kill()
	slow := func(p *process) func(*run) {
		return slowDisk(func(*run) *process { return p }, time.Millisecond)
	}
	path := os.Getenv("PATH")
	for _, tt := range []struct {
		name string
		do   func(*run)
		path string
		done bool
	}{
		{"slow disk", slow(sleeper), path, true},
		{"slow disk of a process that strace cannot hold", slow(nobody), path, false},
		{"slow disk without strace", slow(sleeper), "", false},
		{"strace ends", func(r *run) {
			time.AfterFunc(50*time.Millisecond, sleeper.kill)
			slow(sleeper)(r)
		}, path, false},
		{"full disk that is none", fullDisk(func(*run) []*disk { return []*disk{{}} }), path, false},
	} {
		for _, all := range []string{"", "1"} {
			t.Run(tt.name+" "+all, func(t *testing.T) {
				if tt.path != "" {
					testenv.Tool(t, "strace")
				}
				t.Setenv("PATH", tt.path)
				t.Setenv("LOCKSTEP_TEST_ALL", all)
				d := &deaf{TB: t}
				r := &run{TB: d, load: &load{ctx: t.Context(), site: &site{record: &recorder{}}}, length: 200 * time.Millisecond}
				r.play(fault{name: "fault", do: tt.do})
				if d.failed != (!tt.done && all != "") {
					t.Errorf("failed: %v", d.failed)
				}
				if text := table(r.record.history(), nil); strings.Contains(text, "not done") == tt.done {
					t.Errorf("the table says\n%s", text)
				}
			})
		}
	}
}
