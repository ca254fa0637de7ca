package testenv

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Directories reports whether 389-DS and Samba are to be run, as they are under
// "make test-directories". They take long to install, and need root.
func Directories() bool { return os.Getenv("LOCKSTEP_TEST_DIRECTORIES") == "1" }

// needDirectories skips t where [Directories] is false. The name of a test that
// needs them says so, or "make test-directories" would not find it.
func needDirectories(t testing.TB, name string) {
	t.Helper()
	if !strings.Contains(t.Name(), name) {
		t.Fatalf("the name of a test that drives this server has %q in it", name)
	}
	if !Directories() {
		t.Skip("drives a directory server that not every machine has; \"make test-directories\" runs it")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root, for what 389-DS lets nobody else read and the port that Samba listens on")
	}
}

// Directory is a directory server that runs for one test, and has data of its
// own. AdminDN may do everything. ServiceDN may read everything but passwords.
type Directory struct {
	URL, TLSURL                string // ldap:// and ldaps://, the latter empty where there is none
	CA                         []byte // PEM, that TLSURL and StartTLS at URL are to be checked against
	BaseDN, PeopleDN           string
	AdminDN, AdminPassword     string
	ServiceDN, ServicePassword string

	daemon
	dir string
	own int64 // binds of this type's methods since the last Start
}

// Start starts the server again after Stop or Kill, with the same ports and
// data, and returns when it answers.
func (d *Directory) Start(t testing.TB) {
	t.Helper()
	d.own = 0
	d.daemon.Start(t)
}

// answers reports whether the root DSE can be read, which takes no bind.
func (d *Directory) answers() bool {
	c, err := ldap.DialURL(d.URL, ldap.DialWithDialer(&net.Dialer{Timeout: time.Second}))
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(patience)
	_, err = c.Search(rootDSE())
	return err == nil
}

func rootDSE(attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attributes, nil)
}

func (d *Directory) dial(t testing.TB) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(patience)
	return c
}

// RootDSE returns what the server says of itself to anyone.
func (d *Directory) RootDSE(t testing.TB) *ldap.Entry {
	t.Helper()
	c := d.dial(t)
	defer c.Close()
	result, err := c.Search(rootDSE("*", "+"))
	if err != nil {
		t.Fatalf("read the root DSE: %v", err)
	}
	return result.Entries[0]
}

// Bind binds with a name and a password, and returns what the server says.
func (d *Directory) Bind(t testing.TB, dn, password string) error {
	t.Helper()
	c := d.dial(t)
	defer c.Close()
	return c.Bind(dn, password)
}

// As returns a connection that is bound with a name and a password, and is
// closed at the end of t.
func (d *Directory) As(t testing.TB, dn, password string) *ldap.Conn {
	t.Helper()
	c := d.dial(t)
	t.Cleanup(func() { c.Close() })
	if err := c.Bind(dn, password); err != nil {
		t.Fatalf("bind as %q: %v", dn, err)
	}
	return c
}

// admin runs do with a connection bound as AdminDN.
func (d *Directory) admin(t testing.TB, do func(*ldap.Conn) error) {
	t.Helper()
	c := d.dial(t)
	defer c.Close()
	d.own++
	if err := c.Bind(d.AdminDN, d.AdminPassword); err != nil {
		t.Fatalf("bind as admin: %v", err)
	}
	if err := do(c); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a temporary directory whose path is short enough for the names of
// sockets, as that of t.TempDir is not where the test has a long name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// people is an entry ou=people and a service account below a suffix.
func (d *Directory) people() string {
	return fmt.Sprintf(`dn: %s
objectClass: organizationalUnit

dn: %s
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: %s
`, d.PeopleDN, d.ServiceDN, d.ServicePassword)
}

// write writes a file below the server's directory.
func (d *Directory) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *Directory) read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
