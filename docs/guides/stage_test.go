package guides

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// The addresses of the guides.
const (
	serverAddress    = "192.0.2.1" // lockstep
	secondAddress    = "192.0.2.2" // the other lockstep server
	applianceAddress = "192.0.2.10"
)

// stage is a machine that has been set up as a guide says, with lockstep on it.
type stage struct {
	*testenv.Machine
	*guide
	t      *testing.T
	secret string
	log    *testenv.Buffer // of lockstep
	seen   int             // how much of log has been looked at
	people []*person
}

// person is enrolled.
type person struct {
	name, password string
	key            verifier.Key
}

// code is the code of so many steps from now. Each of a person's logins needs
// another one; those of this step and the next two are good for a test.
func (p *person) code(offset int64) string {
	code, err := p.key.Code(p.key.Step(time.Now()) + offset)
	if err != nil {
		panic(err)
	}
	return code
}

// newStage sets a stage by the named guide, and starts nothing. Without one of the
// tools t is skipped; those with a slash are files, and may be patterns.
func newStage(t *testing.T, name string, tools ...string) *stage {
	t.Helper()
	for _, tool := range tools {
		if !strings.Contains(tool, "/") {
			testenv.Tool(t, tool)
		} else if found, err := filepath.Glob(tool); err != nil || len(found) == 0 {
			if testenv.All() {
				t.Fatalf("%s is not installed; make installs what its tests need", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
	build(t)
	s := &stage{
		Machine: testenv.NewMachine(t, serverAddress, secondAddress, applianceAddress),
		guide:   readGuide(t, name), t: t, secret: rand.Text(),
	}
	s.From(applianceAddress, serverAddress)
	s.From(applianceAddress, secondAddress)
	for _, f := range s.files {
		if f.path != "lockstep.toml" {
			s.put(f.path, s.file(f.path))
		}
	}
	return s
}

// put writes a file of the guide.
func (s *stage) put(path, text string) {
	s.t.Helper()
	mode := os.FileMode(0o644)
	if strings.Contains(text, "SECRET") {
		mode = 0o600
	}
	s.Write(path, strings.ReplaceAll(text, "SECRET", s.secret), mode)
}

// lockstep starts a server with the guide's lockstep.toml, which knows so many people,
// the first of them in the group vpn.
func (s *stage) lockstep(people int) {
	s.t.Helper()
	var entries strings.Builder
	for i := range people {
		p := newPerson(fmt.Sprintf("user%02d", i))
		s.people = append(s.people, p)
		entries.WriteString(p.ldif())
	}
	fmt.Fprintf(&entries, "dn: cn=vpn,ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: vpn\nmember: %s\n", s.people[0].dn())
	s.Write("/etc/lockstep/people.ldif", entries.String(), 0o600)
	s.serve()
}

// serve starts a server with the guide's lockstep.toml.
func (s *stage) serve() {
	s.t.Helper()
	text := complete(s.file("lockstep.toml")) + "\n[verifier]\ntrust_clock = true\n"
	for _, secret := range secretFiles.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(s.Path("/etc/lockstep/" + secret[1])); err != nil {
			s.Write("/etc/lockstep/"+secret[1], s.secret+"\n", 0o600)
		}
	}
	s.Write("/etc/lockstep/lockstep.toml", text, 0o600)
	for _, dir := range []string{"/var/lib/lockstep", "/run/lockstep"} {
		if err := os.MkdirAll(s.Path(dir), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	s.log = s.Serve(func(log string) bool {
		return strings.Contains(log, "directory file read") || strings.Contains(log, "directory read")
	}, lockstep(), "serve")
}

func newPerson(name string) *person {
	key := make([]byte, 20)
	rand.Read(key)
	return &person{name, "pw-" + rand.Text(),
		verifier.Key{Bytes: opaque.Of(key), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}}
}

func (p *person) dn() string { return "uid=" + p.name + ",ou=people,dc=example,dc=com" }

func (p *person) base32() string { return base32.StdEncoding.EncodeToString(p.key.Bytes.Reveal()) }

func (p *person) ldif() string {
	salted := sha1.Sum([]byte(p.password + "salt"))
	return fmt.Sprintf("dn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nuserPassword: {SSHA}%s\noathSecret: %s\n\n", p.dn(), p.name, p.name,
		base64.StdEncoding.EncodeToString(append(salted[:], "salt"...)), p.base32())
}

// decided fails the test unless lockstep logs a decision with all of these, after the
// one that was looked for before.
func (s *stage) decided(parts ...string) {
	s.t.Helper()
	held := testenv.AwaitFor(5*time.Second, func() bool {
		for line := range strings.Lines(s.log.String()[s.seen:]) {
			if !strings.HasSuffix(line, "\n") {
				break // it is being written
			}
			s.seen += len(line)
			if strings.Contains(line, "msg=decision") && containsAll(line, parts) {
				return true
			}
		}
		return false
	})
	if !held {
		s.t.Errorf("lockstep has not decided %q:\n%s", parts, s.log)
	}
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// built is where TestMain puts the program.
var built struct {
	dir  string
	once sync.Once
	said []byte
	err  error

	module     sync.Once // the PAM module and its helper
	moduleSaid []byte
	moduleErr  error
}

func lockstep() string { return filepath.Join(built.dir, "lockstep") }

func build(t testing.TB) {
	t.Helper()
	built.once.Do(func() {
		built.said, built.err = exec.Command("go", "build", "-o", lockstep(), "../../cmd/lockstep").CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("%v: %s", built.err, built.said)
	}
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "guides-built-")
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
