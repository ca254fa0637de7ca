package pam

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

const canary = "hunter2"

func fakeSecret(path string) ([]byte, error) {
	if strings.Contains(path, canary) {
		return nil, errors.New("no such file or directory")
	}
	return []byte("secret of " + path), nil
}

var commented = regexp.MustCompile(`(?m)^#([a-z\[])`)

// full is the example with every default written out.
func full() string { return commented.ReplaceAllString(Example, "$1") }

func TestExample(t *testing.T) {
	want := &Config{Timeout: 10 * time.Second, Servers: []Server{{Address: "192.0.2.10:1812"}}}
	for _, text := range []string{Example, full()} {
		c, err := parse("/etc/lockstep/pam.toml", text, fakeSecret)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.Servers[0].Secret.Reveal()); got != "secret of /etc/lockstep/pam.secret" {
			t.Errorf("secret %q", got)
		}
		c.Servers[0].Secret = opaque.Bytes{}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("the example is %+v, want %+v", c, want)
		}
	}
	for _, key := range []string{"timeout", "nas_identifier", "[[server]]", "address", "secret_file"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key)).MatchString(full()) {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func TestConfig(t *testing.T) {
	text := "timeout = \"1m\"\ntimeout2 = 1\n[[server]]\naddress = \"a\"\n"
	if _, err := parse("p", text, fakeSecret); err == nil {
		t.Error("no faults")
	}
	c, err := parse("/d/pam.toml", `
timeout = "50s"
nas_identifier = "höst 1"
[[server]]
address = "[2001:db8::1%eth0]:1"
secret_file = "/abs"
[[server]]
address = "radius_1.example.com:65535"
secret_file = "../rel"
`, fakeSecret)
	if err != nil {
		t.Fatal(err)
	}
	if c.Timeout != 50*time.Second || c.NASIdentifier != "höst 1" || len(c.Servers) != 2 ||
		c.Servers[0].Address != "[2001:db8::1%eth0]:1" || string(c.Servers[0].Secret.Reveal()) != "secret of /abs" ||
		c.Servers[1].Address != "radius_1.example.com:65535" || string(c.Servers[1].Secret.Reveal()) != "secret of /rel" {
		t.Errorf("%+v", c)
	}
}

func TestFaults(t *testing.T) {
	const server = "[[server]]\naddress = \"192.0.2.1:1812\"\nsecret_file = \"s\"\n"
	const wantAddress = `want host and port, such as "192.0.2.10:1812" or "[2001:db8::10]:1812"`
	address := func(a string) string { return strings.Replace(server, "192.0.2.1:1812", a, 1) }
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"the least is enough", server, nil},
		{"an empty file", "", []string{"p: server: required; name each RADIUS server in a table [[server]]"}},
		{"an unknown key", "x = 1\n" + server, []string{"p:1: x: no such setting; there are timeout, nas_identifier, server"}},
		{"an unknown key that is quoted", "\"a\\nb\" = 1\n" + server, []string{`p: "a\nb": no such setting; there are timeout, nas_identifier, server`}},
		{"an unknown table", server + "[other]\naddress = 1\n", []string{"p:4: other: no such setting; there are timeout, nas_identifier, server"}},
		{"the secret in the file", server + "secret = \"" + canary + "\"\n", []string{"p:4: server[0].secret: no such setting; there are address, secret_file"}},
		{"the secret for its file", strings.Replace(server, `"s"`, `"`+canary+`"`, 1), []string{"p:3: server[0].secret_file: cannot use the secret file: no such file or directory"}},
		{"faults in the order of the file", "timeout = 3\n" + server + "[[server]]\nsecret_file = 1\n[[server]]\nsecret_file = 'x'\n 'address' = \"x\" # y\n", []string{
			`p:1: timeout: want a duration such as "3s"`,
			`p:5: server[1].address: required; for example "192.0.2.10:1812"`,
			"p:6: server[1].secret_file: want a string, in quotes",
			"p:9: server[2].address: " + wantAddress,
		}},
		{"one pair of brackets", "\n[server]\naddress = \"192.0.2.1:1812\"\n", []string{"p:2: server: want a table with two pairs of brackets for each: [[server]]"}},
		{"servers inline", "server = [{}]\n", []string{"p:1: server: want a table with two pairs of brackets for each: [[server]]"}},
		{"no server in the list", "server = []\n", []string{"p:1: server: want a table with two pairs of brackets for each: [[server]]"}},
		{"a timeout too short", "timeout = \"99ms\"\n" + server, []string{"p:1: timeout: want a duration from 100ms to 50s"}},
		{"a timeout too long", "timeout = \"51s\"\n" + server, []string{"p:1: timeout: want a duration from 100ms to 50s"}},
		{"a timeout of another type", "timeout = [\"3s\"]\n" + server, []string{`p:1: timeout: want a duration such as "3s"`}},
		{"a name that does not fit", "nas_identifier = \"" + strings.Repeat("x", 254) + "\"\n" + server, []string{"p:1: nas_identifier: want up to 253 octets of printable characters"}},
		{"a name that is not printable", "nas_identifier = \"\\n\"\n" + server, []string{"p:1: nas_identifier: want up to 253 octets of printable characters"}},
		{"no port", address("192.0.2.1"), []string{"p:2: server[0].address: " + wantAddress}},
		{"port 0", address("192.0.2.1:0"), []string{"p:2: server[0].address: " + wantAddress}},
		{"a port by name", address("192.0.2.1:radius"), []string{"p:2: server[0].address: " + wantAddress}},
		{"no host", address(":1812"), []string{"p:2: server[0].address: " + wantAddress}},
		{"no such host", address("a b:1812"), []string{"p:2: server[0].address: " + wantAddress}},
		{"IPv6 without brackets", address("2001:db8::1:1812"), []string{"p:2: server[0].address: " + wantAddress}},
		{"not TOML", "timeout = \"1s\"\nsecret = " + canary + "\n", []string{`p:2: not valid TOML: want lines such as key = "value", and [[server]]; no setting twice`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("p", tt.text, fakeSecret)
			var got []string
			if faults, ok := errors.AsType[Faults](err); ok {
				got = strings.Split(faults.Error(), "\n")
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if strings.Contains(strings.Join(got, ""), canary) {
				t.Error("a fault shows a secret")
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", Example, full(), "\xff\xfe", "server = [{}, 3]", "[server]\n[[server.x]]\n[x]\nserver = 1", "[[server]]\n\"a.b\\n\" = '''\naddress = 1'''"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("p", text, fakeSecret)
		if err == nil {
			if c.Timeout < leastTimeout || c.Timeout > mostTimeout || len(c.Servers) == 0 {
				t.Fatalf("%+v", c)
			}
			for _, s := range c.Servers {
				if s.Secret.Len() == 0 || !isHostPort(s.Address) {
					t.Fatalf("%+v", s)
				}
			}
			return
		}
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, fault := range faults {
			if fault.Line < 0 || fault.Line > lines || fault.Message == "" || strings.ContainsFunc(fault.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("fault %+q of a text of %d lines", fault, lines)
			}
		}
	})
}

// put writes a file for a test and returns its path.
func put(t testing.TB, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "pam.secret", "a secret\n", 0o600)
	for mode, want := range map[os.FileMode]string{0o644: "", 0o600: "", 0o664: "chmod go-w", 0o646: "chmod go-w"} {
		path := put(t, dir, "pam.toml", Example, mode)
		c, err := Load(path)
		switch {
		case want == "" && (err != nil || string(c.Servers[0].Secret.Reveal()) != "a secret"):
			t.Errorf("mode %o: %+v, %v", mode, c, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("mode %o: %v, want %q", mode, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "absent: cannot use the configuration: no such file") {
		t.Errorf("a file that is absent: %v", err)
	}
}
