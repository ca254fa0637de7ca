package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is a machine of its own as far as its programs can tell: it has its own
// network, with nothing on it but loopback, its own processes, and its own /etc,
// /usr and /var, which begin as copies of the real ones. So real programs run with
// the files, addresses and ports that they have in the field, several tests at a
// time. All of it is gone at the end of the test, with everything that still runs.
//
// It is made of Linux namespaces and overlays, and needs root.
type Machine struct {
	t      testing.TB
	holder *exec.Cmd // the first process, which keeps the namespaces
}

// machineScript makes what the namespaces hold. What is written to /etc, /usr
// and /var goes to memory.
const machineScript = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs none "$1"
for d in etc usr var; do
	mkdir -p "$1/$d.new" "$1/$d.work"
	mount -t overlay overlay -o lowerdir=/$d,upperdir="$1/$d.new",workdir="$1/$d.work" /$d
done
mount -t tmpfs none /run
ip link set lo up
echo ready
cat >/dev/null`

// NewMachine returns a machine that also has these IPv4 addresses. It skips t where
// none is to be had: without root, or where namespaces are not allowed.
func NewMachine(t testing.TB, addresses ...string) *Machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a machine of its own does")
	}
	for _, tool := range []string{"ip", "mount", "nsenter"} {
		Tool(t, tool)
	}
	m := &Machine{t: t, holder: exec.Command("sh", "-c", machineScript, "sh", t.TempDir())}
	m.holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	m.hold()
	for _, address := range addresses {
		m.Must("ip", "address", "add", address+"/32", "dev", "lo")
	}
	return m
}

func (m *Machine) hold() {
	m.t.Helper()
	var complaint bytes.Buffer
	m.holder.Stderr = &complaint
	stdin, err := m.holder.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	stdout, err := m.holder.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.holder.Start(); err != nil {
		m.t.Skipf("no namespaces are to be had here: %v", err)
	}
	// All others end with the first process.
	end := func() { stdin.Close(); m.holder.Wait() }
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		end()
		m.t.Skipf("no machine of its own is to be had here: %s", complaint.String())
	}
	m.t.Cleanup(end)
}

// From has what is sent to one of the machine's addresses come from another one, as
// it would between two machines.
func (m *Machine) From(source, destination string) {
	m.t.Helper()
	m.Must("ip", "route", "replace", "table", "local", "local", destination, "dev", "lo", "src", source)
}

// Path is where a file of the machine is for the test.
func (m *Machine) Path(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.holder.Process.Pid), path)
}

// Write writes a file of the machine, and makes its directory.
func (m *Machine) Write(path, text string, mode os.FileMode) {
	m.t.Helper()
	path = m.Path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
	// Whatever was there may have had another mode.
	if err := os.Chmod(path, mode); err != nil {
		m.t.Fatal(err)
	}
}

// Read returns a file of the machine.
func (m *Machine) Read(path string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.Path(path))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// Command returns a command that runs on the machine, as root, in "/". Without the
// program t is skipped; see [Tool].
func (m *Machine) Command(name string, args ...string) *exec.Cmd {
	m.t.Helper()
	path := name
	if !strings.Contains(name, "/") {
		path = Tool(m.t, name)
	}
	pid := m.holder.Process.Pid
	// The root too, where that is not the namespace's, as in a chroot.
	cmd := exec.Command("nsenter", append([]string{fmt.Sprintf("--target=%d", pid), "--mount", "--net", "--pid", "--uts", "--ipc",
		fmt.Sprintf("--root=/proc/%d/root", pid), "--wd=/", path}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd
}

// Run runs a program with stdin as its standard input, and returns all that it
// prints. One that does not end is a failure.
func (m *Machine) Run(stdin, name string, args ...string) (string, error) {
	m.t.Helper()
	return m.Finish(m.Command(name, args...), stdin)
}

// Finish is Run for a command that is there already.
func (m *Machine) Finish(cmd *exec.Cmd, stdin string) (string, error) {
	m.t.Helper()
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() {
		m.t.Errorf("%q does not end", cmd.Args)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer hung.Stop()
	err := cmd.Wait()
	return out.String(), err
}

// Must is Run for what cannot fail.
func (m *Machine) Must(name string, args ...string) string {
	m.t.Helper()
	out, err := m.Run("", name, args...)
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// Serve starts a server that stays in the foreground, and returns what it prints
// when ready says that it is. It ends with the machine.
func (m *Machine) Serve(ready func(log string) bool, name string, args ...string) *Buffer {
	m.t.Helper()
	return m.ServeCommand(ready, m.Command(name, args...))
}

// ServeCommand is Serve for a command that is there already.
func (m *Machine) ServeCommand(ready func(log string) bool, cmd *exec.Cmd) *Buffer {
	m.t.Helper()
	log, exited := &Buffer{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { cmd.Wait(); close(exited) }()
	m.t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); <-exited })
	gone := func() bool {
		select {
		case <-exited:
			return true
		default:
			return false
		}
	}
	if !Await(func() bool { return gone() || ready(log.String()) }) || gone() {
		m.t.Fatalf("%q is not ready:\n%s", cmd.Args, log)
	}
	return log
}

// Listens returns whether something listens at a TCP or UDP port of the machine, at
// this IPv4 address or, where that is "", at whichever.
func (m *Machine) Listens(address string, port int) bool {
	end := fmt.Sprintf(":%04X", port)
	if ip := net.ParseIP(address).To4(); ip != nil {
		// As the kernel has it in memory: the last octet comes first.
		end = fmt.Sprintf("%02X%02X%02X%02X%s", ip[3], ip[2], ip[1], ip[0], end)
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", m.holder.Process.Pid, table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			// A listening TCP socket is in state 0A, an unconnected UDP one in 07.
			if len(fields) > 3 && strings.HasSuffix(fields[1], end) && (fields[3] == "0A" || fields[3] == "07") {
				return true
			}
		}
	}
	return false
}

// Certificate writes ca.pem, cert.pem and key.pem to a directory, which it makes: a
// certificate for localhost and these addresses and names, and the CA that signed it.
func Certificate(t testing.TB, dir string, addresses ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, dir, addresses...)
}

// ParseRadclient is for output of radclient -x that ran on a machine.
func ParseRadclient(output string) RadclientReply { return parseRadclient(output) }
