package schema_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/testenv"
	"lockstep/packaging/schema"
)

// definitions are what a schema says of each attribute type and object class,
// by kind and name, without what is there for people to read.
type definitions map[string]string

var word = regexp.MustCompile(`'[^']*'|[^\s()$]+|[()$]`)

// add adds a definition of RFC 4512, section 4.1, if it is of this schema.
func (d definitions) add(kind, text string) {
	words := word.FindAllString(text, -1)
	name, rest := "", ""
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "NAME":
			i++
			name = strings.Trim(words[i], "'")
		case "DESC", "X-ORIGIN":
			i++
		case "(", ")", "$":
		case "SUP":
			if words[i+1] == "top" { // an abstract class has no other
				i++
				continue
			}
			rest += " SUP"
		default:
			rest += " " + words[i]
		}
	}
	if strings.HasPrefix(name, "oath") {
		d[kind+" "+name] = ordered(rest)
	}
}

// ordered puts the fields of a definition into one order, since servers have
// their own.
func ordered(text string) string {
	fields := regexp.MustCompile(` (SUP|EQUALITY|ORDERING|SUBSTR|SYNTAX|SINGLE-VALUE|ABSTRACT|AUXILIARY|MUST|MAY)\b`).ReplaceAllString(text, "\n$1")
	all := strings.Split(fields, "\n")
	slices.Sort(all)
	return strings.Join(all, " ")
}

// inFile reads the definitions of a file, in which lines that begin with a
// blank or a tab go on.
func inFile(text string) definitions {
	d := definitions{}
	text = strings.NewReplacer("\n  ", " ", "\n\t", " ").Replace(text)
	for line := range strings.Lines(text) {
		keyword, rest, _ := strings.Cut(line, " ")
		switch strings.ToLower(strings.TrimSuffix(keyword, ":")) {
		case "attributetype", "attributetypes", "olcattributetypes":
			d.add("attribute", rest)
		case "objectclass", "objectclasses", "olcobjectclasses":
			d.add("class", rest)
		}
	}
	return d
}

// served reads the definitions that a server goes by.
func served(t *testing.T, d *testenv.Directory) definitions {
	t.Helper()
	at := d.RootDSE(t).GetAttributeValue("subschemaSubentry")
	result, err := d.As(t, d.AdminDN, d.AdminPassword).Search(ldap.NewSearchRequest(at, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"attributeTypes", "objectClasses"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	all := definitions{}
	for _, text := range result.Entries[0].GetAttributeValues("attributeTypes") {
		all.add("attribute", text)
	}
	for _, text := range result.Entries[0].GetAttributeValues("objectClasses") {
		all.add("class", text)
	}
	return all
}

// flat are the definitions less what 389-DS changes: it forgets lengths, and
// repeats what is inherited.
func (d definitions) flat() definitions {
	length, inherited := regexp.MustCompile(`\{\d+\}`), regexp.MustCompile(` (EQUALITY|ORDERING|SUBSTR|SYNTAX) \S+`)
	flat := definitions{}
	for name, text := range d {
		text = length.ReplaceAllString(text, "")
		if strings.HasPrefix(name, "attribute") && strings.Contains(text, " SUP ") {
			text = inherited.ReplaceAllString(text, "")
		}
		flat[name] = text
	}
	return flat
}

// same fails the test where got differs from want, of which there are 44.
func same(t *testing.T, what string, got, want definitions) {
	t.Helper()
	if len(want) != 44 {
		t.Fatalf("%d definitions are wanted", len(want))
	}
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%s: %s is%s, want%s", what, name, got[name], want[name])
		}
	}
	for name := range maps.Keys(got) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is not wanted", what, name)
		}
	}
}

var all = inFile(schema.OpenLDAPConf)

func TestFilesSayTheSame(t *testing.T) {
	same(t, "oath-ldap.ldif", inFile(schema.OpenLDAP), all)
	same(t, "99oath.ldif", inFile(schema.DirectoryServer389), all)
}

// token is an enrolled person with parameters of his own.
func token(d *testenv.Directory) string {
	return fmt.Sprintf("dn: uid=alice,%[1]s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nobjectClass: oathTOTPParams\nuid: alice\ncn: alice\nsn: alice\n"+
		"oathSecret: {HPKE}1$a$b\noathTOTPParams: uid=alice,%[1]s\noathTOTPTimeStepPeriod: 30\noathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\n"+
		"oathTOTPLastTimeStep: 59000000\n", d.PeopleDN)
}

func TestSlapdOverlayHasTheSame(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	same(t, "the overlay otp", served(t, &s.Directory), all)
}

func TestSlapdConf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "oath-ldap.schema")
	if err := os.WriteFile(path, []byte(schema.OpenLDAPConf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testenv.Slapd(t, testenv.WithoutOATH(), testenv.WithSchema(path))
	same(t, "slapd with the file", served(t, &s.Directory), all)
	s.Add(t, token(&s.Directory))
}

func TestSlapdConfig(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithoutOATH())
	if before := served(t, &s.Directory); len(before) != 0 {
		t.Fatalf("slapd knows %d of the definitions without the file", len(before))
	}
	s.Add(t, schema.OpenLDAP)
	same(t, "slapd with the file", served(t, &s.Directory), all)
	s.Add(t, token(&s.Directory))
}

func TestDirectoryServer389(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t) // it loads the file
	same(t, "389-DS with the file", served(t, &s.Directory).flat(), all.flat())
	s.Add(t, token(&s.Directory))
}

func TestSambaAD(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	s.Modify(t, strings.ReplaceAll(schema.ActiveDirectory, "DC=X", s.BaseDN))
	const password = "Right.12345"
	alice := s.AddUser(t, "alice", password)
	s.Modify(t, "dn: "+alice+"\nadd: oathSecret\noathSecret: {HPKE}1$a$b\n-\nadd: oathTOTPLastTimeStep\noathTOTPLastTimeStep: 59000000\n-\n"+
		"add: oathTokenIdentifier\noathTokenIdentifier: phone\n-\nadd: oathSecretTime\noathSecretTime: 20261101000000.0Z\n")
	s.Modify(t, "dn: "+alice+"\ndelete: oathTOTPLastTimeStep\noathTOTPLastTimeStep: 59000000\n-\nadd: oathTOTPLastTimeStep\noathTOTPLastTimeStep: 59000001\n")
	reads := func(dn, password string) string {
		t.Helper()
		result, err := s.As(t, dn, password).Search(ldap.NewSearchRequest(alice, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{"oathSecret", "oathTOTPLastTimeStep"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := result.Entries[0].GetAttributeValue("oathTOTPLastTimeStep"), "59000001"; got != want {
			t.Errorf("%q reads the step %q, want %q", dn, got, want)
		}
		return result.Entries[0].GetAttributeValue("oathSecret")
	}
	if got := reads(s.AdminDN, s.AdminPassword); got == "" {
		t.Error("the Administrator does not read the key")
	}
	for dn, password := range map[string]string{alice: password, s.ServiceDN: s.ServicePassword} {
		if reads(dn, password) != "" {
			t.Errorf("%q reads the key without the right to", dn)
		}
	}
	s.GrantConfidential(t, "oathSecret")
	if reads(s.ServiceDN, s.ServicePassword) == "" {
		t.Error("the service account does not read the key with the right to")
	}
	if reads(alice, password) != "" {
		t.Error("the right is everybody's")
	}
}
