// Package packaging_test builds the packages, installs them into machines made for
// that, and looks at what the unit, the profiles and the scripts do there. What takes
// long is run by "make test-packages", as root.
package packaging_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"lockstep/internal/testenv"
)

// heavy skips t unless it was asked for.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("LOCKSTEP_TEST_PACKAGES") != "1" {
		t.Skip("takes minutes, and root; \"make test-packages\" runs it")
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root, for machines")
	}
}

// of is the date of all packages of these tests.
const of = "1700000000"

// build builds packages of a version from the sources in folder.
func build(t *testing.T, folder, out, version, archs string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(folder, "packaging", "build"), out)
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH="+of, "ARCHS="+archs)
	must(t, cmd)
}

var first = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "lockstep-packages-") })

var builds sync.Map // version → *sync.Once

// packages returns the folder with the packages of a version for this machine,
// which are built once.
func packages(t *testing.T, version string) string {
	t.Helper()
	folder, err := first()
	if err != nil {
		t.Fatal(err)
	}
	once, _ := builds.LoadOrStore(version, &sync.Once{})
	once.(*sync.Once).Do(func() { build(t, "..", filepath.Join(folder, version), version, runtime.GOARCH) })
	return filepath.Join(folder, version)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, err := first(); err == nil {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// deb returns the path of a package of a version.
func deb(t *testing.T, name, version string) string {
	t.Helper()
	return filepath.Join(packages(t, version), fmt.Sprintf("%s_%s-1_%s.deb", name, version, runtime.GOARCH))
}

// give copies a package into the machine and returns the command that installs it.
func (m *machine) give(name, version string) string {
	m.t.Helper()
	must(m.t, exec.Command("cp", deb(m.t, name, version), filepath.Join(m.root, "root")))
	return "dpkg -i /root/" + filepath.Base(deb(m.t, name, version))
}

func TestTheSameSourcesMakeTheSamePackages(t *testing.T) {
	heavy(t)
	// The second time elsewhere, and without git.
	elsewhere := filepath.Join(t.TempDir(), "a", "longer", "path")
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("/bin/sh", "-c", `tar -C .. --exclude ./.git --exclude ./bin -cf - . | tar -C "$0" -xf -`, elsewhere))
	one, other := t.TempDir(), t.TempDir()
	build(t, "..", one, "1.0.0", "amd64 arm64")
	build(t, elsewhere, other, "1.0.0", "amd64 arm64")
	a, b := sums(t, one), sums(t, other)
	if !maps.Equal(a, b) {
		t.Errorf("once\n%v\nand again\n%v", a, b)
	}
	want := 8
	if _, err := exec.LookPath("aarch64-linux-gnu-gcc"); err != nil && !testenv.All() {
		want = 6
	}
	if len(a) != want {
		t.Errorf("%d packages, want %d: %q", len(a), want, slices.Sorted(maps.Keys(a)))
	}
}

func sums(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return all
}

func TestLintian(t *testing.T) {
	heavy(t)
	// The maintainer is whoever builds the package, and here nobody.
	out := must(t, exec.Command(testenv.Tool(t, "lintian"), "--allow-root", "--fail-on", "error",
		"--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact",
		deb(t, "lockstep", "1.0.0"), deb(t, "lockstep-pam", "1.0.0")))
	t.Log(out)
}

// The rpm has the same files as the deb, but for what is of Debian alone.
func TestRPM(t *testing.T) {
	heavy(t)
	for name, settings := range map[string]int{"lockstep": 3, "lockstep-pam": 2} {
		files, err := filepath.Glob(filepath.Join(packages(t, "1.0.0"), name+"-1.0.0-1.*.rpm"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		rpm := strings.Fields(must(t, exec.Command(testenv.Tool(t, "rpm"), "-qlp", files[0])))
		for _, want := range map[string][]string{
			"lockstep": {"/usr/bin/lockstep", "/etc/lockstep/lockstep.toml", "/etc/lockstep/credentials", "/usr/lib/systemd/system/lockstep.service", "/usr/lib/sysusers.d/lockstep.conf"},
			"lockstep-pam": {"/usr/lib64/security/pam_lockstep.so", "/usr/libexec/lockstep/lockstep-pam", "/etc/lockstep/pam.toml",
				"/usr/share/man/man8/pam_lockstep.8.gz"},
		}[name] {
			if !slices.Contains(rpm, want) {
				t.Errorf("%s: %s is not there: %q", name, want, rpm)
			}
		}
		for _, path := range rpm {
			if path == "/usr/bin" || path == "/etc" || strings.Contains(path, "lintian") {
				t.Errorf("%s: has %s", name, path)
			}
		}
		config := strings.Fields(must(t, exec.Command("rpm", "-qcp", files[0])))
		if len(config) != settings {
			t.Errorf("%s: configuration %q", name, config)
		}
	}
}

// key is alice's; what she types is her password and a code of it.
const key = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

func typed(t *testing.T) string {
	t.Helper()
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return "wonderland" + code + "\n"
}

const site = `[directory]
url = ["ldif:people.ldif"]
[[radius.client]]
name = "local"
address = "127.0.0.1"
secret_file = "credential:lockstep_local.secret"
[admin]
group = "lockstep-admin"
`

// configure does what an administrator does.
func (m *machine) configure() {
	m.t.Helper()
	salted := sha1.Sum([]byte("wonderlandsalt"))
	m.put("/etc/lockstep/lockstep.toml", site, 0o644)
	m.put("/etc/lockstep/people.ldif", "dn: uid=alice,dc=example,dc=org\nuid: alice\nuserPassword: {SSHA}"+
		base64.StdEncoding.EncodeToString(append(salted[:], "salt"...))+"\noathSecret: "+key+"\n", 0o640)
	m.put("/etc/lockstep/credentials/local.secret", "a secret of 16 octets\n", 0o600)
	m.run("chgrp lockstep /etc/lockstep/people.ldif")
}

const login = "lockstep login -secret-file /etc/lockstep/credentials/local.secret alice"

// logsIn fails unless what was typed is accepted, or refused.
func (m *machine) logsIn(typed string, accepted bool) {
	m.t.Helper()
	out, err := m.typed(login, typed)
	if want := map[bool]string{true: "alice: accepted", false: "alice: rejected"}[accepted]; !strings.Contains(out, want) {
		m.t.Errorf("login: %q, %v; want %q\n%s", out, err, want, m.journal())
	}
}

func (m *machine) journal() string {
	out, _ := m.try("journalctl --no-pager -u lockstep -n 40 -o cat")
	return out
}

// From the first installation to the purge, on a machine with systemd.
func TestLifeOfTheServer(t *testing.T) {
	heavy(t)
	m := newMachine(t)
	m.boot()

	m.run(m.give("lockstep", "1.0.0"))
	m.is("disabled", "systemctl is-enabled lockstep")
	m.is("inactive", "systemctl is-active lockstep")
	m.is("lockstep:/var/lib/lockstep:/usr/sbin/nologin", "getent passwd lockstep | cut -d: -f1,6,7")
	m.run("lockstep demo -once")
	m.run("systemctl preset lockstep")
	m.is("disabled", "systemctl is-enabled lockstep")
	// Started before anything was configured, it says what is missing, once.
	m.fails("", "systemctl start lockstep")
	m.is("2", "systemctl show -P ExecMainStatus lockstep")
	m.is("0", "systemctl show -P NRestarts lockstep")
	m.fails("directory.bind_password_file", "lockstep check")

	m.configure()
	m.run("lockstep check")
	m.run("systemctl enable --now lockstep")
	m.runs()
	code := typed(t)
	m.logsIn(code, true)
	m.logsIn(code, false)
	m.adminSocket()
	m.reloads()

	m.run("touch -d @1 /var/lib/lockstep && sha256sum /etc/lockstep/* >/root/sums 2>/dev/null || true")
	before := m.run("systemctl show -P MainPID lockstep")
	m.run(m.give("lockstep", "1.0.1"))
	m.is("active", "systemctl is-active lockstep")
	if after := m.run("systemctl show -P MainPID lockstep"); after == before {
		t.Errorf("process %s goes on after the upgrade", after)
	}
	m.run("sha256sum -c /root/sums")
	m.logsIn(code, false)

	m.run("dpkg -r lockstep")
	m.fails("", "pidof lockstep")
	for path, want := range map[string]bool{"/var/lib/lockstep/state.db": true, "/etc/lockstep/lockstep.toml": true, "/etc/lockstep/credentials/local.secret": true, "/usr/bin/lockstep": false} {
		if m.there(path) != want {
			t.Errorf("removed, and %s is there: %t", path, !want)
		}
	}
	m.run(m.give("lockstep", "1.0.1") + " && systemctl start lockstep")
	m.logsIn(code, false)
	m.is("enabled", "systemctl is-enabled lockstep")

	m.run("dpkg -P lockstep")
	for path, want := range map[string]bool{"/var/lib/lockstep": false, "/etc/lockstep/lockstep.toml": false, "/etc/apparmor.d/lockstep": false,
		"/etc/lockstep/credentials/local.secret": true, "/etc/systemd/system/multi-user.target.wants/lockstep.service": false} {
		if m.there(path) != want {
			t.Errorf("purged, and %s is there: %t", path, !want)
		}
	}
	m.is("lockstep", "getent passwd lockstep | cut -d: -f1")
}

// runs fails unless the service runs as the unit says it should.
func (m *machine) runs() {
	m.t.Helper()
	m.is("active", "systemctl is-active lockstep")
	m.is("lockstep 700", "stat -c '%U %a' /var/lib/lockstep")
	pid := m.run("systemctl show -P MainPID lockstep")
	m.is("lockstep", "stat -c %U /proc/"+pid+"/task") // not dumpable: its files are root's, the task's folder is not
	for want, field := range map[string]string{"2": "Seccomp:", "1": "NoNewPrivs:", "0000000000000000": "CapBnd:"} {
		m.is(want, "grep "+field+" /proc/"+pid+"/status | cut -f2")
	}
}

// adminSocket fails unless the members of the group, and nobody else, may use it.
func (m *machine) adminSocket() {
	m.t.Helper()
	m.is("lockstep lockstep-admin 660", "stat -c '%U %G %a' /run/lockstep/admin.sock")
	m.run("useradd -G lockstep-admin helper && useradd stranger")
	if out := m.run("setpriv --reuid helper --regid helper --init-groups lockstep user show alice"); !strings.Contains(out, "alice") {
		m.t.Errorf("user show: %q", out)
	}
	m.fails("permission denied", "setpriv --reuid stranger --regid stranger --init-groups lockstep user show alice")
	m.fails("ermission denied", "setpriv --reuid lockstep --regid lockstep --init-groups cat /etc/lockstep/credentials/local.secret")
}

// reloads fails unless a reload is taken, and a broken one leaves the server as it is.
func (m *machine) reloads() {
	m.t.Helper()
	m.put("/etc/lockstep/lockstep.toml", strings.Replace(site, `"local"`, `"loopback"`, 1), 0o644)
	m.run("systemctl reload lockstep")
	testenv.Eventually(m.t, "the reload", func() bool { return strings.Contains(m.journal(), "configuration in use") })
	m.put("/etc/lockstep/lockstep.toml", "broken", 0o644)
	m.try("systemctl reload lockstep")
	testenv.Eventually(m.t, "the fault", func() bool { return strings.Contains(m.journal(), "the old one goes on") })
	m.is("active", "systemctl is-active lockstep")
	m.put("/etc/lockstep/lockstep.toml", site, 0o644)
	m.run("systemctl reload lockstep")
}

// A server that is stopped in its tracks is ended by the watchdog, and comes back.
func TestWatchdog(t *testing.T) {
	heavy(t)
	m := newMachine(t)
	m.boot()
	m.run(m.give("lockstep", "1.0.0"))
	m.configure()
	m.put("/etc/systemd/system/lockstep.service.d/soon.conf", "[Service]\nWatchdogSec=3\nRestartSec=0\n", 0o644)
	m.run("systemctl daemon-reload && systemctl start lockstep")
	pid := m.run("systemctl show -P MainPID lockstep")
	// It is fed: twice the time passes, and it is the same process.
	fed := m.run("systemctl show -P WatchdogTimestampMonotonic lockstep")
	for range 4 {
		testenv.Eventually(t, "the watchdog to be fed", func() bool {
			now, err := m.try("systemctl show -P WatchdogTimestampMonotonic lockstep")
			return err == nil && now != fed
		})
		fed = m.run("systemctl show -P WatchdogTimestampMonotonic lockstep")
	}
	m.is(pid, "systemctl show -P MainPID lockstep")
	m.run("kill -STOP " + pid)
	testenv.Eventually(t, "another process", func() bool {
		out, err := m.try("systemctl is-active lockstep >/dev/null && systemctl show -P MainPID lockstep")
		return err == nil && out != pid && out != "0"
	})
	m.logsIn(typed(t), true)
	m.is("watchdog", "journalctl -o cat -u lockstep | grep -o \"Failed with result 'watchdog'\" | head -1 | cut -d\"'\" -f2")
	// The same of one that breaks down: Go's own status for that is the one of a wrong
	// configuration.
	pid = m.run("systemctl show -P MainPID lockstep")
	m.run("kill -ABRT " + pid)
	testenv.Eventually(t, "another process", func() bool {
		out, err := m.try("systemctl is-active lockstep >/dev/null && systemctl show -P MainPID lockstep")
		return err == nil && out != pid && out != "0"
	})
}

// Where no systemd runs, as when an image is built, and where there is none at all.
func TestLifeInAChroot(t *testing.T) {
	heavy(t)
	for name, prepare := range map[string]string{"systemd does not run": "true", "there is no systemd": "rm /usr/bin/systemctl /bin/systemd-sysusers /usr/bin/systemd-sysusers 2>/dev/null; true"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.run(prepare)
			m.run(m.give("lockstep", "1.0.0"))
			m.is("lockstep", "getent passwd lockstep | cut -d: -f1")
			m.is("lockstep-admin", "getent group lockstep-admin | cut -d: -f1")
			m.configure()
			m.put("/var/lib/lockstep/state.db", "state", 0o600)
			m.run("mkdir -p /proc && lockstep version")
			m.run(m.give("lockstep", "1.0.1"))
			m.is(strings.TrimSpace(site), "cat /etc/lockstep/lockstep.toml")
			m.run("dpkg -r lockstep")
			m.is("state", "cat /var/lib/lockstep/state.db")
			m.run("dpkg -P lockstep")
			if m.there("/var/lib/lockstep") || !m.there("/etc/lockstep/people.ldif") {
				t.Error("purge took too much or too little")
			}
		})
	}
}

// Nobody is locked out by installing the module, nor by removing it.
func TestLifeOfTheModule(t *testing.T) {
	heavy(t)
	m := newMachine(t)
	before := m.run("cat /etc/pam.d/common-*")
	m.run(m.give("lockstep-pam", "1.0.0"))
	m.is(before, "cat /etc/pam.d/common-*")
	m.run("ldd /usr/lib/*/security/pam_lockstep.so /usr/libexec/lockstep/lockstep-pam | grep -v 'not found'")

	m.run("pam-auth-update --enable lockstep")
	m.run("grep -q '^auth.*pam_lockstep.so' /etc/pam.d/common-auth")
	m.run(m.give("lockstep-pam", "1.0.1"))
	m.run("grep -q '^auth.*pam_lockstep.so' /etc/pam.d/common-auth")

	// By hand, in a file that pam-auth-update does not know.
	m.run("cp /etc/pam.d/login /root && echo 'auth required pam_lockstep.so' >>/etc/pam.d/login")
	m.fails("nobody could log in without it", "dpkg -r lockstep-pam")
	// What is refused changes nothing: the other services still ask for a code.
	m.run("grep -q '^auth.*pam_lockstep.so' /etc/pam.d/common-auth")
	m.run("ls /usr/lib/*/security/pam_lockstep.so")
	m.run("cp /root/login /etc/pam.d/login && dpkg -P lockstep-pam")
	m.is(before, "cat /etc/pam.d/common-*")
	if m.there("/etc/lockstep") {
		t.Error("purged, and /etc/lockstep is there")
	}
}
