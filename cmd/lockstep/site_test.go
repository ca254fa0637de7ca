package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// site is a whole installation: lockstep as a process of its own, with a
// configuration, a store and people, in a temporary folder.
type site struct {
	t       *testing.T
	dir     string
	addr    string
	secret  string
	calling string // Calling-Station-Id of logins by radclient
	log     *testenv.Buffer
	cmd     *exec.Cmd
}

// The clients of every site, by the address that they send from.
const (
	plainClient     = "127.0.0.1" // password and code in one
	challengeClient = "127.0.0.2"
	separatorClient = "127.0.0.3"
	codeClient      = "127.0.0.4"
	strangerClient  = "127.0.0.9" // no client at all
)

const siteTOML = `
%s
[store]
path = "state.db"
[radius]
listen = ["%s"]
accounting = []
[[radius.client]]
name = "plain"
address = "127.0.0.1"
reject_delay = "300ms"
secret_file = "secret"
[[radius.client]]
name = "challenge"
address = "127.0.0.2"
secret_file = "secret"
challenge = true
[[radius.client]]
name = "separator"
address = "127.0.0.3"
secret_file = "secret"
separator = ","
[[radius.client]]
name = "code"
address = "127.0.0.4"
secret_file = "secret"
factors = "code"
[admin]
socket = "admin.sock"
[log]
level = "debug"
`

// newSite starts lockstep with the given [directory] table and waits until it
// answers.
func newSite(t *testing.T, directory string, files map[string]string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), addr: loopback(), secret: rand.Text(), log: &testenv.Buffer{}}
	s.write("secret", s.secret+"\n")
	for name, text := range files {
		s.write(name, text)
	}
	s.write("lockstep.toml", fmt.Sprintf(siteTOML, directory, s.addr))
	s.start()
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// user runs one "lockstep user" command to its end and returns its output.
func (s *site) user(command string, args ...string) (string, error) {
	args = append([]string{"user", command, "-config", filepath.Join(s.dir, "lockstep.toml")}, args...)
	out, err := program(args...).CombinedOutput()
	return string(out), err
}

// program is the command line of the program under test.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

func (s *site) start() {
	s.t.Helper()
	s.cmd = program("serve", "-config", filepath.Join(s.dir, "lockstep.toml"))
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.cmd
	s.t.Cleanup(func() { s.end(cmd, syscall.SIGKILL) })
	s.eventually("the server to be ready", func() bool { return s.status() == nil })
}

// end ends the server with a signal and returns how it took it.
func (s *site) end(cmd *exec.Cmd, sig syscall.Signal) error {
	if cmd.ProcessState != nil {
		return nil
	}
	cmd.Process.Signal(sig)
	return cmd.Wait()
}

func (s *site) status() error {
	c := &radius.Client{Server: s.addr, Secret: opaque.Text(s.secret), Timeout: 300 * time.Millisecond, Tries: 1}
	return c.Status(context.Background())
}

// eventually polls until a condition of another process holds.
func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	if !testenv.Await(holds) {
		s.t.Fatalf("waited for %s in vain; the log:\n%s", what, s.tail())
	}
}

// radclient logs in by FreeRADIUS's client, from one of the clients' addresses.
func (s *site) radclient(from, user, typed string, more ...string) testenv.RadclientReply {
	s.t.Helper()
	if s.calling != "" {
		more = append(more, fmt.Sprintf("Calling-Station-Id = %q", s.calling))
	}
	attributes := fmt.Sprintf("User-Name = %q\nUser-Password = %q\nMessage-Authenticator = 0x00\nPacket-Src-IP-Address = %s", user, typed, from)
	return testenv.Radclient(s.t, s.addr, "auth", s.secret, strings.Join(append([]string{attributes}, more...), "\n"), "-t", "4")
}

func (s *site) must(from, user, typed, want string) testenv.RadclientReply {
	s.t.Helper()
	r := s.radclient(from, user, typed)
	if r.Code != want {
		s.t.Fatalf("%s types %q at %s: %q, want %q; the log:\n%s", user, typed, from, r.Code, want, s.tail())
	}
	return r
}

const (
	accept    = "Access-Accept"
	reject    = "Access-Reject"
	challenge = "Access-Challenge"
	silence   = ""
)

// user is one enrolled person, made up anew for each test.
type user struct {
	name, password string
	key            verifier.Key
}

func newUser(name string) user {
	key := make([]byte, 20)
	rand.Read(key)
	return user{name, "pw-" + rand.Text(), verifier.Key{Bytes: opaque.Of(key), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}}
}

func (u user) base32() string { return base32.StdEncoding.EncodeToString(u.key.Bytes.Reveal()) }

// code returns the code so many steps from now. Those of this step and the next
// stay good for a whole step at least; a test that needs one twice keeps it.
func (u user) code(offset int64) string {
	code, err := u.key.Code(u.key.Step(time.Now()) + offset)
	if err != nil {
		panic(err)
	}
	return code
}

// noCode returns digits that are a code of no time that is looked at, as one in 170 of
// all are.
func (u user) noCode() string {
	near := map[string]bool{}
	for offset := int64(-3000); offset <= 3000; offset++ {
		near[u.code(offset)] = true
	}
	for n := 0; ; n++ {
		if code := fmt.Sprintf("%06d", n); !near[code] {
			return code
		}
	}
}

// loopback returns an address that nobody else has: of the many that the
// loopback network has, one by chance.
func loopback() string {
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("127.%d.%d.%d:1812", 64+b[0]%128, b[1], 1+b[2]%254)
}

// tail returns the last lines of the log.
func (s *site) tail() string {
	var lines []string
	for scan := bufio.NewScanner(strings.NewReader(s.log.String())); scan.Scan(); {
		lines = append(lines, scan.Text())
	}
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
