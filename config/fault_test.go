package config

import (
	"slices"
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	const ldaps = `url = ["ldaps://x"]` + "\n"
	swap := func(from, to string) string { return strings.Replace(with("client", ""), from, to, 1) }
	etcd := func(lines ...string) string {
		return with("client", "[store]\nengine = \"etcd\"\n"+strings.Join(lines, "\n"))
	}
	url := func(lines ...string) string { return swap(`url = ["ldif:people.ldif"]`, strings.Join(lines, "\n")) }
	const base = `base_dn = "dc=x"`
	const again = "[[radius.client]]\nname = \"b\"\naddress = \"192.0.2.0/25\"\nsecret_file = \"vpn.secret\"\n"

	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"the least is enough", with("client", ""), nil},
		{"an empty file lacks what is required", "", []string{
			`c.toml: directory.url: required; for example ["ldaps://ldap1.example.com"]`,
			`c.toml: radius.client: required; name each appliance that may ask in a table [[radius.client]]`,
		}},
		{"faults come in the order of the file, missing keys at their table", "[log]\nlevel = 3\n[[radius.client]]\nfactors = \"x\"\nname = \"a\"\n[directory]\npool = 0\nurl = [\"ldif:x\", 3,\n \"ldif:\"]\n", []string{
			"c.toml:2: log.level: want a string, in quotes",
			`c.toml:3: radius.client[0].address: required; for example "192.0.2.0/24"`,
			"c.toml:3: radius.client[0].secret_file: required; name a file that only the server can read",
			`c.toml:4: radius.client[0].factors: want "password+code" or "code"`,
			"c.toml:7: directory.pool: want a whole number from 1 to 128",
			"c.toml:8: directory.url[0]: an LDIF file must be the only directory",
			"c.toml:8: directory.url[1]: want a string, in quotes",
			`c.toml:9: directory.url[2]: want "ldif:" and the name of a file, such as "ldif:directory.ldif"`,
		}},
		{"an unknown key is refused, with what was meant", with("client", `secret = "`+canary+`"`), []string{
			`c.toml:10: radius.client[0].secret: no such setting; did you mean "secret_file"?`}},
		{"an unknown key far from all", with("radius", "zzz = 1"), []string{"c.toml:5: radius.zzz: no such setting"}},
		{"a misspelt key", with("radius", `listen6 = ["[::]:1"]`), []string{`c.toml:5: radius.listen6: no such setting; did you mean "listen"?`}},
		{"a key of another table", with("radius", `base_dn = "x"`), []string{`c.toml:5: radius.base_dn: no such setting; did you mean "directory.base_dn"?`}},
		{"an unknown table is one fault", with("client", "[stor]\na = 1\nb = 2"), []string{`c.toml:10: stor: no such setting; did you mean "store"?`}},
		{"a dotted and quoted unknown key", with("client", `"a.b\n" = 1`), []string{`c.toml:10: radius.client[0]."a.b\n": no such setting`}},
		{"a table that is none", "directory = 3\n" + strings.SplitAfterN(with("client", ""), "\n\n", 2)[1], []string{"c.toml:1: directory: want a table: [directory]"}},
		{"clients with single brackets", swap("[[radius.client]]", "[radius.client]"), []string{"c.toml:6: radius.client: want a table with two pairs of brackets for each: [[radius.client]]"}},
		{"clients inline", "directory.url = [\"ldif:x\"]\nradius = { client = [\n 3,\n {name = \"a\", address = \"::1\", secret_file = \"vpn.secret\",\n separator = \"x\"}]}", []string{
			"c.toml:3: radius.client[0]: want a table: [[radius.client]]",
			`c.toml:5: radius.client[1].separator: want one ASCII character that is no letter, digit or space, such as ",", or ""`,
		}},
		{"a list where a string is wanted", with("directory", `schema = ["oath"]`), []string{"c.toml:3: directory.schema: want a string, in quotes"}},
		{"a string where a list is wanted", with("radius", `listen = "0.0.0.0:1812"`), []string{`c.toml:5: radius.listen: want a list of strings, such as ["one", "two"]`}},
		{"a string where true or false is wanted", with("client", `challenge = "yes"`), []string{"c.toml:10: radius.client[0].challenge: want true or false"}},
		{"a number where a duration is wanted", with("directory", "timeout = 3"), []string{`c.toml:3: directory.timeout: want a duration such as "3s"`}},
		{"a duration without unit", with("directory", `timeout = "3"`), []string{`c.toml:3: directory.timeout: want a duration such as "3s"`}},
		{"a duration too short", with("directory", `timeout = "99ms"`), []string{"c.toml:3: directory.timeout: want a duration from 100ms to 30s"}},
		{"a delay too long", with("client", `reject_delay = "11s"`), []string{"c.toml:10: radius.client[0].reject_delay: want a duration from 0s to 10s"}},
		{"more failures than NIST allows", with("client", "[verifier]\nmax_failures = 101"), []string{"c.toml:11: verifier.max_failures: want a whole number from 5 to 100"}},

		{"passwords in the clear", url(base, `url = ["ldap://127.0.0.1", "ldap://ldap1"]`), []string{
			`c.toml:3: directory.url[1]: passwords would travel to "ldap1" in the clear: use ldaps://, or set start_tls = true, or accept it by insecure = true`}},
		{"passwords in the clear to a name that looks local", url(base, `url = ["ldap://localhost.example.com"]`), []string{
			`c.toml:3: directory.url[0]: passwords would travel to "localhost.example.com" in the clear: use ldaps://, or set start_tls = true, or accept it by insecure = true`}},
		{"StartTLS", url(base, `url = ["ldap://ldap1"]`, "start_tls = true"), nil},
		{"insecure", url(base, `url = ["ldap://ldap1"]`, "insecure = true"), nil},
		{"a server needs a base", url(ldaps), []string{`c.toml:1: directory.base_dn: required; for example "dc=example,dc=com"`}},
		{"a base that is no DN", url(ldaps, `base_dn = "example.com"`), []string{`c.toml:4: directory.base_dn: want a DN such as "dc=example,dc=com"`}},
		{"another scheme", url(base, `url = ["https://x"]`), []string{`c.toml:3: directory.url[0]: want a URL with ldaps, ldap, ldapi or ldif, such as "ldaps://ldap1.example.com"`}},
		{"a URL with a password", url(base, `url = ["ldaps://cn=a:`+canary+`@x"]`), []string{"c.toml:3: directory.url[0]: want no user and no password in the URL; they belong in bind_dn and bind_password_file"}},
		{"a URL with a port out of range", url(base, `url = ["ldaps://x:65536"]`), []string{"c.toml:3: directory.url[0]: want a port from 1 to 65535"}},
		{"a URL with a base", url(base, `url = ["ldaps://x/dc=x"]`), []string{`c.toml:3: directory.url[0]: want a URL such as "ldaps://ldap1.example.com:636"`}},
		{"a bind DN needs a password", with("directory", `bind_dn = "cn=x"`), []string{"c.toml:1: directory.bind_password_file: required with bind_dn; name a file that only the server can read"}},
		{"a password needs a bind DN", with("directory", `bind_password_file = "ldap.secret"`), []string{"c.toml:1: directory.bind_dn: required with bind_password_file; whose password is it?"}},
		{"a password with NUL", with("directory", "bind_dn = \"cn=x\"\nbind_password_file = \"nul.secret\""), []string{"c.toml:4: directory.bind_password_file: a password cannot hold a NUL octet"}},
		{"freeipa", with("directory", `schema = "freeipa"`), nil},
		{"ad seals its keys", with("directory", `schema = "ad"`), []string{"c.toml:1: directory.sealing_key_file: required without plaintext_keys, or seal_to where people are only enrolled; \"lockstep keygen\" makes the file"}},
		{"a sealing key that is none", with("directory", `sealing_key_file = "vpn.secret"`), []string{"c.toml:3: directory.sealing_key_file: line 1: neither a comment nor a key that begins with \"LOCKSTEP-PRIVATE-KEY:1:\""}},
		{"a public key that is none", with("directory", `seal_to = "hunter2"`), []string{"c.toml:3: directory.seal_to: line 1: neither a comment nor a key that begins with \"lockstep-public-key:1:\""}},
		{"delegate needs a schema", with("directory", "schema = \"custom\"\nkey_attribute = \"x\"\ndelegate = true"), []string{`c.toml:5: directory.delegate: goes with schema = "freeipa", or "oath" where OpenLDAP has the overlay otp`}},
		{"delegate needs a server", with("directory", "delegate = true"), []string{"c.toml:3: directory.delegate: needs a server that checks codes"}},
		{"attributes of a schema that has its own", with("directory", `period_attribute = "x"`), []string{`c.toml:3: directory.period_attribute: goes with schema = "custom"; others have their own`}},
		{"custom attributes that are none", with("directory", "schema = \"custom\"\nkey_attribute = \"x\"\nperiod_attribute = \"x)\""), []string{"c.toml:5: directory.period_attribute: want the name of an attribute"}},
		{"follow something else", with("directory", `follow = "dirsync"`), []string{`c.toml:3: directory.follow: want "auto" or "syncrepl" or "poll"`}},
		{"another schema", with("directory", `schema = "x"`), []string{`c.toml:3: directory.schema: want "oath" or "freeipa" or "freeradius" or "ad" or "custom"`}},
		{"custom needs an attribute", with("directory", `schema = "custom"`), []string{`c.toml:1: directory.key_attribute: required with schema = "custom"; for example "oathSecret"`}},
		{"attributes that are none", with("directory", "key_attribute = \"a)(b=*\"\nlogin_attribute = \"é\""), []string{
			`c.toml:3: directory.key_attribute: want the name of an attribute, such as "oathSecret"`,
			`c.toml:4: directory.login_attribute: want the name of an attribute, such as "uid"`}},
		{"a CA file that is none", with("directory", `ca_file = "vpn.secret"`), []string{"c.toml:3: directory.ca_file: no certificate in the file; want PEM, with BEGIN CERTIFICATE"}},
		{"etcd nowhere, and no path", with("client", "[store]\nengine = \"etcd\"\npath = \"\""), []string{
			`c.toml:10: store.endpoints: required with engine = "etcd"; for example ["https://etcd1.example.com:2379"]`,
			`c.toml:12: store.path: required; for example "/var/lib/lockstep/state.db"`}},
		{"etcd on this machine", etcd(`endpoints = ["http://127.0.0.1:2379", "http://[::1]:2379", "https://etcd1:2379"]`), nil},
		{"etcd in the clear", etcd(`endpoints = ["http://etcd1:2379"]`), []string{"c.toml:12: store.endpoints[0]: whoever is between could read the keys that servers share and make spent codes good again at \"etcd1\": use https://, or accept it by insecure = true"}},
		{"etcd in the clear, accepted", etcd(`endpoints = ["http://etcd1:2379"]`, "insecure = true"), nil},
		{"an endpoint without a port", etcd(`endpoints = ["https://etcd1"]`), []string{"c.toml:12: store.endpoints[0]: want a URL with https or http, a host and a port, such as \"https://etcd1.example.com:2379\""}},
		{"an endpoint without a scheme", etcd(`endpoints = ["etcd1:2379"]`), []string{"c.toml:12: store.endpoints[0]: want a URL with https or http, a host and a port, such as \"https://etcd1.example.com:2379\""}},
		{"an endpoint with a password", etcd(`endpoints = ["https://a:` + canary + `@etcd1:2379"]`), []string{"c.toml:12: store.endpoints[0]: want no user and no password in the URL; they belong in user and password_file"}},
		{"a prefix without slashes", etcd(`endpoints = ["https://e:1"]`, `prefix = "lockstep"`), []string{"c.toml:13: store.prefix: want 2 to 128 octets, the first and the last a slash, such as \"/lockstep/\""}},
		{"a user of etcd without a password", etcd(`endpoints = ["https://e:1"]`, `user = "root"`), []string{"c.toml:10: store.password_file: user and password_file go together"}},
		{"a certificate without its key", etcd(`endpoints = ["https://e:1"]`, `cert_file = "vpn.secret"`), []string{"c.toml:13: store.cert_file: cert_file and key_file go together"}},
		{"a certificate that is none", etcd(`endpoints = ["https://e:1"]`, `cert_file = "vpn.secret"`, `key_file = "vpn.secret"`), []string{"c.toml:13: store.cert_file: the certificate and the private key of key_file, both in PEM, do not make a pair"}},
		{"a socket path that does not fit", with("client", "[admin]\nsocket = \"/"+strings.Repeat("x", 107)+"\""), []string{"c.toml:11: admin.socket: the path is longer than a socket's can be, 107 octets"}},

		{"no address to listen on", with("radius", "listen = []"), []string{`c.toml:5: radius.listen: want one address at least, such as "0.0.0.0:1812"`}},
		{"addresses without port", with("radius", "listen = [\n  \"0.0.0.0\", # all\n  \"0.0.0.0:0\",\n]"), []string{
			`c.toml:6: radius.listen[0]: want an address and a port from 1 to 65535, such as "192.0.2.1:1812" or "[2001:db8::1]:1812"`,
			`c.toml:7: radius.listen[1]: want an address and a port from 1 to 65535, such as "192.0.2.1:1812" or "[2001:db8::1]:1812"`}},
		{"one address for both", with("radius", `accounting = ["[::ffff:0.0.0.0]:1812"]`), []string{"c.toml:5: radius.accounting[0]: 0.0.0.0:1812 is radius.listen[0] too"}},

		{"a network with host bits", swap("192.0.2.0/24", "192.0.2.7/24"), []string{`c.toml:8: radius.client[0].address: 192.0.2.7/24 is an address in a network; the network is "192.0.2.0/24"`}},
		{"a client by name", swap("192.0.2.0/24", "vpn.example.com"), []string{`c.toml:8: radius.client[0].address: want an IP address or a network, such as "192.0.2.0/24"`}},
		{"a network in a network", with("client", again), nil},
		{"a network twice", with("client", strings.Replace(again, "192.0.2.0/25", "::ffff:192.0.2.0/120", 1)), []string{`c.toml:12: radius.client[1].address: 192.0.2.0/24 is the address of both "vpn" and "b"`}},
		{"a name twice", with("client", strings.Replace(again, `"b"`, `"vpn"`, 1)), []string{`c.toml:11: radius.client[1].name: "vpn" is the name of radius.client[0] too`}},
		{"a name with a newline", swap(`"vpn"`, `"v\n"`), []string{"c.toml:7: radius.client[0].name: want 1 to 64 printable characters"}},
		{"a name too long", swap(`"vpn"`, `"`+strings.Repeat("ä", 65)+`"`), []string{"c.toml:7: radius.client[0].name: want 1 to 64 printable characters"}},
		{"a challenge for the code alone", with("client", "challenge = true\nfactors = \"code\""), []string{`c.toml:10: radius.client[0].challenge: cannot be with factors = "code": the code is all there is to ask for`}},
		{"a digit as separator", with("client", `separator = "1"`), []string{`c.toml:10: radius.client[0].separator: want one ASCII character that is no letter, digit or space, such as ",", or ""`}},
		{"an umlaut as separator", with("client", `separator = "ä"`), []string{`c.toml:10: radius.client[0].separator: want one ASCII character that is no letter, digit or space, such as ",", or ""`}},
		{"an empty secret", swap("vpn.secret", "empty.secret"), []string{"c.toml:9: radius.client[0].secret_file: cannot use the secret file: the file is empty; put the secret in it"}},
		{"the secret in the place of its file", swap("vpn.secret", canary), []string{"c.toml:9: radius.client[0].secret_file: cannot use the secret file: no such file or directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := faultLines(t, tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("faults are\n%s\nwant\n%s\nof\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), tt.text)
			}
		})
	}
}

func TestSyntaxFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"an open string", "a = 1\nb = \"" + canary + "\n", "c.toml:2: a string is not closed on its line"},
		{"a string without quotes", "\nsecret = " + canary, `c.toml:2: no such kind of value; a string needs quotes, such as "text"`},
		{"a number and more", "secret = 12" + canary, "c.toml:1: more on the line than one setting"},
		{"a number with zeroes", "secret = 012345", `c.toml:1: not a number; a string needs quotes, such as "text"`},
		{"a date that is none", "secret = 2020-99-99", `c.toml:1: not a date; a string needs quotes, such as "text"`},
		{"a line that is no setting", "a = 1\n" + canary + "\n", "c.toml:2: want key = value"},
		{"an escape that is none", `a = "\q` + canary + `"`, `c.toml:1: a backslash in a string is written \\, or the string in single quotes`},
		{"a setting twice", "[log]\nlevel = \"info\"\nlevel = \"" + canary + "\"", "c.toml:3: this setting or table is already there, further up"},
		{"a table twice", "[log]\n[log]", "c.toml:2: this setting or table is already there, further up"},
		{"a bracket left open", "a = [\n\"" + canary + "\"\n", "c.toml:2: want a comma or the closing bracket"},
		{"two strings", `a = ["` + canary + `" "x"]`, "c.toml:1: want a comma or the closing bracket"},
		{"not UTF-8", "a = \"\xff\"", "c.toml:1: the file is not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(faultLines(t, tt.text), "\n"); got != tt.want {
				t.Errorf("faults are\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// Secrets end up in every wrong place; wherever that is, no fault shows them.
func TestFaultsShowNoValues(t *testing.T) {
	var texts []string
	for _, line := range strings.Split(full(), "\n") {
		key, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		for _, value := range []string{"%q", "[%q]", "[[%q]]", "{ x = %q }", "%s", "\"%s", "12%s", "[%q", `"\q%s"`, "%q x", `"ldap://u:%s@x"`, `"ldap:// %s"`, `"ldif://%s"`, `"1.2.3.4:%s"`} {
			texts = append(texts, strings.Replace(full(), line, key+"= "+strings.NewReplacer("%q", `"`+canary+`"`, "%s", canary).Replace(value), 1))
		}
		texts = append(texts, strings.Replace(full(), line, strings.TrimSpace(key)+"x = \""+canary+"\"", 1))
	}
	if len(texts) < 300 {
		t.Fatalf("%d texts, want more", len(texts))
	}
	refused := 0
	for _, text := range texts {
		lines := strings.Join(faultLines(t, text), "\n")
		if strings.Contains(lines, canary) {
			t.Errorf("a fault shows a value:\n%s", lines)
		}
		if lines != "" {
			refused++
		}
	}
	if refused < len(texts)*9/10 {
		t.Errorf("%d of %d texts have faults, want nearly all", refused, len(texts))
	}
	for _, name := range []string{"open.secret", "empty.secret"} {
		if lines := strings.Join(faultLines(t, strings.Replace(with("client", ""), "vpn.secret", name, 1)), "\n"); lines == "" || strings.Contains(lines, canary) {
			t.Errorf("%s: faults are %q", name, lines)
		}
	}
}
