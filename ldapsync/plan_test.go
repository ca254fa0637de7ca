package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/sealed"
)

// What is written, by schema, as LDIF. Values that are made up anew each time are
// given here.
func TestWhatIsWritten(t *testing.T) {
	t.Parallel()
	key := opaque.Text("12345678901234567890")
	usual := Enrolment{Key: key, Serial: "4711"}
	eight := Enrolment{Key: key, Algorithm: "SHA256", Digits: 8, Period: time.Minute}
	type attrs map[string][]string
	for _, tt := range []struct {
		name   string
		c      Config
		has    attrs
		tokens []attrs // with "dn"
		e      Enrolment
		o      EnrollOptions
		want   string // lines after the first
		err    string
	}{
		{name: "oath", e: usual, want: "changetype: modify\nadd: objectClass\nobjectClass: oathTOTPToken\n-\nadd: oathSecret\noathSecret: " + key2 +
			"\n-\nreplace: oathTokenSerialNumber\noathTokenSerialNumber: 4711\n-\n\n"},
		{name: "oath, a serial number that cannot be one there", e: Enrolment{Key: key, Serial: "a_b"}, has: attrs{"objectClass": {"oathtotptoken"}},
			want: "changetype: modify\nadd: oathSecret\noathSecret: " + key2 + "\n-\n\n"},
		{name: "oath, enrolled", e: usual, has: attrs{"oathSecret": {key1}}, err: ErrEnrolled.Error()},
		{name: "oath, eight are enough", e: usual, o: EnrollOptions{Add: true}, has: attrs{"oathSecret": {key1, "2", "3", "4", "5", "6", "7"}, "oathTOTPToken": {"cn=token,dc=example,dc=org"}},
			err: "8 tokens are there already: at most 8 count"},
		{name: "oath, enrolled by a token elsewhere", e: usual, has: attrs{"oathTOTPToken": {"cn=token,dc=example,dc=org"}}, err: ErrEnrolled.Error()},
		{name: "oath, replaced, where everything is", e: Enrolment{Key: key}, o: EnrollOptions{Replace: true},
			has: attrs{"objectClass": {"oathTOTPToken", "oathTOTPUser"}, "oathSecret": {key1}, "oathTOTPToken": {"cn=token,dc=example,dc=org"},
				"oathTokenSerialNumber": {"old"}, "oathOTPLength": {"8"}},
			want: "changetype: modify\ndelete: oathSecret\noathSecret: " + key1 + "\n-\ndelete: oathTOTPToken\noathTOTPToken: cn=token,dc=example,dc=org\n-\n" +
				"delete: objectClass\nobjectClass: oathTOTPUser\n-\nadd: oathSecret\noathSecret: " + key2 + "\n-\ndelete: oathTokenSerialNumber\n-\n" +
				"replace: oathHMACAlgorithm\noathHMACAlgorithm: 1.2.840.113549.2.7\n-\nreplace: oathOTPLength\noathOTPLength: 6\n-\n" +
				"replace: oathTOTPTimeStepPeriod\noathTOTPTimeStepPeriod: 30\n-\nadd: objectClass\nobjectClass: oathTOTPParams\n-\n\n"},
		{name: "oath, replaced, where the entry is its own token", e: Enrolment{Key: key}, o: EnrollOptions{Replace: true},
			has:  attrs{"objectClass": {"oathTOTPToken", "oathTOTPUser"}, "oathSecret": {key1}, "oathTOTPToken": {"UID=alice, ou=people,dc=example,dc=org"}},
			want: "changetype: modify\ndelete: oathSecret\noathSecret: " + key1 + "\n-\nadd: oathSecret\noathSecret: " + key2 + "\n-\n\n"},
		{name: "freeradius", c: Config{Schema: "freeradius"}, e: usual,
			want: "changetype: modify\nadd: radiusControlAttribute\nradiusControlAttribute: TOTP-Secret := \"" + key2 + "\"\n-\n\n"},
		{name: "freeradius, other attributes are no keys", c: Config{Schema: "freeradius"}, e: usual, has: attrs{"radiusControlAttribute": {"Simultaneous-Use := 1"}},
			want: "changetype: modify\nadd: radiusControlAttribute\nradiusControlAttribute: TOTP-Secret := \"" + key2 + "\"\n-\n\n"},
		{name: "freeradius, replaced", c: Config{Schema: "freeradius"}, e: usual, o: EnrollOptions{Replace: true},
			has: attrs{"radiusControlAttribute": {"Simultaneous-Use := 1", "TOTP-Secret = " + key1}},
			want: "changetype: modify\ndelete: radiusControlAttribute\nradiusControlAttribute: TOTP-Secret = " + key1 +
				"\n-\nadd: radiusControlAttribute\nradiusControlAttribute: TOTP-Secret := \"" + key2 + "\"\n-\n\n"},
		{name: "freeradius, other parameters", c: Config{Schema: "freeradius"}, e: eight, err: ErrParameters.Error()},
		{name: "ad, in clear", c: Config{Schema: "ad", SealedOnly: true}, e: usual, err: "keys in clear are forbidden here, and directory.seal_to does not say to whom"},
		{name: "custom", c: Config{Schema: "custom", KeyAttribute: "k", DigitsAttribute: "d", PeriodAttribute: "p", AlgorithmAttribute: "a", SerialAttribute: "s"},
			e:    Enrolment{Key: key, Algorithm: "SHA256", Digits: 8, Period: time.Minute, Serial: "a_b"},
			want: "changetype: modify\nadd: k\nk: " + key2 + "\n-\nreplace: s\ns: a_b\n-\nreplace: a\na: sha256\n-\nreplace: d\nd: 8\n-\nreplace: p\np: 60\n-\n\n"},
		{name: "freeipa", c: Config{Schema: "freeipa"}, e: Enrolment{Key: key, Algorithm: "SHA256", Digits: 8, Period: time.Minute, Serial: "4711,x"},
			want: "changetype: add\nobjectClass: top\nobjectClass: ipatoken\nobjectClass: ipatokenTOTP\nipatokenUniqueID: 4711,x\n" +
				"ipatokenOwner: uid=alice,ou=people,dc=example,dc=org\nipatokenOTPkey: 12345678901234567890\nipatokenOTPalgorithm: sha256\n" +
				"ipatokenOTPdigits: 8\nipatokenTOTPtimeStep: 60\nipatokenTOTPclockOffset: 0\n\n"},
		{name: "freeipa, enrolled", c: Config{Schema: "freeipa"}, e: usual, tokens: []attrs{{"dn": {"cn=t"}}}, err: ErrEnrolled.Error()},
		{name: "freeipa, replaced: the new one first", c: Config{Schema: "freeipa"}, e: usual, o: EnrollOptions{Replace: true}, tokens: []attrs{{"dn": {"cn=t"}}},
			want: "changetype: add\nobjectClass: top\nobjectClass: ipatoken\nobjectClass: ipatokenTOTP\nipatokenUniqueID: 4711\n" +
				"ipatokenOwner: uid=alice,ou=people,dc=example,dc=org\nipatokenOTPkey: 12345678901234567890\nipatokenOTPalgorithm: sha1\n" +
				"ipatokenOTPdigits: 6\nipatokenTOTPtimeStep: 30\nipatokenTOTPclockOffset: 0\n\ndn: cn=t\nchangetype: delete\n\n"},
		{name: "delegated to the overlay", c: Config{Delegate: true}, e: usual, err: "enrol people by its own tools"},
		{name: "delegated, and sealed", c: Config{Schema: "freeipa", Delegate: true, SealTo: publicKey(t)}, e: usual, err: "could not read a key that is sealed"},
	} {
		tt.c.URLs, tt.c.BaseDN = []string{"ldap://127.0.0.1"}, "dc=example,dc=org"
		d := open(t, tt.c)
		entry := func(dn string, a attrs) target {
			return target{dn: dn, get: func(attr string) []string { return a[attr] }}
		}
		p := holder{target: entry(dn("alice"), tt.has), name: "alice"}
		for _, token := range tt.tokens {
			p.tokens = append(p.tokens, entry(token["dn"][0], token))
		}
		e, err := tt.e.checked()
		if err != nil {
			t.Fatal(err)
		}
		edits, err := d.enrolment(p, e, tt.o)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		got := ""
		for _, e := range edits {
			got += e.ldif()
		}
		if _, rest, _ := strings.Cut(got, "\n"); err != nil || rest != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.name, err, rest, tt.want)
		}
	}
}

func publicKey(t *testing.T) *sealed.PublicKey {
	t.Helper()
	return privateKey(t).Public()
}

func privateKey(t *testing.T) *sealed.PrivateKey {
	t.Helper()
	k, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatRevokeRemoves(t *testing.T) {
	t.Parallel()
	d := open(t, Config{URLs: []string{"ldif:/x"}})
	p := holder{target: target{dn: "cn=x", get: func(attr string) []string {
		return map[string][]string{"objectClass": {"oathTOTPUser", "oathTOTPToken"}, "oathSecret": {key1}, "oathTOTPToken": {"cn=x", "cn=t"}, "oathTokenSerialNumber": {"1"}}[attr]
	}}}
	edits, err := d.revocation(p)
	const want = "dn: cn=x\nchangetype: modify\ndelete: oathSecret\noathSecret: " + key1 + "\n-\ndelete: oathTOTPToken\noathTOTPToken: cn=x\noathTOTPToken: cn=t\n-\n" +
		"delete: objectClass\nobjectClass: oathTOTPUser\n-\ndelete: oathTokenSerialNumber\n-\n\n"
	if err != nil || len(edits) != 1 || edits[0].ldif() != want {
		t.Errorf("%v, %+v", err, edits)
	}
	p.get = func(attr string) []string { return map[string][]string{"oathTokenSerialNumber": {"1"}}[attr] }
	if _, err := d.revocation(p); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("without a key: %v", err)
	}
}
