package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// daemon is a server as a process of its own.
type daemon struct {
	name    string           // of the program
	command func() *exec.Cmd // a fresh one for each start
	ready   func() bool      // whether it answers

	cmd    *exec.Cmd // nil while it is stopped
	exited chan struct{}
	output *Buffer // of the last start
}

// Start starts the server again after Stop or Kill, with the same ports and
// data, and returns when it answers.
func (d *daemon) Start(t testing.TB) {
	t.Helper()
	began := time.Now()
	d.output = &Buffer{}
	d.cmd = d.command()
	d.cmd.Stdout, d.cmd.Stderr = d.output, d.output
	// Or a test that panics would leave it running.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	up := AwaitFor(patience, func() bool { return d.gone() || d.ready() })
	switch {
	case d.gone():
		t.Fatalf("%s: %s\n%s", d.name, d.cmd.ProcessState, d.output)
	case !up:
		t.Fatalf("%s does not answer\n%s", d.name, d.output)
	}
	if took := time.Since(began); took > time.Second {
		t.Logf("%s took %s to start", d.name, took.Round(10*time.Millisecond))
	}
}

// Log returns what the server has written since it was started last.
func (d *daemon) Log() string { return d.output.String() }

func (d *daemon) gone() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// Stop ends the server and waits until it has gone. It may be stopped or
// frozen already.
func (d *daemon) Stop(t testing.TB) {
	t.Helper()
	if d.cmd == nil {
		return
	}
	d.Thaw(t)
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.cmd.Process.Kill()
		<-d.exited
		t.Errorf("%s had to be killed", d.name)
	}
	d.cmd = nil
}

// Kill ends the server by SIGKILL, in the middle of whatever it does. It may be
// stopped already.
func (d *daemon) Kill(t testing.TB) {
	t.Helper()
	if d.cmd == nil {
		return
	}
	d.signal(t, syscall.SIGKILL)
	<-d.exited
	d.cmd = nil
}

// Freeze stops the server in its tracks: its connections stay, and it answers
// nothing until Thaw.
func (d *daemon) Freeze(t testing.TB) {
	t.Helper()
	d.signal(t, syscall.SIGSTOP)
	// Its threads stop a moment after the signal, and may answer until then.
	Eventually(t, d.name+" to stop", func() bool { return d.frozen(t) })
}

func (d *daemon) frozen(t testing.TB) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %s: %d, %v", d.name, len(threads), err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err == nil && !bytes.Contains(stat, []byte(") T ")) {
			return false
		}
	}
	return true
}

// Thaw lets the server go on after Freeze.
func (d *daemon) Thaw(t testing.TB) { d.signal(t, syscall.SIGCONT) }

func (d *daemon) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}
