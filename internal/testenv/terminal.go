package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal is a program at a terminal of its own, for those that ask for passwords
// nowhere else.
type Terminal struct {
	t      testing.TB
	cmd    *exec.Cmd
	master *os.File
	out    *Buffer
	seen   int           // how much of out Expect is past
	exited chan struct{} // closed when the program has ended and out has all of it
}

// AtTerminal starts cmd at a terminal. It ends with t, or by End.
func AtTerminal(t testing.TB, cmd *exec.Cmd) *Terminal {
	t.Helper()
	master, terminal := pty(t)
	s := &Terminal{t: t, cmd: cmd, master: master, out: &Buffer{}, exited: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	terminal.Close()
	if err != nil {
		master.Close()
		t.Fatal(err)
	}
	go s.read()
	t.Cleanup(s.End)
	return s
}

func (s *Terminal) read() {
	defer close(s.exited)
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		if err != nil {
			break // the last one has closed the terminal
		}
		s.out.Write(buf[:n])
	}
	s.cmd.Wait()
}

// Expect waits until the program prints one of these, after what was waited for
// before, and returns which. None of them is a failure.
func (s *Terminal) Expect(any ...string) (found string) {
	s.t.Helper()
	look := func() bool {
		unread := s.out.String()[s.seen:]
		for _, what := range any {
			if at := strings.Index(unread, what); at >= 0 {
				found, s.seen = what, s.seen+at+len(what)
				return true
			}
		}
		return false
	}
	ended := func() bool {
		select {
		case <-s.exited:
			return true
		default:
			return false
		}
	}
	Await(func() bool { return look() || ended() })
	if found == "" && !look() {
		s.t.Fatalf("%q does not say %q:\n%s", s.cmd.Args, any, s.out)
	}
	return found
}

// Type types a line.
func (s *Terminal) Type(line string) {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.master, "%s\n", line); err != nil {
		s.t.Fatal(err)
	}
}

// Output returns all that has been printed so far.
func (s *Terminal) Output() string { return s.out.String() }

// End hangs up, which ends the program.
func (s *Terminal) End() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	s.master.Close()
	select {
	case <-s.exited:
	default:
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
	}
}

// pty opens a pseudo-terminal.
func pty(t testing.TB) (master, terminal *os.File) {
	t.Helper()
	// Without blocking, so that closing it ends a Read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		t.Fatal(err)
	}
	return master, terminal
}
