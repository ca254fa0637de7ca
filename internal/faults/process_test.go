package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that is killed, frozen and started again. What ends by
// itself is started again by itself, after a moment.
type process struct {
	name    string
	log     string           // path; each start appends to it
	command func() *exec.Cmd // a fresh one for each start

	mu     sync.Mutex // guards what follows
	wanted bool
	cmd    *exec.Cmd // of the last start
	exited chan struct{}
	deaths int // not by kill
	starts int
}

// restartAfter is how long the supervisor waits before it starts something again.
const restartAfter = 300 * time.Millisecond

func newProcess(t testing.TB, dir, name string, command func() *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), command: command}
	t.Cleanup(p.kill)
	return p
}

func (p *process) start(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if err := p.launch(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
}

// launch is called with mu held.
func (p *process) launch() error {
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = log, log
	// Or a test that panics would leave it running.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	p.starts++
	go func() {
		cmd.Wait()
		close(exited)
		p.ended(cmd)
	}()
	return nil
}

func (p *process) ended(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted || p.cmd != cmd {
		return
	}
	p.deaths++
	time.AfterFunc(restartAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wanted && p.cmd == cmd && p.launch() != nil {
			p.wanted = false // which the wait for its recovery will tell
		}
	})
}

// kill ends the process by SIGKILL and returns when it has gone.
func (p *process) kill() {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.wanted = false
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Kill()
	<-exited
}

func (p *process) freeze(t testing.TB) { p.signal(t, syscall.SIGSTOP) }
func (p *process) thaw(t testing.TB)   { p.signal(t, syscall.SIGCONT) }

func (p *process) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.pid(), signal); err != nil {
		t.Errorf("%v to %s: %v", signal, p.name, err)
	}
}

// pid returns the id of the process, 0 before the first start.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// started returns how often the process was started, by whomever.
func (p *process) started() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// died returns how often the process has ended by itself.
func (p *process) died() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaths
}
