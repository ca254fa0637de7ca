package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lockstep/internal/canary"
	"lockstep/internal/testenv"
)

// hoard is what nobody may see, and looks for it in all that is written.
type hoard struct {
	tb     *testing.T
	finder canary.Finder

	mu     sync.Mutex // guards all below
	octets int        // looked through
	chance float64    // of a code that is there by accident
}

// newHoard returns one that checks at the end of t that there was something to
// look through, and that what it found was no accident.
func newHoard(t *testing.T) *hoard {
	h := &hoard{tb: t}
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		t.Logf("%d octets looked through; %.1g codes expected by accident", h.octets, h.chance)
		if h.octets == 0 || h.chance > 0.01 {
			t.Errorf("%d octets looked through, with %g codes expected by accident", h.octets, h.chance)
		}
	})
	return h
}

// invent makes up something that nobody may see.
func (h *hoard) invent(name string) string {
	text := rand.Text()
	h.finder.Value(name, []byte(text))
	return text
}

// person makes up somebody. The password has what programs write in other ways, and
// is as long as a User-Password can be that has a code behind it, or not.
func (h *hoard) person(name string) user {
	u := newUser(name)
	u.password = "pw" + rand.Text()[:16] + `"\<&%ü`
	u.key.Digits = 8
	h.finder.Value("password of "+name, []byte(u.password))
	h.guard(u)
	return u
}

// guard hoards a key and the codes that it has around this time.
func (h *hoard) guard(u user) {
	h.finder.Key("key of "+u.name, u.key.Bytes.Reveal())
	for step := int64(-8); step <= 16; step++ {
		h.finder.Code("code of "+u.name, u.code(step))
	}
}

// look fails the test for each secret in data. What is where data was written.
func (h *hoard) look(what string, data []byte) {
	h.tb.Helper()
	leaks, chance := h.finder.Find(data), h.finder.Chance(data)
	h.mu.Lock()
	h.octets += len(data)
	h.chance += chance
	h.mu.Unlock()
	for _, leak := range leaks {
		around := data[max(0, leak.Offset-120):min(len(data), leak.Offset+80)]
		h.tb.Errorf("%s: %s: …%q…", what, leak, around)
	}
}

// folder looks into each file below dir, but those with one of these names, which
// are for what nobody else may see.
func (h *hoard) folder(dir string, except ...string) {
	h.tb.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name := entry.Name()
		h.look("the name of a file", []byte(name))
		for _, other := range except {
			if name == other {
				return nil
			}
		}
		data, err := os.ReadFile(path)
		h.look(name, data)
		return err
	})
	if err != nil {
		h.tb.Error(err)
	}
}

// process looks at what others can see of a process.
func (h *hoard) process(pid int) {
	h.tb.Helper()
	for _, name := range []string{"cmdline", "environ", "comm", "maps", "status"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil && !os.IsPermission(err) {
			h.tb.Error(err)
		}
		h.look("/proc/PID/"+name, data)
	}
}

// command runs a command line in s's folder, looks at all that it prints, and returns
// that. Stdin is what is typed.
func (h *hoard) command(s *site, stdin string, args ...string) string {
	h.tb.Helper()
	return h.commandBut(s, stdin, nil, args...)
}

// commandBut is command for a command that shows secrets by its nature, less what cut takes
// out of its standard output.
func (h *hoard) commandBut(s *site, stdin string, cut func(string) string, args ...string) string {
	h.tb.Helper()
	cmd := h.program(s, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); exitStatus(err) < 0 {
		h.tb.Errorf("%q: %v", args, err)
	}
	shown := out.String()
	if cut != nil {
		shown = cut(shown)
	}
	h.look(fmt.Sprintf("standard output of %q", args), []byte(shown))
	h.look(fmt.Sprintf("standard error of %q", args), []byte(said.String()))
	return out.String() + said.String()
}

// here is command for what needs neither a folder nor a process of its own: there are
// many of them.
func (h *hoard) here(args ...string) string {
	h.tb.Helper()
	var out, said strings.Builder
	run(args, strings.NewReader(""), &out, &said)
	h.look(fmt.Sprintf("output of %q", args), []byte(out.String()+said.String()))
	return out.String() + said.String()
}

// program is a command line in s's folder, where temporary files are, too.
func (h *hoard) program(s *site, args ...string) *exec.Cmd {
	cmd := program(args...)
	cmd.Dir = s.dir
	// The race detector would have each program sleep for a second at its end.
	cmd.Env = append(cmd.Env, "TMPDIR="+s.dir, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// newSite returns a site that does not run yet, with a secret of h's, and a log in
// that format at debug level.
func (h *hoard) newSite(directory, format string, files map[string]string) *site {
	h.tb.Helper()
	s := &site{t: h.tb, dir: h.tb.TempDir(), addr: loopback(), secret: h.invent("shared secret"), log: &testenv.Buffer{}}
	s.write("secret", s.secret+"\n")
	for name, text := range files {
		s.write(name, text)
	}
	quick := strings.NewReplacer(`reject_delay = "300ms"`, "", "secret_file =", "reject_delay = \"20ms\"\nsecret_file =").Replace(siteTOML)
	s.write("lockstep.toml", fmt.Sprintf(quick, directory, s.addr)+fmt.Sprintf("format = %q\n[audit]\nfile = \"audit.log\"\n[metrics]\nlisten = %q\n", format, s.metrics()))
	return s
}

// metrics is where the site shows its metrics.
func (s *site) metrics() string { return strings.Replace(s.addr, ":1812", ":9813", 1) }

// wideEntry is entry for passwords that are not of ASCII alone.
func wideEntry(u user, more ...string) string {
	return fmt.Sprintf("dn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword:: %[2]s\n%[3]s",
		u.name, base64.StdEncoding.EncodeToString([]byte(u.password)), strings.Join(more, ""))
}

// enrolled is what an entry has beside that.
func enrolled(u user) string {
	return "objectClass: oathTOTPToken\nobjectClass: oathTOTPParams\noathOTPLength: 8\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPTimeStepPeriod: 30\noathSecret: " + u.base32() + "\n"
}

// wideLDIF is ldifText for keys of eight digits.
func wideLDIF(t *testing.T, people ...user) string {
	return strings.ReplaceAll(ldifText(t, people...), "\noathSecret:", "\noathOTPLength: 8\noathSecret:")
}

// startAs starts the server of s by a command of the caller's making.
func (s *site) startAs(cmd *exec.Cmd) {
	s.t.Helper()
	s.cmd = cmd
	cmd.Stderr, cmd.Stdout = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.end(cmd, 9) })
	s.eventually("the server to be ready", func() bool { return s.status() == nil })
}
