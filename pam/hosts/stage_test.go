// Package hosts logs in to real PAM hosts: sshd, sudo, su, login and pamtester,
// with the module and the helper as they are released and a real server.
package hosts

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// stage is a machine of its own as far as PAM can tell: its own accounts, PAM
// services and sudoers, in a mount namespace, with the module and the helper as
// they are built for a release, and a lockstep server beside it.
type stage struct {
	t      testing.TB
	dir    string
	holder *exec.Cmd // keeps the namespace
	people []person
	server *server

	localPassword string // of the first person, if it is not unixPassword
}

// person has an account on the stage and is enrolled at the server.
type person struct {
	name, password string
	key            verifier.Key
}

// code is the code of so many steps from now.
func (p person) code(offset int64) string {
	code, err := p.key.Code(p.key.Step(time.Now()) + offset)
	if err != nil {
		panic(err)
	}
	return code
}

const unixPassword = "the local password"

// newStage sets a stage with so many people and the named PAM services. In them
// MODULE stands for the module with its configuration.
func newStage(t testing.TB, people int, services map[string]string) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: sshd and su do")
	}
	for _, tool := range []string{"gcc", "unshare", "nsenter"} {
		testenv.Tool(t, tool)
	}
	s := &stage{t: t, dir: publicDir(t)}
	for i := range people {
		key := make([]byte, 20)
		rand.Read(key)
		s.people = append(s.people, person{fmt.Sprintf("user%02d", i), "pw-" + rand.Text(),
			verifier.Key{Bytes: opaque.Of(key), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}})
	}
	build(t)
	s.server = s.serve("challenge = true", "home")
	s.writeHost(s.server, services)
	s.hold()
	return s
}

// publicDir is a temporary directory that other users can enter.
func publicDir(t testing.TB) string {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *stage) write(name, text string, mode os.FileMode) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// writeHost writes the files of the host.
func (s *stage) writeHost(at *server, services map[string]string) {
	s.t.Helper()
	module := filepath.Join(built.dir, "pam_lockstep.so") + " config=" + s.pamTOML("pam.toml", at)
	for name, text := range services {
		s.write("pam.d/"+name, strings.ReplaceAll(text, "MODULE", module), 0o644)
	}
	s.write("pam.d/other", "auth required pam_deny.so\n", 0o644)
	hash := strings.TrimSpace(output(s.t, "openssl", "passwd", "-6", unixPassword))
	passwd, shadow := file(s.t, "/etc/passwd"), "root:"+hash+":19000::::::\n"
	for i, p := range s.people {
		passwd += fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", p.name, 20001+i, 20001+i)
		if own := s.localPassword; i == 0 && own != "" {
			shadow += fmt.Sprintf("%s:%s:19000::::::\n", p.name, strings.TrimSpace(output(s.t, "openssl", "passwd", "-6", own)))
			continue
		}
		shadow += fmt.Sprintf("%s:%s:19000::::::\n", p.name, hash)
	}
	s.write("passwd", passwd, 0o644)
	s.write("shadow", shadow, 0o600)
	s.write("sudoers", "Defaults !lecture, timestamp_timeout=0, passwd_tries=1, env_keep+=GODEBUG\nALL ALL=(ALL) ALL\n", 0o440)
	s.write("sudoers.pty", "Defaults !lecture, timestamp_timeout=0, passwd_tries=1, use_pty\nALL ALL=(ALL) ALL\n", 0o440)
}

// pamTOML writes a configuration of the helper for a server.
func (s *stage) pamTOML(name string, at ...*server) string {
	text := "timeout = \"8s\"\n"
	for _, server := range at {
		text += fmt.Sprintf("[[server]]\naddress = %q\nsecret_file = \"pam.secret\"\n", server.addr)
	}
	s.write("pam.secret", at[0].secret+"\n", 0o600)
	return s.write(name, text, 0o644)
}

// hold makes the namespace, and keeps it until the test ends.
func (s *stage) hold() {
	s.t.Helper()
	script := `set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount --bind "$1/pam.d" /etc/pam.d
if [ -e /etc/sudoers ]; then mount --bind "$1/sudoers" /etc/sudoers; fi
mount -t tmpfs none /run
mkdir -p /run/sshd
echo ready
cat >/dev/null`
	s.holder = exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", s.dir)
	s.holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := s.holder.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var complaint bytes.Buffer
	s.holder.Stderr = &complaint
	stdout, err := s.holder.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.holder.Start(); err != nil {
		s.t.Fatal(err)
	}
	line := make([]byte, len("ready\n"))
	_, err = io.ReadFull(stdout, line)
	end := func() { stdin.Close(); s.holder.Wait() }
	if err != nil || string(line) != "ready\n" {
		end()
		s.t.Skipf("no mount namespace is to be had here: %s", complaint.String())
	}
	s.t.Cleanup(end)
}

// command returns a command that runs on the stage.
func (s *stage) command(name string, args ...string) *exec.Cmd {
	path := testenv.Tool(s.t, name)
	of := fmt.Sprintf("/proc/%d/", s.holder.Process.Pid)
	// The root too, where that is not the namespace's, as in a chroot.
	cmd := exec.Command("nsenter", append([]string{"--mount=" + of + "ns/mnt", "--root=" + of + "root", path}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd
}

// patience is what a login may take. One that hangs does not end.
const patience = 30 * time.Second

// run runs cmd with lines on its standard input, and returns all that it prints.
// A command that hangs is a failure.
func (s *stage) run(cmd *exec.Cmd, lines ...string) (string, error) {
	s.t.Helper()
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Join(append(lines, ""), "\n")), &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() {
		s.t.Errorf("%q hangs", cmd.Args)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer hung.Stop()
	err := cmd.Wait()
	return out.String(), err
}

// server is a lockstep server as a process of its own.
type server struct {
	addr, secret string
	log          *testenv.Buffer
	cmd          *exec.Cmd
	dir          string
}

// serve runs a server whose only client has these settings.
func (s *stage) serve(client, name string) *server {
	s.t.Helper()
	v := &server{secret: rand.Text(), log: &testenv.Buffer{}, dir: filepath.Join(s.dir, name)}
	var b [3]byte
	rand.Read(b[:])
	v.addr = fmt.Sprintf("127.%d.%d.%d:1812", 64+b[0]%128, b[1], 1+b[2]%254)
	s.write(name+"/people.ldif", ldif(s.people), 0o600)
	s.write(name+"/secret", v.secret, 0o600)
	s.write(name+"/lockstep.toml", fmt.Sprintf(`[directory]
url = ["ldif:people.ldif"]
[store]
path = "state.db"
[radius]
listen = [%q]
accounting = []
[[radius.client]]
name = "host"
address = "127.0.0.0/8"
secret_file = "secret"
reject_delay = "200ms"
%s
[verifier]
trust_clock = true
[admin]
socket = "admin.sock"
`, v.addr, client), 0o600)
	v.start(s.t)
	return v
}

// enrolled has the server know these people and no others.
func (s *stage) enrolled(v *server, people []person) {
	s.t.Helper()
	read := strings.Count(v.log.String(), "directory file read")
	s.write(filepath.Base(v.dir)+"/people.ldif", ldif(people), 0o600)
	testenv.Eventually(s.t, "the directory to be read", func() bool { return strings.Count(v.log.String(), "directory file read") > read })
}

func ldif(people []person) string {
	var text strings.Builder
	for _, p := range people {
		salted := sha1.Sum([]byte(p.password + "salt"))
		fmt.Fprintf(&text, "dn: uid=%s,dc=example,dc=org\nuid: %s\nuserPassword: {SSHA}%s\noathSecret: %s\n\n", p.name, p.name,
			base64.StdEncoding.EncodeToString(append(salted[:], "salt"...)), base32.StdEncoding.EncodeToString(p.key.Bytes.Reveal()))
	}
	return text.String()
}

func (v *server) start(t testing.TB) {
	t.Helper()
	v.cmd = exec.Command(filepath.Join(built.dir, "lockstep"), "serve", "-config", filepath.Join(v.dir, "lockstep.toml"))
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.kill)
	c := &radius.Client{Server: v.addr, Secret: opaque.Text(v.secret), Timeout: 300 * time.Millisecond, Tries: 1}
	if !testenv.Await(func() bool { return c.Status(t.Context()) == nil }) {
		t.Fatalf("the server is not ready:\n%s", v.log)
	}
}

func (v *server) kill() {
	if v.cmd.ProcessState == nil {
		v.cmd.Process.Kill()
		v.cmd.Wait()
	}
}

// built is where TestMain has put what is built once for all tests.
var built struct {
	dir  string
	once sync.Once
	err  error
	said []byte
}

// build builds the module and the helper as "make pam" does, and the server.
func build(t testing.TB) {
	t.Helper()
	built.once.Do(func() {
		cmd := exec.Command("make", "-s", "-C", "../..", "pam", "build", "BIN="+built.dir, "HELPER="+filepath.Join(built.dir, "lockstep-pam"))
		built.said, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("%v:\n%s", built.err, built.said)
	}
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pam-built-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.dir = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func file(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	b, err := exec.Command(testenv.Tool(t, name), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// vpn logs in as an appliance would, and returns whether that was accepted.
func (v *server) vpn(t *testing.T, p person, code string) bool {
	c := &radius.Client{Server: v.addr, Secret: opaque.Text(v.secret), RequireMessageAuthenticator: true}
	reply, err := c.Exchange(t.Context(), radius.AccessRequest{UserName: p.name, Password: opaque.Text(p.password + code), NASIdentifier: "vpn"})
	if err != nil {
		t.Error(err)
		return false
	}
	return reply.Code == layeh.CodeAccessAccept
}
