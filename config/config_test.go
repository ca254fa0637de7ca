package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const canary = "hunter2canary"

// minimal has the least that a configuration needs, in tables that tests add to.
const minimal = `[directory]
url = ["ldif:people.ldif"]
%directory
[radius]
%radius
[[radius.client]]
name = "vpn"
address = "192.0.2.0/24"
secret_file = "vpn.secret"
%client
`

// with returns minimal with settings in one of its tables. They begin on line
// 3 for directory, 5 for radius and 10 for client.
func with(table, settings string) string {
	return strings.NewReplacer("%"+table, settings, "%directory\n", "\n", "%radius\n", "\n", "%client\n", "\n").Replace(minimal)
}

// write makes the files below a new directory, private ones, and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load loads text from a directory with the secrets vpn.secret and ldap.secret.
func load(t testing.TB, text string) (*Config, error) {
	t.Helper()
	dir := write(t, map[string]string{
		"c.toml": text, "vpn.secret": canary + "-vpn-secret\n", "ldap.secret": canary + "-password\r\n", "empty.secret": "\n", "nul.secret": "a\x00b",
	})
	if err := os.WriteFile(filepath.Join(dir, "open.secret"), []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	// Chmod, for WriteFile goes through the umask.
	if err := os.Chmod(filepath.Join(dir, "open.secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(filepath.Join(dir, "c.toml"))
}

// faultLines returns the faults of text without the directory of its file.
func faultLines(t testing.TB, text string) []string {
	t.Helper()
	_, err := load(t, text)
	if err == nil {
		return nil
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("error is %T: %v, want Faults", err, err)
	}
	var lines []string
	for _, f := range faults {
		f.File = filepath.Base(f.File)
		lines = append(lines, f.String())
	}
	return lines
}

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{"vpn.secret": "a b\n\n", "ldap.secret": "p\r\n"})
	text := `
log = { level = "debug", format = "json" }
[directory]
url = ["ldap://127.0.0.1:389", "ldap://localhost", "ldap://[::1]", "ldapi:///run/ldapi", "ldapi://%2Frun%2Fldapi", "ldaps://x/"]
base_dn = "dc=example,dc=com"
bind_dn = "cn=x"
bind_password_file = "ldap.secret"
schema = "freeradius"
timeout = "30s"
[store]
path = "s.db"
[admin]
socket = ""
[radius]
listen = ["[::ffff:192.0.2.1]:1812"]
accounting = []
[[radius.client]]
name = "a"
address = "::ffff:192.0.2.0/120"
secret_file = "vpn.secret"
require_message_authenticator = false
separator = ","
reject_delay = "0s"
tell_password_expiry = true
[[radius.client]]
name = "b"
address = "::ffff:192.0.2.7"
secret_file = "vpn.secret"
factors = "code"
`
	path := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, got, want string }{
		{"path", c.Path, path},
		{"store.path", c.Store.Path, filepath.Join(dir, "s.db")},
		{"admin.socket", c.Admin.Socket, ""},
		{"bind password", string(c.Directory.BindPassword.Reveal()), "p"},
		{"key_attribute", c.Directory.KeyAttribute, "radiusControlAttribute"},
		{"listen", c.Radius.Listen[0].String(), "192.0.2.1:1812"},
		{"address of a network", c.Radius.Clients[0].Address.String(), "192.0.2.0/24"},
		{"address of a host", c.Radius.Clients[1].Address.String(), "192.0.2.7/32"},
		{"secret less one newline", string(c.Radius.Clients[0].Secret.Reveal()), "a b\n"},
		{"log.level", c.Log.Level.String(), "DEBUG"},
		{"log.format", c.Log.Format, "json"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if !c.Radius.Clients[0].TellPasswordExpiry || c.Radius.Clients[1].TellPasswordExpiry {
		t.Errorf("clients %+v", c.Radius.Clients)
	}
	if n := len(c.Radius.Accounting); n != 0 || c.Radius.Clients[0].RejectDelay != 0 || c.Radius.Clients[0].RequireMessageAuthenticator {
		t.Errorf("accounting has %d addresses, client is %+v", n, c.Radius.Clients[0])
	}
}

func TestLDIFPathIsAbsolute(t *testing.T) {
	c, err := load(t, with("directory", ""))
	if err != nil {
		t.Fatal(err)
	}
	if want := "ldif:" + filepath.Join(filepath.Dir(c.Path), "people.ldif"); c.Directory.URLs[0] != want {
		t.Errorf("URL is %q, want %q", c.Directory.URLs[0], want)
	}
}

func TestUnreadableFileIsAFault(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != 1 || !strings.HasSuffix(err.Error(), "none.toml: cannot read the configuration: no such file or directory") {
		t.Errorf("error is %v", err)
	}
}

func TestWarnings(t *testing.T) {
	c, err := load(t, strings.Replace(with("client", "require_message_authenticator = false"), "192.0.2.0/24", "::/0", 1))
	if err != nil {
		t.Fatal(err)
	}
	c.Directory.URLs, c.Directory.Insecure = []string{"ldap://ldap1", "ldap://127.0.0.1", "ldaps://x"}, true
	dir := write(t, map[string]string{"s": "123456789012"})
	if c.Radius.Clients[0].Secret, err = ReadSecret(filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"ldap://ldap1 gets passwords in the clear", `client "vpn": address ::/0`, "has 12 octets", `client "vpn" does not require Message-Authenticator`} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in:\n%s", want, all)
		}
	}
	if n := len(c.Warnings()); n != 4 {
		t.Errorf("%d warnings, want 4:\n%s", n, all)
	}
	if c, err = load(t, with("client", "")); err != nil || c.Warnings() != nil {
		t.Errorf("defaults: %v, %v, want no warnings", c.Warnings(), err)
	}
}

func TestWarningsOfAnLDIFFile(t *testing.T) {
	c, err := load(t, with("client", ""))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(c.Path), "people.ldif")
	for _, tt := range []struct {
		name string
		mode os.FileMode // 0 for no file
		warn bool
	}{
		{"absent", 0, false},
		{"private", 0o600, false},
		{"its group may read and write it", 0o660, false},
		{"others can read it", 0o644, true},
		{"others can write it", 0o602, true},
		{"private again", 0o640, false},
	} {
		if tt.mode != 0 {
			// Not by WriteFile alone, which goes through the umask.
			err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, tt.mode))
			if err != nil {
				t.Fatal(err)
			}
		}
		got := c.Warnings()
		if warned := len(got) == 1 && strings.Contains(got[0], "chmod 640") && strings.Contains(got[0], path); warned != tt.warn || !tt.warn && got != nil {
			t.Errorf("%s: %q, want a warning: %v", tt.name, got, tt.warn)
		}
	}
}

// Whoever may use the admin socket need not be able to read secrets.
func TestLoadAdminNeedsNoSecret(t *testing.T) {
	dir := write(t, map[string]string{
		"c.toml": "[directory]\nbind_password_file = \"absent\"\n[admin]\nsocket = \"a.sock\"\n", "none.toml": "", "bad.toml": "[admin]\nsocket = 1\n", "no.toml": "[admin"})
	for _, tt := range []struct{ name, file, socket, want string }{
		{"a socket beside the file", "c.toml", filepath.Join(dir, "a.sock"), ""},
		{"the default", "none.toml", "/run/lockstep/admin.sock", ""},
		{"a fault in the table", "bad.toml", "", "admin.socket: want a string"},
		{"no TOML", "no.toml", "", "no.toml:1"},
		{"no file", "absent.toml", "", "cannot read the configuration"},
	} {
		c, err := LoadAdmin(filepath.Join(dir, tt.file))
		if c.Socket != tt.socket || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
	}
}
