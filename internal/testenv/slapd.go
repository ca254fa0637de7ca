package testenv

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// SlapdServer is a real OpenLDAP server with the suffix dc=example,dc=org and
// an entry ou=people below it. It knows the OATH schema.
//
// AdminDN may do everything. ServiceDN may read everything, without limits.
// Others may bind, and people may read their own entry.
type SlapdServer struct {
	URL, TLSURL                string // ldap:// and, WithTLS, ldaps:// for "localhost"
	BaseDN                     string
	AdminDN, AdminPassword     string
	ServiceDN, ServicePassword string
	CA                         []byte // PEM, WithTLS

	dir     string
	options slapdOptions
	cmd     *exec.Cmd
	exited  chan struct{}
	output  bytes.Buffer
	own     int64 // binds of this type's methods since the last Start
}

type slapdOptions struct {
	ppolicy, tls, syncprov bool
	sizeLimit              int
}

// SlapdOption is an option of [Slapd].
type SlapdOption func(*slapdOptions)

// WithPPolicy adds the password policy overlay. Its default policy, to be
// added by the test, is cn=default,dc=example,dc=org; locked accounts say so.
func WithPPolicy() SlapdOption { return func(o *slapdOptions) { o.ppolicy = true } }

// WithTLS makes the server speak ldaps at TLSURL and StartTLS at URL, with a
// certificate of a CA of its own.
func WithTLS() SlapdOption { return func(o *slapdOptions) { o.tls = true } }

// WithSizeLimit limits the searches of the service account, too.
func WithSizeLimit(n int) SlapdOption { return func(o *slapdOptions) { o.sizeLimit = n } }

// WithSyncprov lets the content be synced (RFC 4533), by the overlay syncprov.
// What it remembers of deletes is lost with Stop.
func WithSyncprov() SlapdOption { return func(o *slapdOptions) { o.syncprov = true } }

// slapdModules is where Debian puts them.
const slapdModules = "/usr/lib/ldap"

// Slapd starts a server on a free port of loopback. It is stopped at the end
// of t. Without slapd, or without its module otp, t is skipped; see [Tool].
func Slapd(t testing.TB, options ...SlapdOption) *SlapdServer {
	t.Helper()
	Tool(t, "slapd")
	if _, err := os.Stat(filepath.Join(slapdModules, "otp.so")); err != nil {
		if All() {
			t.Fatal(err)
		}
		t.Skip("slapd has no module otp")
	}
	s := &SlapdServer{
		BaseDN:  "dc=example,dc=org",
		AdminDN: "cn=admin,dc=example,dc=org", AdminPassword: rand.Text(),
		ServiceDN: "cn=lockstep,dc=example,dc=org", ServicePassword: rand.Text(),
		dir: t.TempDir(),
	}
	for _, option := range options {
		option(&s.options)
	}
	s.URL = fmt.Sprintf("ldap://127.0.0.1:%d", freePort(t))
	if s.options.tls {
		s.TLSURL = fmt.Sprintf("ldaps://localhost:%d", freePort(t))
		s.CA = writeCertificate(t, s.dir)
	}
	s.configure(t)
	t.Cleanup(func() { s.Stop(t) })
	s.Start(t)
	s.Add(t, s.content())
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *SlapdServer) configure(t testing.TB) {
	t.Helper()
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	var conf strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&conf, format+"\n", a...) }
	for _, schema := range []string{"core", "cosine", "inetorgperson"} {
		line("include /etc/ldap/schema/%s.schema", schema)
	}
	line("modulepath %s", slapdModules)
	for _, module := range []string{"back_mdb", "back_monitor", "otp", "ppolicy", "syncprov"} {
		// Some builds have the backends linked in.
		if _, err := os.Stat(filepath.Join(slapdModules, module+".so")); err == nil {
			line("moduleload %s", module)
		}
	}
	line("pidfile %s/pid", s.dir)
	if s.options.tls {
		line("TLSCertificateFile %s/cert.pem", s.dir)
		line("TLSCertificateKeyFile %s/key.pem", s.dir)
	}
	line("database mdb\nsuffix %q\nrootdn %q\nrootpw %q\ndirectory %s", s.BaseDN, s.AdminDN, s.AdminPassword, data)
	line("maxsize 268435456\ndbnosync\nindex objectClass,uid eq")
	limit := "unlimited"
	if s.options.sizeLimit > 0 {
		limit = strconv.Itoa(s.options.sizeLimit)
	}
	line("limits dn.exact=%q size=%s time=unlimited", s.ServiceDN, limit)
	line("access to attrs=userPassword by anonymous auth by * none")
	line("access to * by dn.exact=%q read by self read by * none", s.ServiceDN)
	if s.options.ppolicy {
		line("overlay ppolicy\nppolicy_default %q\nppolicy_use_lockout", "cn=default,"+s.BaseDN)
	}
	if s.options.syncprov {
		line("index entryCSN,entryUUID eq\noverlay syncprov\nsyncprov-checkpoint 100 10\nsyncprov-sessionlog 10000")
	}
	line("database monitor\naccess to * by dn.exact=%q read by * none", s.AdminDN)
	if err := os.WriteFile(filepath.Join(s.dir, "slapd.conf"), []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *SlapdServer) content() string {
	return fmt.Sprintf(`dn: %[1]s
objectClass: dcObject
objectClass: organization
o: Example

dn: ou=people,%[1]s
objectClass: organizationalUnit

dn: %[2]s
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: %[3]s
`, s.BaseDN, s.ServiceDN, s.ServicePassword)
}

// Start starts the server again after Stop, with the same port and data.
func (s *SlapdServer) Start(t testing.TB) {
	t.Helper()
	urls := s.URL
	if s.TLSURL != "" {
		urls += " " + s.TLSURL
	}
	s.output.Reset()
	s.cmd = exec.Command(Tool(t, "slapd"), "-f", filepath.Join(s.dir, "slapd.conf"), "-h", urls, "-d", "0")
	s.cmd.Stderr = &s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.own = 0
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "ldap://"))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-s.exited:
			t.Fatalf("slapd: %s\n%s", s.cmd.ProcessState, &s.output)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("slapd does not listen at %s", s.URL)
		}
	}
}

// Stop ends the server and waits until it has gone. It may be stopped or
// frozen already.
func (s *SlapdServer) Stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	s.Thaw(t)
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		<-s.exited
		t.Error("slapd had to be killed")
	}
	s.cmd = nil
}

// Freeze stops the server in its tracks: its connections stay, and it answers
// nothing until Thaw.
func (s *SlapdServer) Freeze(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	// Its threads stop a moment after the signal, and may answer until then.
	for deadline := time.Now().Add(20 * time.Second); !s.frozen(t); {
		if time.Now().After(deadline) {
			t.Fatal("slapd does not stop")
		}
		<-time.After(time.Millisecond)
	}
}

func (s *SlapdServer) frozen(t testing.TB) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of slapd: %d, %v", len(threads), err)
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
func (s *SlapdServer) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *SlapdServer) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// admin runs do with a connection bound as AdminDN.
func (s *SlapdServer) admin(t testing.TB, do func(*ldap.Conn) error) {
	t.Helper()
	c, err := ldap.DialURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetTimeout(20 * time.Second)
	s.own++
	if err := c.Bind(s.AdminDN, s.AdminPassword); err != nil {
		t.Fatalf("bind as admin: %v", err)
	}
	if err := do(c); err != nil {
		t.Fatal(err)
	}
}

// Binds returns how many binds the server has begun since it started, without
// those of s itself. It may count one whose answer is not sent yet, and does
// not miss one whose answer is.
func (s *SlapdServer) Binds(t testing.TB) (n int64) {
	t.Helper()
	s.admin(t, func(c *ldap.Conn) error {
		result, err := c.Search(ldap.NewSearchRequest("cn=Bind,cn=Operations,cn=Monitor", ldap.ScopeBaseObject,
			ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"monitorOpInitiated"}, nil))
		if err != nil {
			return err
		}
		n, err = strconv.ParseInt(result.Entries[0].GetAttributeValue("monitorOpInitiated"), 10, 64)
		return err
	})
	return n - s.own
}
