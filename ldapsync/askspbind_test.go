package ldapsync

import (
	"io"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/ldapsync/ldaptest"
)

// mustChange is the LDIF of the policy and of alice, whose password must be changed.
func mustChange(w io.Writer) error {
	entry := person("alice", "oathSecret: "+key1, "pwdPolicySubentry: cn=reset,dc=example,dc=org", "pwdReset: TRUE")
	_, err := io.WriteString(w, strings.Replace(entry, "objectClass: inetOrgPerson\n", "objectClass: inetOrgPerson\nobjectClass: oathTOTPToken\n", 1))
	return err
}

// The overlay pbind has passwords checked by another server, which may have policies,
// while the entries, and the overlay that tells of changes, are here.
func TestBindsThatAnotherServerDecidesAreAskedAbout(t *testing.T) {
	t.Parallel()
	behind := testenv.Slapd(t, testenv.WithPPolicy())
	behind.Add(t, policyEntry("default", "")+policyEntry("reset", "pwdMustChange: TRUE\n"))
	behind.LoadLDIF(t, mustChange)
	front := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithoutPolicies())
	front.Add(t, enrolled("alice"))
	behind.Modify(t, "dn: "+front.ServiceDN+"\nchangetype: modify\nreplace: userPassword\nuserPassword: "+front.ServicePassword+"\n-\n")
	front.Modify(t, "dn: cn=module{0},cn=config\nchangetype: modify\nadd: olcModuleLoad\nolcModuleLoad: back_ldap\n-\n")
	front.Modify(t, "dn: olcOverlay=pbind,olcDatabase={1}mdb,cn=config\nchangetype: add\nobjectClass: olcOverlayConfig\nobjectClass: olcPBindConfig\nolcOverlay: pbind\nolcDbURI: "+behind.URL+"\n")
	polled := configFor(front)
	polled.Follow = "poll"
	if err := check(t, refreshed(t, polled), alice, "alice-pw"); cause(err) != "must be changed" {
		t.Skip("pbind tells nothing of policies: ", err)
	}
	d := open(t, live(front))
	run(t, d)
	settled(t, d, 1)
	if err := check(t, d, alice, "alice-pw"); cause(err) != "must be changed" {
		t.Errorf("a password that must be changed: %v", err)
	}
}

// OpenLDAP 2.4 does not name the control of password policies, whether it knows it or
// not: there it is hidden. It names that of the overlay syncprov.
func TestOpenLDAPThatHidesThePolicyControlIsAsked(t *testing.T) {
	t.Parallel()
	about := []string{"objectClass", "top", "objectClass", "OpenLDAProotDSE", "supportedExtension", "1.3.6.1.4.1.4203.1.11.1", "supportedExtension", "1.3.6.1.4.1.4203.1.11.3", "supportedExtension", "1.3.6.1.1.8"}
	for _, oid := range []string{oidSync, "2.16.840.1.113730.3.4.18", "2.16.840.1.113730.3.4.2", "1.3.6.1.4.1.4203.1.10.1", "1.2.840.113556.1.4.319", "1.3.6.1.1.12"} {
		about = append(about, "supportedControl", oid)
	}
	root := ldaptest.Entry("", about...)
	if s := askedAt(t, &root); !s.bind(alice) {
		t.Error("it is not asked")
	}
}
