package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that runs until stop.
type process struct {
	name   string
	cmd    *exec.Cmd
	output string // file
	exited chan struct{}
}

// start runs a program with its output in a file. It dies with this one, however
// this one ends.
func start(name, output, program string, args ...string) (*process, error) {
	out, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, cmd: exec.Command(program, args...), output: output, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the program, by force if it does not go.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// await polls until ready reports true.
func (p *process) await(ctx context.Context, patience time.Duration, ready func() bool) error {
	give := time.After(patience)
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return fmt.Errorf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, p.tail())
		case <-give:
			return fmt.Errorf("%s does not answer\n%s", p.name, p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// tail is the end of what the program has written.
func (p *process) tail() string {
	text, _ := os.ReadFile(p.output)
	return string(text[max(0, len(text)-2000):])
}

// usage is what a process has used so far.
type usage struct {
	cpu                    time.Duration // user and system, of all its threads, also those that ended
	voluntary, involuntary int64         // switches, of threads that live
	resident, peak         int64         // octets
}

func (p *process) usage() (u usage, err error) {
	if u.cpu, err = p.cpu(); err != nil {
		return u, err
	}
	status := fmt.Sprintf("/proc/%d/status", p.pid())
	if err := eachField(status, func(name string, n int64) {
		switch name {
		case "VmRSS":
			u.resident = n << 10
		case "VmHWM":
			u.peak = n << 10
		}
	}); err != nil {
		return u, err
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid()))
	for _, thread := range threads {
		eachField(thread, func(name string, n int64) { // it may have ended
			switch name {
			case "voluntary_ctxt_switches":
				u.voluntary += n
			case "nonvoluntary_ctxt_switches":
				u.involuntary += n
			}
		})
	}
	return u, nil
}

// cpu reads the process's CPU clock, which is exact where the ticks of
// /proc/PID/stat are coarse. The number of that clock is made as in
// clock_getcpuclockid(3).
func (p *process) cpu() (time.Duration, error) {
	const allThreads = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid()<<3|allThreads), &t); err != nil {
		return 0, fmt.Errorf("read CPU time of %s: %w", p.name, err)
	}
	return time.Duration(t.Nano()), nil
}

func eachField(path string, each func(name string, n int64)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			each(name, n)
		}
	}
	return nil
}

// rest waits until the processes do next to nothing, so that work left over by
// one round is not counted in the next.
func rest(ctx context.Context, all ...*process) error {
	const look, idle = 50 * time.Millisecond, time.Millisecond
	total := func() (sum time.Duration, err error) {
		for _, p := range all {
			t, err := p.cpu()
			if err != nil {
				return 0, err
			}
			sum += t
		}
		return sum, nil
	}
	before, err := total()
	for range 100 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		now, fault := total()
		if err = errors.Join(err, fault); err != nil || now-before < idle {
			return err
		}
		before = now
	}
	return nil // something runs all the time; then it belongs to the cost
}

// freePort returns a port of loopback that is free for TCP and UDP.
func freePort() (int, error) {
	for range 50 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
		l.Close()
		if err == nil {
			c.Close()
			return port, nil
		}
	}
	return 0, errors.New("no free port")
}

// tool finds a program, also where an ordinary user's PATH does not look.
func tool(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; internal/testenv/install-peer installs it", name)
}
