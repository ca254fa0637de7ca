package guides

import (
	"os"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// slapd starts a server as Debian sets it up, with its own template.
func (s *stage) slapd() {
	s.t.Helper()
	template, err := os.ReadFile("/usr/share/slapd/slapd.init.ldif")
	if err != nil {
		s.t.Fatal(err)
	}
	config := strings.NewReplacer("@SUFFIX@", "dc=example,dc=com", "@PASSWORD@", s.secret).Replace(string(template))
	s.Write("/etc/ldap/init.ldif", strings.TrimRight(config, "\n")+"\nolcDbNoSync: TRUE\n", 0o600)
	s.Must("sh", "-euc", "rm -rf /etc/ldap/slapd.d /var/lib/ldap; mkdir -p /etc/ldap/slapd.d /var/lib/ldap /run/slapd")
	s.Must("slapadd", "-F", "/etc/ldap/slapd.d", "-b", "cn=config", "-l", "/etc/ldap/init.ldif")
	testenv.Certificate(s.t, s.Path("/etc/ldap/tls"), "ldap.example.com")
	s.Write("/etc/hosts", serverAddress+" ldap.example.com\n127.0.0.1 localhost\n", 0o644)
	s.Serve(func(string) bool { return s.Listens("", 636) }, "slapd", "-d", "0", "-F", "/etc/ldap/slapd.d", "-h", "ldap:/// ldaps:/// ldapi:///")
	s.ldap("ldapmodify", "-Y", "EXTERNAL", "-Q", `dn: cn=config
changetype: modify
replace: olcTLSCertificateFile
olcTLSCertificateFile: /etc/ldap/tls/cert.pem
-
replace: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: /etc/ldap/tls/key.pem
`)
}

// ldap runs ldapmodify or its like at the server's socket; the last argument is its
// input.
func (s *stage) ldap(program string, args ...string) {
	s.t.Helper()
	last := len(args) - 1
	if out, err := s.Run(args[last], program, append([]string{"-H", "ldapi:///"}, args[:last]...)...); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func TestOpenLDAP(t *testing.T) {
	t.Parallel()
	s := newStage(t, "openldap.md", "slapd", "ldapmodify", "radclient", "/usr/share/slapd/slapd.init.ldif")
	s.slapd()
	admin := []string{"-x", "-D", "cn=admin,dc=example,dc=com", "-w", s.secret}
	s.ldap("ldapadd", append(admin, "dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\n"+
		"dn: ou=people,dc=example,dc=com\nobjectClass: organizationalUnit\nou: people\n")...)

	s.Must("sh", "-euc", s.commands[0])
	s.ldap("ldapadd", append(admin, "-f", "/etc/ldap/lockstep-entries.ldif", "")...)
	alice, mallory := newPerson("alice"), newPerson("mallory")
	entries := ""
	for _, p := range []*person{newPerson("helpdesk"), alice, mallory} {
		entries += strings.Replace(p.ldif(), "objectClass: inetOrgPerson\n", "objectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nsn: Doe\n", 1)
	}
	s.ldap("ldapadd", append(admin, entries)...)

	s.Write("/etc/lockstep/ldap-ca.pem", s.Read("/etc/ldap/tls/ca.pem"), 0o644)
	s.serve()
	for _, tt := range []struct {
		name, typed, want string
	}{
		{"wrong code", alice.password + "000000", "Access-Reject"},
		{"right", alice.password + alice.code(0), "Access-Accept"},
	} {
		if got := s.radclient(serverAddress, alice.name, tt.typed, signed); got.Code != tt.want {
			t.Errorf("%s: %q, want %q\n%s", tt.name, got.Code, tt.want, s.log)
		}
	}

	// Changes are told at once, and no limit is in the way.
	if !strings.Contains(s.log.String(), "by=syncrepl") {
		t.Errorf("changes are not told:\n%s", s.log)
	}
	// Keys are nobody's business.
	for _, tt := range []struct {
		who  []string
		sees bool
	}{
		{[]string{"-x"}, false},
		{[]string{"-x", "-D", mallory.dn(), "-w", mallory.password}, false},
		{[]string{"-x", "-D", alice.dn(), "-w", alice.password}, false},
		{[]string{"-x", "-D", "cn=lockstep,ou=services,dc=example,dc=com", "-w", s.secret}, true},
	} {
		out, err := s.Run("", "ldapsearch", append(tt.who, "-H", "ldapi:///", "-LLL", "-b", "dc=example,dc=com", "(uid=alice)", "oathSecret")...)
		if err != nil || strings.Contains(out, alice.base32()) != tt.sees {
			t.Errorf("%q sees the key %v, want %v: %v\n%s", tt.who[1:], !tt.sees, tt.sees, err, out)
		}
	}
	if out, err := s.Run("", lockstep(), "doctor"); strings.Contains(out, "BAD  directory") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	// Who is enrolled now logs in now.
	bob := newPerson("bob")
	s.ldap("ldapadd", append(admin, strings.Replace(bob.ldif(), "objectClass: inetOrgPerson\n", "objectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nsn: Doe\n", 1))...)
	testenv.Eventually(t, "bob to be known", func() bool { _, err := s.Run("", lockstep(), "user", "show", "bob"); return err == nil })
}
