package ldapsync

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

// policyEntry is the LDIF of a policy for those who name it.
func policyEntry(name, lines string) string {
	return "dn: cn=" + name + ",dc=example,dc=org\nobjectClass: device\nobjectClass: pwdPolicy\ncn: " + name + "\npwdAttribute: userPassword\n" + lines + "\n"
}

// What the password policy of slapd says of a password, right and wrong. A password
// that is right and must not be used is refused, whatever the result code.
func TestPolicyOfSlapd(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithPPolicy())
	s.Add(t, policyEntry("default", "")+
		policyEntry("reset", "pwdMustChange: TRUE\n")+
		policyEntry("strict", "pwdLockout: TRUE\npwdMaxFailure: 1\n")+
		policyEntry("short", "pwdMaxAge: 1\n")+
		policyEntry("graced", "pwdMaxAge: 1\npwdGraceAuthNLimit: 2\n")+
		policyEntry("aging", "pwdMaxAge: 86400\npwdExpireWarning: 86400\n"))
	const long = "pwdChangedTime: 20200101000000Z"
	lately := "pwdChangedTime: " + time.Now().UTC().Add(-time.Hour).Format("20060102150405Z")
	type said struct {
		cause string // "" if the password is taken
		info  PasswordInfo
	}
	wrong := said{cause: "invalid credentials"}
	cases := []struct {
		name, policy string
		state        string  // of the entry
		says         [3]said // to a wrong password and twice to the right one
	}{
		{"fine", "default", lately, [3]said{wrong, {}, {}}},
		{"reset by an admin", "reset", "pwdReset: TRUE", [3]said{wrong, {cause: "must be changed"}, {cause: "must be changed"}}},
		{"locked by failures", "strict", lately, [3]said{wrong, {cause: "locked"}, {cause: "locked"}}},
		{"locked by an admin", "strict", "pwdAccountLockedTime: 000001010000Z", [3]said{{cause: "locked"}, {cause: "locked"}, {cause: "locked"}}},
		{"old", "short", long, [3]said{wrong, {cause: "expired"}, {cause: "expired"}}},
		{"old, with grace", "graced", long, [3]said{wrong, {info: PasswordInfo{Expired: true, GraceLogins: 1}}, {info: PasswordInfo{Expired: true}}}},
		{"old soon", "aging", lately, [3]said{wrong, {info: PasswordInfo{ExpiresIn: 23 * time.Hour}}, {info: PasswordInfo{ExpiresIn: 23 * time.Hour}}}},
	}
	uid := func(i int) string { return fmt.Sprint("u", i) }
	s.LoadLDIF(t, func(w io.Writer) error {
		for i, tt := range cases {
			entry := person(uid(i), "oathSecret: "+key1, "pwdPolicySubentry: cn="+tt.policy+",dc=example,dc=org", tt.state)
			// slapadd wants the values of an attribute together.
			io.WriteString(w, strings.Replace(entry, "objectClass: inetOrgPerson\n", "objectClass: inetOrgPerson\nobjectClass: oathTOTPToken\n", 1))
		}
		return nil
	})
	d := refreshed(t, configFor(s))
	for i, tt := range cases {
		a := Account{DN: dn(uid(i))}
		for n, password := range []string{"wrong", uid(i) + "-pw", uid(i) + "-pw"} {
			info, err := d.CheckPassword(t.Context(), a, opaque.Text(password))
			info.ExpiresIn = info.ExpiresIn.Round(time.Hour)
			got := said{info: info}
			if err != nil {
				got = said{cause: cause(err)}
			}
			if got != tt.says[n] {
				t.Errorf("%s, %q: %+v, want %+v", tt.name, password, got, tt.says[n])
			}
		}
	}
	if !strings.Contains(lookupError(d, uid(3)), "locked in the directory by an admin") {
		t.Errorf("locked by an admin: %s", lookupError(d, uid(3)))
	}
	if _, err := d.CheckPassword(t.Context(), Account{DN: dn(uid(5))}, opaque.Text(uid(5)+"-pw")); cause(err) != "expired" {
		t.Errorf("after the last grace login: %v", err)
	}
}

// lookupError is why name cannot be used, or "".
func lookupError(d *Directory, name string) string {
	if _, err := d.Lookup(name); err != nil {
		return err.Error()
	}
	return ""
}
