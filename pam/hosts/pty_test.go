package hosts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// turn is a prompt that is waited for, and what is typed then.
type turn struct{ prompt, typed string }

// converse runs cmd at a terminal of its own, and returns all that it prints. A
// prompt that does not come is a failure.
func (s *stage) converse(cmd *exec.Cmd, turns ...turn) string {
	s.t.Helper()
	master, terminal := pty(s.t)
	defer master.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	terminal.Close()
	hung := time.AfterFunc(patience, func() {
		s.t.Errorf("%q hangs", cmd.Args)
		cmd.Process.Kill()
		master.Close()
	})
	defer hung.Stop()
	defer cmd.Wait()
	var out strings.Builder
	buf, unread := make([]byte, 4096), ""
	for {
		for len(turns) > 0 && strings.Contains(unread, turns[0].prompt) {
			_, unread, _ = strings.Cut(unread, turns[0].prompt)
			fmt.Fprintf(master, "%s\n", turns[0].typed)
			turns = turns[1:]
		}
		n, err := master.Read(buf)
		if err != nil {
			break // the last one has closed the terminal
		}
		out.Write(buf[:n])
		unread += string(bytes.ReplaceAll(buf[:n], []byte("\r"), nil))
	}
	if len(turns) > 0 {
		s.t.Errorf("%q does not ask %q: %q", cmd.Args, turns[0].prompt, out.String())
	}
	return out.String()
}

// pty opens a pseudo-terminal.
func pty(t testing.TB) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}
