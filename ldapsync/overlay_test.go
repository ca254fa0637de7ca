package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"lockstep/internal/testenv"
)

// The overlay takes oathSecret for the key itself.
const overlayKey = "12345678901234567890"

// overlayCode is a code of overlayKey, so many steps from now.
func overlayCode(t *testing.T, steps int) string {
	t.Helper()
	code, err := hotp.GenerateCodeCustom(unpadded.EncodeToString([]byte(overlayKey)), uint64(int(time.Now().Unix()/30)+steps),
		hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

const overlayParams = "dn: cn=totp,dc=example,dc=org\nobjectClass: applicationProcess\nobjectClass: oathTOTPParams\ncn: totp\noathTOTPTimeStepPeriod: 30\n" +
	"oathTOTPTimeStepWindow: 3\noathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\n\n"

// overlayToken is the LDIF of a token with an entry of its own.
func overlayToken(name string, more ...string) string {
	return strings.Join(append([]string{"dn: cn=" + name + ",dc=example,dc=org", "objectClass: device", "objectClass: oathTOTPToken", "cn: " + name,
		"oathSecret: " + overlayKey, "oathTOTPParams: cn=totp,dc=example,dc=org"}, more...), "\n") + "\n\n"
}

func overlayUser(uid, token string) string {
	return person(uid, "objectClass: oathTOTPUser", "oathTOTPToken: "+token)
}

// The overlay otp checks the code in the bind, and lets each in once.
func TestTheOverlayIsLeftTheCodes(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithOTPOverlay())
	s.Add(t, overlayParams+overlayToken("t1")+overlayToken("t2")+
		overlayUser("alice", "cn=t1,dc=example,dc=org")+overlayUser("bob", "cn=t2,dc=example,dc=org")+
		enrolled("carol")+person("dave"))
	c := live(s)
	c.Delegate = true
	d := open(t, c)
	run(t, d)
	for name, want := range map[string]string{"carol": ErrNoAccount.Error(), "dave": ErrNoAccount.Error()} {
		// Their passwords alone would do.
		if got := lookupError(d, name); got != want {
			t.Errorf("%s, whose binds the overlay leaves alone: %q, want %q", name, got, want)
		}
	}
	alice := lookup(t, d, "alice")
	if !alice.Delegated || len(alice.Tokens) != 0 {
		t.Errorf("alice = %+v", alice)
	}
	code := overlayCode(t, 0)
	for _, tt := range []struct{ name, typed, cause string }{
		{"password alone", "alice-pw", "invalid credentials"},
		{"wrong code", "alice-pw000000", "invalid credentials"},
		{"password and code", "alice-pw" + code, ""},
		{"once more", "alice-pw" + code, "invalid credentials"},
		{"a code from before", "alice-pw" + overlayCode(t, -1), "invalid credentials"},
		{"the next", "alice-pw" + overlayCode(t, 1), ""},
	} {
		if err := check(t, d, alice, tt.typed); tt.cause == "" && err != nil || tt.cause != "" && cause(err) != tt.cause {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.cause)
		}
	}
	if err := check(t, d, lookup(t, d, "bob"), "bob-pw"+code); err != nil {
		t.Errorf("the same code of somebody else: %v", err)
	}
	if n := d.Census().Overlay; n != 0 {
		t.Errorf("%d entries are said to be in the way", n)
	}
	s.Modify(t, modification("alice", "delete: oathTOTPToken", "-", "delete: objectClass", "objectClass: oathTOTPUser", "-"))
	soon(t, "one whom the overlay leaves alone now", func() bool { return errors.Is(lookupErr(d, "alice"), ErrNoAccount) })

	// Without delegation the keys are read, and whom the overlay wants a code from is counted.
	c.Delegate, c.KeyEncoding = false, "raw"
	own := refreshed(t, c)
	if n := own.Census().Overlay; n != 1 {
		t.Errorf("%d entries are in the overlay's hands, want 1", n)
	}
	if a := lookup(t, own, "bob"); len(a.Tokens) != 1 || string(a.Tokens[0].Key.Reveal()) != overlayKey {
		t.Errorf("bob = %+v", a)
	}
}

func lookupErr(d *Directory, name string) error {
	_, err := d.Lookup(name)
	return err
}

// Tokens and parameters may be entries of their own, and come and go in any order.
func TestSeparateEntriesAreTold(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	c := live(s)
	c.KeyEncoding = "raw"
	d := open(t, c)
	run(t, d)
	s.Add(t, overlayUser("alice", "cn=T1, DC=example,dc=org"))
	soon(t, "a user whose token is not there", func() bool { return strings.Contains(lookupError(d, "alice"), "not below the base DN") })
	s.Add(t, overlayToken("t1"))
	soon(t, "a token whose parameters are not there", func() bool { return strings.Contains(lookupError(d, "alice"), "oathTOTPParams names") })
	s.Add(t, overlayParams)
	soon(t, "the parameters", func() bool { return has(d, "alice") })
	if a := lookup(t, d, "alice"); len(a.Tokens) != 1 || string(a.Tokens[0].Key.Reveal()) != overlayKey || a.Tokens[0].Digits != 6 {
		t.Errorf("alice = %+v", a)
	}
	digits := func(n int) func() bool {
		return func() bool { a, err := d.Lookup("alice"); return err == nil && a.Tokens[0].Digits == n }
	}
	s.Modify(t, "dn: cn=totp,dc=example,dc=org\nreplace: oathOTPLength\noathOTPLength: 8\n")
	soon(t, "other parameters", digits(8))
	s.Modify(t, "dn: cn=t1,dc=example,dc=org\nreplace: oathSecret\noathSecret: another key of 24 octs\n")
	soon(t, "another key", func() bool { return string(lookup(t, d, "alice").Tokens[0].Key.Reveal()) == "another key of 24 octs" })
	s.Modify(t, "dn: cn=t1,dc=example,dc=org\nchangetype: modrdn\nnewrdn: cn=t9\ndeleteoldrdn: 1\n")
	soon(t, "a token that is renamed, and not named any more", func() bool { return !has(d, "alice") })
	s.Modify(t, modification("alice", "replace: oathTOTPToken", "oathTOTPToken: cn=t9,dc=example,dc=org", "-"))
	soon(t, "and again", func() bool { return has(d, "alice") })
	s.Modify(t, "dn: cn=t9,dc=example,dc=org\nchangetype: delete\n")
	soon(t, "a token that is deleted", func() bool { return !has(d, "alice") })
	if n := d.Status().Entries; n != 1 {
		t.Errorf("%d entries, want alice's", n)
	}
}

// memberOf, which the overlay keeps, comes late to a follower: groups are asked.
func TestGroupsWithTheOverlayMemberof(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithMemberof())
	s.Add(t, enrolled("alice")+someGroups)
	d := open(t, live(s))
	run(t, d)
	inGroups{
		{"alice", groupDN("direct"), true, true},
		{"alice", groupDN("three"), false, true},
		{"alice", groupDN("others"), false, false},
	}.test(t, d)
	s.Modify(t, "dn: "+groupDN("direct")+"\ndelete: member\nmember: "+dn("alice")+"\n")
	s.Modify(t, "dn: "+groupDN("others")+"\nadd: member\nmember: "+dn("alice")+"\n")
	inGroups{{"alice", groupDN("direct"), false, false}, {"alice", groupDN("others"), true, true}}.test(t, d)
}

// Where the overlay is missing, the password alone binds, and may end in digits.
func TestNobodyIsLetInWhereTheOverlayIsMissing(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, overlayParams+overlayToken("t1", "oathTOTPLastTimeStep: 4711")+overlayUser("alice", "cn=t1,dc=example,dc=org"))
	s.Modify(t, modification("alice", "replace: userPassword", "userPassword: alice-pw123456", "-"))
	c := live(s)
	c.Delegate = true
	d := open(t, c)
	run(t, d)
	err := check(t, d, lookup(t, d, "alice"), "alice-pw123456")
	if !errors.Is(err, errNoOverlay) || errors.As(err, new(*PasswordError)) {
		t.Errorf("%v, want that nobody can tell", err)
	}
	if err := check(t, d, lookup(t, d, "alice"), "alice-pw"); cause(err) != "invalid credentials" {
		t.Errorf("a wrong password: %v", err)
	}
}
