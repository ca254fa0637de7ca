package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// What people write where it does not belong. SECRET stands for the secret, in a
// configuration that is right but for that; FILE is a file that it is in.
var misplaced = map[string][2]string{
	"a setting that is none":             {`secret_file = "secret"`, "secret_file = \"secret\"\nsecret = \"SECRET\""},
	"a password that is none":            {"[directory]", "[directory]\nbind_password = \"SECRET\""},
	"without quotes":                     {`secret_file = "secret"`, `secret_file = SECRET`},
	"a number without quotes":            {`secret_file = "secret"`, `secret_file = 0SECRET`},
	"a line of its own":                  {"[store]", "SECRET\n[store]"},
	"an open quote":                      {`secret_file = "secret"`, `secret_file = "SECRET`},
	"a backslash":                        {`secret_file = "secret"`, `secret_file = "SEC\qSECRET"`},
	"twice":                              {`secret_file = "secret"`, "secret_file = \"SECRET\"\nsecret_file = \"SECRET\""},
	"another syntax":                     {`secret_file = "secret"`, `secret_file: SECRET`},
	"in a list":                          {`secret_file = "secret"`, `secret_file = ["SECRET"]`},
	"in a table":                         {`secret_file = "secret"`, `secret_file = {value = "SECRET"}`},
	"the secret for its file":            {`secret_file = "secret"`, `secret_file = "SECRET"`},
	"below a folder":                     {`secret_file = "secret"`, `secret_file = "/etc/SECRET"`},
	"below a file":                       {`secret_file = "secret"`, `secret_file = "secret/SECRET"`},
	"a name that is too long":            {`secret_file = "secret"`, fmt.Sprintf("secret_file = %q", strings.Repeat("SECRET", 40))},
	"a NUL in it":                        {`secret_file = "secret"`, `secret_file = "SECRET\u0000"`},
	"a folder for a file":                {`secret_file = "secret"`, `secret_file = "folder"`},
	"a file that others can read":        {`secret_file = "secret"`, `secret_file = "open"`},
	"a device":                           {`secret_file = "secret"`, `secret_file = "/dev/null"`},
	"a file that is too long":            {`secret_file = "secret"`, `secret_file = "long"`},
	"the bind password for its file":     {"[directory]", "[directory]\nbind_dn = \"cn=x\"\nbind_password_file = \"SECRET\""},
	"a bind password with a NUL":         {"[directory]", "[directory]\nbind_dn = \"cn=x\"\nbind_password_file = \"zero\""},
	"a bind password as the DN":          {"[directory]", "[directory]\nbind_dn = \"SECRET\"\nbind_password_file = \"SECRET\""},
	"a password in a URL":                {`"ldif:people.ldif"`, `"ldap://user:SECRET@127.0.0.1"`},
	"a password in a URL of TLS":         {`"ldif:people.ldif"`, `"ldaps://user:SECRET@127.0.0.1:636/dc=x??sub"`},
	"a password with signs in a URL":     {`"ldif:people.ldif"`, `"ldaps://user:/%zzSECRET@127.0.0.1"`},
	"a password as the user of a URL":    {`"ldif:people.ldif"`, `"ldap://SECRET@127.0.0.1"`},
	"a password as the port of a URL":    {`"ldif:people.ldif"`, `"ldap://127.0.0.1:SECRET"`},
	"a password in the query of a URL":   {`"ldif:people.ldif"`, `"ldaps://127.0.0.1/?bindpw=SECRET"`},
	"a password for a URL":               {`"ldif:people.ldif"`, `"SECRET"`},
	"a password in a URL of a socket":    {`"ldif:people.ldif"`, `"ldapi://SECRET"`},
	"a password in another URL":          {`"ldif:people.ldif"`, `"http://user:SECRET@127.0.0.1"`},
	"a private key for its file":         {"[directory]", "[directory]\nsealing_key_file = \"SECRET\""},
	"a private key that is none":         {"[directory]", "[directory]\nsealing_key_file = \"FILE\""},
	"a private key to seal to":           {"[directory]", "[directory]\nseal_to = \"LOCKSTEP-PRIVATE-KEY:1:SECRET:SECRET\""},
	"a public key that is none":          {"[directory]", "[directory]\nseal_to = \"SECRET\""},
	"a private key among certificates":   {"[directory]", "[directory]\nca_file = \"FILE\""},
	"a secret for certificates":          {"[directory]", "[directory]\nca_file = \"SECRET\""},
	"a schema":                           {"[directory]", "[directory]\nschema = \"SECRET\""},
	"an encoding":                        {"[directory]", "[directory]\nkey_encoding = \"SECRET\""},
	"an attribute":                       {"[directory]", "[directory]\nkey_attribute = \"SECRET!\""},
	"a login attribute":                  {"[directory]", "[directory]\nlogin_attribute = \"SECRET!\""},
	"a base DN":                          {"[directory]", "[directory]\nbase_dn = \"SECRET\""},
	"a domain":                           {"[directory]", "[directory]\ndomains = [\"SECRET@x\"]"},
	"a timeout":                          {"[directory]", "[directory]\ntimeout = \"SECRET\""},
	"a pool":                             {"[directory]", "[directory]\npool = \"SECRET\""},
	"a flag":                             {"[directory]", "[directory]\nstart_tls = \"SECRET\""},
	"a password in an endpoint":          {"[store]", "[store]\nengine = \"etcd\"\nendpoints = [\"https://user:SECRET@127.0.0.1:2379\"]"},
	"a password in an endpoint, escaped": {"[store]", "[store]\nengine = \"etcd\"\nendpoints = [\"https://user:%zzSECRET@127.0.0.1:2379\"]"},
	"a password for an endpoint":         {"[store]", "[store]\nengine = \"etcd\"\nendpoints = [\"SECRET\"]"},
	"a password as a port":               {"[store]", "[store]\nengine = \"etcd\"\nendpoints = [\"https://127.0.0.1:SECRET\"]"},
	"a password behind an endpoint":      {"[store]", "[store]\nengine = \"etcd\"\nendpoints = [\"https://127.0.0.1:2379/SECRET\"]"},
	"etcd's password for its file":       {"[store]", "[store]\nuser = \"root\"\npassword_file = \"SECRET\""},
	"etcd's key for its file":            {"[store]", "[store]\ncert_file = \"SECRET\"\nkey_file = \"SECRET\""},
	"etcd's key that is none":            {"[store]", "[store]\ncert_file = \"FILE\"\nkey_file = \"FILE\""},
	"a prefix":                           {"[store]", "[store]\nprefix = \"SECRET\""},
	"an engine":                          {"[store]", "[store]\nengine = \"SECRET\""},
	"an address":                         {`"127.0.0.4"`, `"SECRET"`},
	"factors":                            {`factors = "code"`, `factors = "SECRET"`},
	"a separator":                        {`separator = ","`, `separator = "SECRET"`},
	"a challenge":                        {"challenge = true", `challenge = "SECRET"`},
	"a delay":                            {`reject_delay = "20ms"`, `reject_delay = "SECRET"`},
	"a socket":                           {`socket = "admin.sock"`, fmt.Sprintf("socket = %q", strings.Repeat("SECRET", 5))},
	"a level":                            {`level = "debug"`, `level = "SECRET"`},
	"a format":                           {`format = "text"`, `format = "SECRET"`},
	"where to listen":                    {"accounting = []", `accounting = ["SECRET"]`},
	"where to listen, as a number":       {"accounting = []", `accounting = ["127.0.0.1:SECRET"]`},
	"too many failures":                  {"[admin]", "[verifier]\nmax_failures = \"SECRET\"\n[admin]"},
	"the client of a rule":               {"[admin]", "[[radius.rule]]\nclient = [\"SECRET\"]\n[admin]"},
	"the reply of a rule":                {"[admin]", "[[radius.rule]]\n[radius.rule.reply]\nFramed-IP-Address = \"SECRET\"\n[admin]"},
	"a reply in octets":                  {"[admin]", "[[radius.rule]]\n[radius.rule.reply]\n\"Attr-26.9.1\" = \"0xSECRET\"\n[admin]"},
	"a group that is none":               {"[admin]", "[[radius.rule]]\ngroup = \"SECRET\"\n[admin]"},
}

// Whatever is wrong with a configuration, no message of "check", "serve" or a server
// that is told to read it shows a secret that is in it, or in a file that it names.
func TestCanaryConfigurations(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	alice := h.person("alice")
	s := h.newSite(ldifDirectory, "text", map[string]string{"people.ldif": wideLDIF(t, alice)})
	text, err := os.ReadFile(filepath.Join(s.dir, "lockstep.toml"))
	if err != nil {
		t.Fatal(err)
	}
	secret := h.invent("misplaced secret")
	for name, content := range map[string]string{"file": "-----BEGIN " + secret + "\nLOCKSTEP-PRIVATE-KEY:1:" + secret + ":" + secret + "\n",
		"open": secret, "zero": secret + "\x00", "long": strings.Repeat(secret, 4000), "folder/x": secret} {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		s.write(name, content)
	}
	if err := os.Chmod(filepath.Join(s.dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	fill := strings.NewReplacer("SECRET", secret, "FILE", "file")
	for what, change := range misplaced {
		if !strings.Contains(string(text), change[0]) {
			t.Fatalf("%s: no %q to change", what, change[0])
		}
		s.write("broken.toml", strings.Replace(string(text), change[0], fill.Replace(change[1]), 1))
		out := h.here("check", "-config", filepath.Join(s.dir, "broken.toml"))
		if out == "" || strings.Contains(out, "chance of about") {
			t.Errorf("%s: nothing wrong is found: %s", what, out)
		}
		s.write("lockstep.toml", strings.Replace(string(text), change[0], fill.Replace(change[1]), 1))
		before := strings.Count(s.log.String(), "the old one goes on")
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.eventually("a word about it", func() bool { return strings.Count(s.log.String(), "the old one goes on") > before })
	}
	h.command(s, "", "serve", "-config", "broken.toml")
	s.end(s.cmd, syscall.SIGTERM)
	h.look("the log", []byte(s.log.String()))
}

// Directory files that are broken where a secret is.
func TestCanaryDirectoryFiles(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	alice := h.person("alice")
	s := h.newSite(ldifDirectory, "json", nil)
	secret := h.invent("secret of an entry")
	const entry = "dn: uid=alice,dc=example,dc=org\nuid: alice\n"
	var lines []string
	for _, attribute := range []string{"userPassword", "oathSecret", "radiusControlAttribute"} {
		lines = append(lines, attribute+" "+secret, attribute+":: "+secret+"!", attribute+":< file:///"+secret, attribute+": {SSHA}"+secret, attribute+": {CRYPT}$6$"+secret,
			attribute+": "+secret+"!", attribute+": {HPKE}1$"+secret, attribute+": {HPKE}9$"+secret, attribute+":\n "+secret+"\nX", secret+": "+attribute, "\t"+secret,
			attribute+": {PBKDF2-SHA512}1$"+secret, attribute+": {"+secret+"}x", attribute+": {ARGON2}$argon2id$v=19$m=65536$"+secret, attribute+": "+strings.Repeat(secret, 3000),
			attribute+";x-"+secret+": 1", attribute+": "+secret+"\nchangetype: delete", attribute+": "+secret+"\x00\xff")
	}
	slices.Sort(lines)
	s.write("people.ldif", wideLDIF(t, alice))
	s.start()
	for _, line := range lines {
		s.write("people.ldif", entry+line+"\n\n"+wideLDIF(t, alice))
		h.here("check", "-config", filepath.Join(s.dir, "lockstep.toml"))
	}
	s.eventually("a word about the file", func() bool { return strings.Contains(s.log.String(), "people.ldif:") })
	h.command(s, "", "user", "enroll", "-pending", "-config", "lockstep.toml", "nobody")
	h.command(s, "", "user", "rewrap", "-dry-run", "-config", "lockstep.toml")

	var odd strings.Builder // each of them a file that can be read, with an account that cannot be used
	for i, value := range []string{secret, secret + "!", "{HPKE}1$" + secret, "{HPKE}9$" + secret, strings.Repeat(secret, 300), "0" + secret} {
		fmt.Fprintf(&odd, "dn: uid=odd%[1]d,dc=example,dc=org\nuid: odd%[1]d\noathSecret: %[2]s\noathOTPLength: 7\n\n", i, value)
	}
	s.write("people.ldif", odd.String())
	s.eventually("a word about the entries", func() bool { return strings.Contains(s.log.String(), "enrolled account cannot be used") })
	h.command(s, "", "user", "list", "-config", "lockstep.toml")
	h.command(s, "", "user", "show", "-config", "lockstep.toml", "odd1")
	h.command(s, "", "user", "rewrap", "-dry-run", "-config", "lockstep.toml")
	s.end(s.cmd, syscall.SIGTERM)
	h.look("the log", []byte(s.log.String()))
}

// A directory that does not take the password of the service, and one that is not there.
func TestCanaryWrongBindPassword(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	slapd := testenv.Slapd(t)
	wrong := h.invent("wrong password of the service")
	s := h.newSite(slapdDirectory(slapd), "text", map[string]string{"ldap.secret": wrong})
	s.launch()
	s.eventually("a word about it", func() bool { return strings.Contains(s.log.String(), "redentials") })
	h.command(s, "", "doctor", "-config", "lockstep.toml")
	h.command(s, "", "doctor", "-json", "-config", "lockstep.toml")
	h.command(s, "", "user", "enroll", "-pending", "-config", "lockstep.toml", "alice")
	h.command(s, wrong+"\n", "user", "enroll", "-pending", "-bind-dn", "cn=admin,dc=example,dc=org", "-config", "lockstep.toml", "alice")
	h.command(s, "", "user", "enroll", "-pending", "-bind-dn", "cn=admin", "-bind-password-file", wrong, "-config", "lockstep.toml", "alice")
	h.command(s, "", "user", "rewrap", "-dry-run", "-config", "lockstep.toml")
	slapd.Stop(t)
	h.command(s, "", "user", "list", "-config", "lockstep.toml")
	h.command(s, "", "doctor", "-config", "lockstep.toml")
	h.command(s, "", "user", "enroll", "-pending", "-config", "lockstep.toml", "alice")
	s.end(s.cmd, syscall.SIGTERM)
	h.look("the log", []byte(s.log.String()))
}
