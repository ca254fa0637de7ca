package hosts

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/canary"
	"lockstep/internal/testenv"
)

// syslog has the stage's system log written to what it returns.
func (s *stage) syslog() *testenv.Buffer {
	s.t.Helper()
	dev := filepath.Join(s.dir, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dev, "log"), Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dev, "log"), 0o666); err != nil {
		s.t.Fatal(err)
	}
	lines, done := &testenv.Buffer{}, make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			lines.Write(append(b[:n:n], '\n'))
		}
	}()
	s.t.Cleanup(func() { conn.Close(); <-done })
	const script = `for n in null zero full random urandom tty; do touch "$1/$n" && mount --bind "/dev/$n" "$1/$n" || exit 1; done; mount --rbind "$1" /dev`
	if out, err := s.run(s.command("sh", "-c", script, "sh", dev)); err != nil {
		s.t.Skipf("no /dev is to be had here: %v, %s", err, out)
	}
	return lines
}

// Nothing that was typed, no code, no key and no secret is in what the module, its
// helper and the server say, whatever is typed and whatever is wrong with the
// configuration.
func TestCanary(t *testing.T) {
	t.Parallel()
	mistyped := rand.Text()
	s := newStage(t, 3, map[string]string{
		"two": plainStack, "one": "auth required MODULE one_prompt\naccount required pam_permit.so\n",
		"code": "auth required MODULE code_only\naccount required pam_permit.so\n", "pass": "auth required MODULE forward_pass\nauth required pam_unix.so use_first_pass\n",
		"unix": unixStack, "odd": "auth required MODULE secret=" + mistyped + "\naccount required pam_permit.so\n",
	})
	log := s.syslog()
	var f canary.Finder
	f.Value("an argument of the module", []byte(mistyped))
	f.Value("shared secret", []byte(s.server.secret))
	for _, p := range s.people {
		f.Value("password of "+p.name, []byte(p.password))
		f.Key("key of "+p.name, p.key.Bytes.Reveal())
		for step := int64(-4); step <= 8; step++ {
			f.Code("code of "+p.name, p.code(step))
		}
	}
	look := func(what, text string) {
		t.Helper()
		for _, leak := range f.Find([]byte(text)) {
			t.Errorf("%s: %s: %q", what, leak, text[max(0, leak.Offset-100):min(len(text), leak.Offset+60)])
		}
	}
	login := func(service string, p person, typed ...string) error {
		t.Helper()
		out, err := s.run(s.command("pamtester", service, p.name, "authenticate"), typed...)
		look("what pamtester prints", out)
		return err
	}
	a, b, c := s.people[0], s.people[1], s.people[2]
	for _, good := range []error{login("two", a, a.password, a.code(0)), login("one", b, b.password+b.code(0))} {
		if good != nil {
			t.Errorf("not let in: %v\n%s\n%s", good, log, s.server.tail())
		}
	}
	login("code", c, c.code(0))
	login("two", a, a.password, a.code(0))
	login("two", a, b.password, a.code(1))
	login("two", a, a.password, "000000")
	login("two", a, a.password+"\x01", a.password)
	login("one", b, b.password)
	login("one", b, strings.Repeat(b.password, 10)+b.code(1))
	login("code", c, c.password)
	login("pass", c, c.password, c.code(1))
	login("unix", b, b.password, b.code(1))
	login("odd", b, b.password, b.code(1))
	login("two", person{name: "nobody"}, a.password, a.code(1))

	good := s.pamTOML("pam.toml", s.server)
	text := file(t, good)
	for _, change := range [][2]string{
		{`secret_file = "pam.secret"`, fmt.Sprintf("secret = %q", s.server.secret)},
		{`secret_file = "pam.secret"`, fmt.Sprintf("secret_file = %q", s.server.secret)},
		{`secret_file = "pam.secret"`, "secret_file = " + s.server.secret},
		{`secret_file = "pam.secret"`, fmt.Sprintf("secret_file = %q", s.server.secret[:9]+`\q`+s.server.secret)},
		{`secret_file = "pam.secret"`, `secret_file = "open"`},
		{"timeout = \"8s\"", fmt.Sprintf("timeout = %q", s.server.secret)},
		{"timeout = \"8s\"", s.server.secret},
		{s.server.addr, s.server.secret},
		{s.server.addr, "user:" + s.server.secret + "@" + s.server.addr},
		{s.server.addr, "127.0.0.1:" + s.server.secret},
	} {
		s.write("open", s.server.secret, 0o644)
		s.write("pam.toml", strings.Replace(text, change[0], change[1], 1), 0o644)
		before := strings.Count(log.String(), "pam_lockstep")
		if login("one", a, a.password+a.code(1)) == nil {
			t.Errorf("let in with %q", change[1])
		}
		testenv.Eventually(t, "a word about "+change[1], func() bool { return strings.Count(log.String(), "pam_lockstep") > before })
	}
	s.write("pam.toml", strings.Replace(text, "8s", "600ms", 1), 0o644)
	s.write("pam.secret", "another secret, of 24 octets or more\n", 0o600)
	login("one", a, a.password+a.code(1))
	s.server.cmd.Process.Signal(syscall.SIGQUIT)
	s.server.cmd.Wait()
	login("one", a, a.password+a.code(1))
	testenv.AwaitFor(time.Second, func() bool { return strings.Contains(log.String(), "nothing listens there") })

	look("the system's log", log.String())
	look("the server's log", s.server.log.String())
	for _, want := range []string{"pam_lockstep[", "msg=refused", "cannot decide"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the system's log has no %q:\n%s", want, log)
		}
	}
}
