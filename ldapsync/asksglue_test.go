package ldapsync

import (
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// People may be in a subordinate database that is a proxy, glued to one that tells of
// changes. Another server checks their passwords then, and nobody else's.
func TestBindsInAGluedProxyAreAskedAbout(t *testing.T) {
	t.Parallel()
	behind := testenv.Slapd(t, testenv.WithPPolicy(), testenv.WithAccess("access to attrs=entry,children,objectClass,uid,cn,sn,oathSecret,entryUUID,entryCSN by * read"))
	behind.Add(t, policyEntry("default", "")+policyEntry("reset", "pwdMustChange: TRUE\n"))
	behind.LoadLDIF(t, mustChange)
	front := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithoutPolicies())
	front.Add(t, "dn: uid=bob,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: bob\ncn: bob\nsn: bob\nuserPassword: bob-pw\noathSecret: "+key1+"\n")
	front.Modify(t, "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: back_ldap\n-\n")
	front.Modify(t, "dn: olcDatabase={1}ldap,cn=config\nchangetype: add\nobjectClass: olcDatabaseConfig\nobjectClass: olcLDAPConfig\nolcDatabase: {1}ldap\nolcSuffix: ou=people,dc=example,dc=org\nolcSubordinate: TRUE\nolcDbURI: "+behind.URL+"\n")
	polled := configFor(front)
	polled.Follow = "poll"
	if !has(refreshed(t, polled), "alice") {
		t.Fatal("a search does not find her")
	}
	d := open(t, live(front))
	run(t, d)
	deadline := time.Now().Add(time.Second)
	for !has(d, "alice") && time.Now().Before(deadline) {
		<-time.After(50 * time.Millisecond)
	}
	if !has(d, "alice") {
		return // nobody there is known while changes are told
	}
	for range 2 { // so that it is known what the server can do
		if err := check(t, d, Account{Name: "bob", DN: "uid=bob,dc=example,dc=org"}, "bob-pw"); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(t, d, alice, "alice-pw"); cause(err) != "must be changed" {
		t.Errorf("a password that must be changed: %v", err)
	}
}
