package testenv

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// SambaServer is a real Samba domain controller of the Active Directory domain
// example.org, of which only the LDAP server runs. There is an ou=people.
//
// AdminDN is the domain's Administrator. ServiceDN is a user like others, who
// may read what all users of a domain may read. Five wrong passwords lock an
// account. The schema may be extended.
type SambaServer struct {
	Directory
	Domain string // the short name of the domain, as in DOMAIN\user
}

// sambaVersion is that of the cached domain: it changes with [provision].
const sambaVersion = "1"

// sambaAdminPassword is the same in all copies of the cached domain.
const sambaAdminPassword = "Lockstep.testenv.1"

// SambaAD starts a domain controller on an address of loopback that nobody else
// uses, which takes about two seconds, and seven more the first time: the domain
// is then made, and kept in the user's cache directory. It is stopped at the end
// of t. Where [Directories] is false, t is skipped; without samba it fails. The
// name of t has "SambaAD" in it.
func SambaAD(t testing.TB) *SambaServer {
	t.Helper()
	needDirectories(t, "SambaAD")
	program, address := Tool(t, "samba"), loopback()
	s := &SambaServer{Domain: "EXAMPLE", Directory: Directory{
		URL: "ldap://" + address, TLSURL: "ldaps://" + address,
		BaseDN: "DC=example,DC=org", PeopleDN: "OU=people,DC=example,DC=org",
		AdminDN: "CN=Administrator,CN=Users,DC=example,DC=org", AdminPassword: sambaAdminPassword,
		ServiceDN: "CN=lockstep,CN=Users,DC=example,DC=org", ServicePassword: newPassword(),
		dir: shortDir(t),
	}}
	copyTree(t, domain(t), s.dir)
	s.CA = writeCertificate(t, s.dir, address)
	s.write(t, "smb.conf", sambaConf(s.dir, address))
	s.daemon = daemon{name: "samba", ready: s.answers, command: func() *exec.Cmd {
		return exec.Command(program, "--foreground", "--no-process-group", "--model=single", "--debug-stdout", "--configfile="+filepath.Join(s.dir, "smb.conf"))
	}}
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	s.Modify(t, "dn: "+s.BaseDN+"\nreplace: lockoutThreshold\nlockoutThreshold: 5\n")
	s.Add(t, "dn: "+s.PeopleDN+"\nobjectClass: organizationalUnit\n")
	s.addAccount(t, s.ServiceDN, "lockstep", s.ServicePassword)
	return s
}

// loopback returns an address of loopback that is unlikely to be another's,
// since the ports of Active Directory are fixed.
func loopback() string {
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("127.%d.%d.%d", 64+b[0]%128, b[1], 1+b[2]%254)
}

// newPassword returns a password that Active Directory finds complex.
func newPassword() string { return "Aa1." + rand.Text()[:12] }

// sambaConf has the server keep everything below dir.
func sambaConf(dir, address string) string {
	return fmt.Sprintf(`[global]
netbios name = DC1
realm = EXAMPLE.ORG
workgroup = EXAMPLE
server role = active directory domain controller
server services = ldap
interfaces = %[2]s/8
bind interfaces only = yes
ldap server require strong auth = no
ldb:nosync = true
dsdb:schema update allowed = yes
tls keyfile = %[1]s/key.pem
tls certfile = %[1]s/cert.pem
tls cafile = %[1]s/ca.pem
private dir = %[1]s/private
state directory = %[1]s/state
cache directory = %[1]s/cache
lock directory = %[1]s/lock
pid directory = %[1]s/run
ncalrpc dir = %[1]s/ncalrpc
winbindd socket directory = %[1]s/winbindd
ntp signd socket directory = %[1]s/ntp
binddns dir = %[1]s/bind-dns
log file = %[1]s/log
`, dir, address)
}

// domain returns the directory of a domain that no server has run on, from the
// cache where it is there.
func domain(t testing.TB) string {
	t.Helper()
	version, err := exec.Command(Tool(t, "samba"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	name := strings.Join(strings.Fields(string(version)), "-") + "-" + sambaVersion
	made := filepath.Join(cache, "lockstep-testenv", name)
	if _, err := os.Stat(made); err == nil {
		return made
	}
	return provision(t, made)
}

// provision makes a domain beside its place and moves it there, so that what is
// there is whole, also if others make it at the same time.
func provision(t testing.TB, made string) string {
	t.Helper()
	parent := filepath.Dir(made)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(parent, "making")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "smb.conf")
	// Or it would read the machine's, and write there too.
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), Tool(t, "samba-tool"), "domain", "provision", "--configfile="+conf, "--targetdir="+dir,
		"--realm=EXAMPLE.ORG", "--domain=EXAMPLE", "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1", "--host-ip=127.0.0.1",
		"--adminpass="+sambaAdminPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("provision a domain: %v\n%s", err, output)
	}
	if err := os.Rename(dir, made); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return made
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), "cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}
