package testenv

import (
	"bufio"
	"crypto/rand"
	"crypto/sha512"
	_ "embed" // the schema
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/packaging/schema"
)

// DS389Server is a real 389 Directory Server with the suffix dc=example,dc=org
// and entries ou=people and ou=groups below it. It knows the schemas of OATH and
// of FreeIPA's tokens.
//
// The plug-ins Content Synchronization (RFC 4533), Retro Changelog and MemberOf
// are on. AdminDN is the Directory Manager. The limits of the server do not hold
// for ServiceDN. Others may bind, and people may read their own entry. TLSURL is
// for "localhost".
type DS389Server struct {
	Directory
	GroupsDN string

	options ds389Options
}

type ds389Options struct{ limits bool }

// DS389Option is an option of [DirectoryServer389].
type DS389Option func(*ds389Options)

// WithServerLimits leaves the service account the limits that the server comes
// with: 2000 entries a search.
func WithServerLimits() DS389Option { return func(o *ds389Options) { o.limits = true } }

// DirectoryServer389 starts a server on free ports of loopback, which takes
// about a second. It is stopped at the end of t. Where [Directories] is false, t
// is skipped; without ns-slapd it fails. The name of t has "DirectoryServer389"
// in it.
func DirectoryServer389(t testing.TB, options ...DS389Option) *DS389Server {
	t.Helper()
	needDirectories(t, "DirectoryServer389")
	program := Tool(t, "ns-slapd")
	s := &DS389Server{GroupsDN: "ou=groups,dc=example,dc=org", Directory: Directory{
		BaseDN: "dc=example,dc=org", PeopleDN: "ou=people,dc=example,dc=org",
		AdminDN: "cn=Directory Manager", AdminPassword: rand.Text(),
		ServiceDN: "cn=lockstep,dc=example,dc=org", ServicePassword: rand.Text(),
		dir: shortDir(t),
	}}
	for _, option := range options {
		option(&s.options)
	}
	port, securePort := Port(t), Port(t)
	s.URL, s.TLSURL = fmt.Sprintf("ldap://127.0.0.1:%d", port), fmt.Sprintf("ldaps://localhost:%d", securePort)
	s.layOut(t)
	s.configure(t, port, securePort)
	s.daemon = daemon{name: "ns-slapd", ready: s.answers, command: func() *exec.Cmd {
		return exec.Command(program, "-D", s.dir, "-i", filepath.Join(s.dir, "pid"), "-d", "0")
	}}
	t.Cleanup(func() {
		s.Kill(t) // Stop takes two seconds
		os.Remove("/dev/shm/sem." + filepath.Base(s.dir) + ".stats")
	})
	s.Start(t)
	s.Add(t, s.content())
	return s
}

//go:embed 70ipaotp.ldif
var ipaSchema string

// layOut makes the directories and files of an instance, but for its
// configuration.
func (s *DS389Server) layOut(t testing.TB) {
	t.Helper()
	for _, name := range []string{"schema", "db", "log"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		"config/slapd-collations.conf": "slapd-collations.conf",
		"config/certmap.conf":          "certmap.conf",
		"schema/99user.ldif":           "schema/99user.ldif",
	} {
		s.write(t, to, s.read(t, filepath.Join("/etc/dirsrv", from)))
	}
	s.write(t, "schema/99oath.ldif", schema.DirectoryServer389)
	s.write(t, "schema/70ipaotp.ldif", ipaSchema)
	s.CA = writeCertificate(t, s.dir, "127.0.0.1")
	s.makeNSS(t)
}

// makeNSS puts the certificate where Mozilla's library looks for it.
func (s *DS389Server) makeNSS(t testing.TB) {
	t.Helper()
	for _, command := range [][]string{
		{"openssl", "pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-name", "Server-Cert", "-out", "cert.p12", "-passout", "pass:p12"},
		{"certutil", "-N", "-d", ".", "--empty-password"},
		{"certutil", "-A", "-d", ".", "-n", "CA", "-t", "CT,,", "-a", "-i", "ca.pem"},
		{"pk12util", "-i", "cert.p12", "-d", ".", "-W", "p12", "-K", ""},
	} {
		cmd := exec.CommandContext(t.Context(), Tool(t, command[0]), command[1:]...)
		cmd.Dir = s.dir
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, output)
		}
	}
}

// templates is where the package has what an instance's configuration is made
// from.
const templates = "/usr/share/dirsrv/data/"

// configure writes dse.ldif, as dscreate does, which would have the instance in
// /etc and be run by systemd.
func (s *DS389Server) configure(t testing.TB, port, securePort int) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	// A second blank line between entries would end the server without a word.
	dse := strings.TrimRight(s.read(t, templates+"template-dse.ldif"), "\n") + "\n\n" + s.read(t, templates+"template-suffix-db.ldif")
	values := []string{
		"%schema_dir%", s.dir + "/schema", "%config_dir%", s.dir, "%cert_dir%", s.dir, "%inst_dir%", s.dir,
		"%lock_dir%", s.dir, "%tmp_dir%", s.dir, "%ldif_dir%", s.dir, "%bak_dir%", s.dir, "%run_dir%", s.dir,
		"%log_dir%", s.dir + "/log", "%db_dir%", s.dir + "/db", "%db_home_dir%", s.dir + "/db", "%db_lib%", "bdb",
		"%fqdn%", "localhost", "%ds_port%", fmt.Sprint(port), "%ds_user%", me.Username,
		"%rootdn%", s.AdminDN, "%ds_passwd%", saltedSHA512(s.AdminPassword),
		"%ldapi_enabled%", "off", "%ldapi%", s.dir + "/ldapi", "%ldapi_autobind%", "off",
		"%ds_suffix%", s.BaseDN, "%ds_bename%", "userRoot",
	}
	dse = strings.NewReplacer(values...).Replace(dse)
	for _, plugin := range []string{"MemberOf Plugin", "Retro Changelog Plugin", "Content Synchronization"} {
		dse = inEntry(t, dse, "cn="+plugin+",cn=plugins,cn=config", "nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on")
	}
	dse = inEntry(t, dse, "cn=config", "cn: config", fmt.Sprintf("cn: config\nnsslapd-security: on\nnsslapd-securePort: %d\npasswordStorageScheme: SSHA512", securePort))
	// Or a database that lives for a minute takes a quarter of the memory.
	dse = inEntry(t, dse, "cn=config,cn=ldbm database,cn=plugins,cn=config", "cn: config",
		"cn: config\nnsslapd-cache-autosize: 0\nnsslapd-dbcachesize: 16777216\nnsslapd-db-durable-transaction: off")
	s.write(t, "dse.ldif", dse)
}

// Load enrols n people, 0 to n-1, as [SlapdServer.Load] does, and removes all
// else that a test has added. 100,000 take a minute.
func (s *DS389Server) Load(t testing.TB, n int) {
	t.Helper()
	s.Stop(t)
	path := filepath.Join(s.dir, "load.ldif")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "%s\n", s.content())
	if err := loaded(w, n, s.PeopleDN); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), Tool(t, "ns-slapd"), "ldif2db", "-D", s.dir, "-n", "userRoot", "-i", path)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldif2db: %v\n%s", err, output)
	}
	s.Start(t)
}

// inEntry replaces old, which must be there, in one entry of an LDIF text.
func inEntry(t testing.TB, ldif, dn, old, new string) string {
	t.Helper()
	before, rest, found := strings.Cut(ldif, "dn: "+dn+"\n")
	entry, after, _ := strings.Cut(rest, "\n\n")
	if !found || !strings.Contains(entry, old) {
		t.Fatalf("the template has no %q in %q", old, dn)
	}
	return before + "dn: " + dn + "\n" + strings.Replace(entry, old, new, 1) + "\n\n" + after
}

func saltedSHA512(password string) string {
	salt := rand.Text()[:8]
	sum := sha512.Sum512([]byte(password + salt))
	return "{SSHA512}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

func (s *DS389Server) content() string {
	limits := "nsSizeLimit: -1\nnsLookThroughLimit: -1\nnsTimeLimit: -1\nnsIdleTimeout: -1\n"
	if s.options.limits {
		limits = ""
	}
	return fmt.Sprintf(`dn: %[1]s
objectClass: domain
dc: example
aci: (targetattr != "userPassword")(version 3.0; acl "service"; allow (read, search, compare) userdn = "ldap:///%[2]s";)
aci: (targetattr != "userPassword")(version 3.0; acl "self"; allow (read, search, compare) userdn = "ldap:///self";)

dn: %[3]s
objectClass: organizationalUnit

%[4]s%[5]s`, s.BaseDN, s.ServiceDN, s.GroupsDN, s.people(), limits)
}
