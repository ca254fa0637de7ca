package testenv

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// SlapdServer is a real OpenLDAP server with the suffix dc=example,dc=org and
// an entry ou=people below it. It knows the OATH schema.
//
// AdminDN may do everything. ServiceDN may read everything, without limits.
// Others may bind, and people may read their own entry. TLSURL, WithTLS, is for
// "localhost".
type SlapdServer struct {
	Directory
	options slapdOptions
}

type slapdOptions struct {
	ppolicy, tls, syncprov, memberof, otp, noOATH, noPolicies bool
	sizeLimit                                                 int
	life, left                                                time.Duration // of the certificate; 0: a day
	schemas                                                   []string
	access                                                    string
}

// SlapdOption is an option of [Slapd].
type SlapdOption func(*slapdOptions)

// WithPPolicy adds the password policy overlay. Its default policy, to be
// added by the test, is cn=default,dc=example,dc=org; locked accounts say so.
func WithPPolicy() SlapdOption { return func(o *slapdOptions) { o.ppolicy = true } }

// WithoutPolicies leaves out the module of that overlay, so that the server does not
// know of password policies at all.
func WithoutPolicies() SlapdOption { return func(o *slapdOptions) { o.noPolicies = true } }

// WithTLS makes the server speak ldaps at TLSURL and StartTLS at URL, with a
// certificate of a CA of its own.
func WithTLS() SlapdOption { return func(o *slapdOptions) { o.tls = true } }

// WithTLSFor is WithTLS by a certificate that lasts for life, of which so much is left.
func WithTLSFor(life, left time.Duration) SlapdOption {
	return func(o *slapdOptions) { o.tls, o.life, o.left = true, life, left }
}

// WithAccess puts a line before the rules of who may do what, such as "access to
// attrs=oathSecret by * read". %s in it is ServiceDN.
func WithAccess(line string) SlapdOption { return func(o *slapdOptions) { o.access = line } }

// WithSizeLimit limits the searches of the service account, too.
func WithSizeLimit(n int) SlapdOption { return func(o *slapdOptions) { o.sizeLimit = n } }

// WithSyncprov makes the server a provider of RFC 4533, which remembers the last
// 10,000 changes for those that come back.
func WithSyncprov() SlapdOption { return func(o *slapdOptions) { o.syncprov = true } }

// WithMemberof adds the overlay that keeps memberOf in the entries of those whom
// a groupOfNames names as member.
func WithMemberof() SlapdOption { return func(o *slapdOptions) { o.memberof = true } }

// WithOTPOverlay puts the overlay otp in charge of the binds of people who are
// oathTOTPUser: they bind with their password and a code behind it.
func WithOTPOverlay() SlapdOption { return func(o *slapdOptions) { o.otp = true } }

// WithoutOATH leaves out the module that knows the OATH schema, and lets AdminDN
// change cn=config.
func WithoutOATH() SlapdOption { return func(o *slapdOptions) { o.noOATH = true } }

// WithSchema includes a file of slapd.conf's schema syntax.
func WithSchema(path string) SlapdOption {
	return func(o *slapdOptions) { o.schemas = append(o.schemas, path) }
}

// slapdModules is where Debian puts them.
const slapdModules = "/usr/lib/ldap"

// slapdMaxSize is how far the database may grow, in octets: 2,000,000 people.
const slapdMaxSize = 8 << 30

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
	s := &SlapdServer{Directory: Directory{
		BaseDN: "dc=example,dc=org", PeopleDN: "ou=people,dc=example,dc=org",
		AdminDN: "cn=admin,dc=example,dc=org", AdminPassword: rand.Text(),
		ServiceDN: "cn=lockstep,dc=example,dc=org", ServicePassword: rand.Text(),
		dir: t.TempDir(),
	}}
	for _, option := range options {
		option(&s.options)
	}
	s.URL = fmt.Sprintf("ldap://127.0.0.1:%d", Port(t))
	urls := s.URL
	if s.options.tls {
		s.TLSURL = fmt.Sprintf("ldaps://localhost:%d", Port(t))
		urls += " " + s.TLSURL
		s.CA = s.certify(t)
	}
	s.configure(t)
	program := Tool(t, "slapd")
	s.daemon = daemon{name: "slapd", ready: s.answers, command: func() *exec.Cmd {
		return exec.Command(program, "-f", s.conf(), "-h", urls, "-d", "0")
	}}
	t.Cleanup(func() { s.Stop(t) })
	s.Start(t)
	s.Add(t, fmt.Sprintf("dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\n", s.BaseDN)+s.people())
	return s
}

func (s *SlapdServer) certify(t testing.TB) (ca []byte) {
	t.Helper()
	if s.options.life == 0 {
		return writeCertificate(t, s.dir, "127.0.0.1")
	}
	return writeCertificateFor(t, s.dir, s.options.life, s.options.left, "127.0.0.1")
}

// conf is the path of the configuration.
func (s *SlapdServer) conf() string { return filepath.Join(s.dir, "slapd.conf") }

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
	for _, path := range s.options.schemas {
		line("include %s", path)
	}
	line("modulepath %s", slapdModules)
	modules := []string{"back_mdb", "back_monitor", "syncprov", "memberof"}
	if !s.options.noPolicies {
		modules = append(modules, "ppolicy")
	}
	if !s.options.noOATH {
		modules = append(modules, "otp")
	}
	for _, module := range modules {
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
	// AdminDN may change the configuration, too, while the server runs.
	line("database config\nrootdn %q", s.AdminDN)
	line("database mdb\nsuffix %q\nrootdn %q\nrootpw %q\ndirectory %s", s.BaseDN, s.AdminDN, s.AdminPassword, data)
	line("maxsize %d\ndbnosync\nindex objectClass,uid,entryUUID,entryCSN eq", slapdMaxSize)
	limit := "unlimited"
	if s.options.sizeLimit > 0 {
		limit = strconv.Itoa(s.options.sizeLimit)
	}
	line("limits dn.exact=%q size=%s time=unlimited", s.ServiceDN, limit)
	if s.options.access != "" {
		line("%s", strings.ReplaceAll(s.options.access, "%s", strconv.Quote(s.ServiceDN)))
	}
	line("access to attrs=userPassword by anonymous auth by * none")
	line("access to * by dn.exact=%q read by self read by * none", s.ServiceDN)
	s.overlays(line)
	line("database monitor\naccess to * by dn.exact=%q read by * none", s.AdminDN)
	if err := os.WriteFile(s.conf(), []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *SlapdServer) overlays(line func(string, ...any)) {
	if s.options.ppolicy {
		line("overlay ppolicy\nppolicy_default %q\nppolicy_use_lockout", "cn=default,"+s.BaseDN)
	}
	if s.options.otp {
		line("overlay otp")
	}
	if s.options.memberof {
		line("overlay memberof")
	}
	if s.options.syncprov {
		line("overlay syncprov\nsyncprov-sessionlog 10000\nsyncprov-checkpoint 100 10")
	}
}

// Binds returns how many binds the server has begun since it started, without
// those by which s changes and counts. It may count one whose answer is not sent yet, and does
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
