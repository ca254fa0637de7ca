package ldapsync

import (
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func TestDecodeKey(t *testing.T) {
	t.Parallel()
	twenty := "12345678901234567890"
	for _, tt := range []struct {
		name, encoding, value, want, why string
	}{
		{name: "plain", encoding: "base32", value: key2, want: twenty},
		{name: "as typed", encoding: "base32", value: "gezd gnbv gy3t-qojq gezd gnbv gy3t qojq\n", want: twenty},
		{name: "padded", encoding: "base32", value: "GEZDGNBVGY3TQOJQGE======", want: "12345678901"},
		{name: "without padding", encoding: "base32", value: "GEZDGNBVGY3TQOJQGE", want: "12345678901"},
		{name: "a digit that is none", encoding: "base32", value: "GEZDGNBVGY3TQOJQ1", why: "not base32"},
		{name: "a length that cannot be", encoding: "base32", value: "GEZDGNBVGY3TQOJQG", why: "not base32"},
		{name: "padding in the middle", encoding: "base32", value: "GEZDGNBV=GY3TQOJQ", why: "not base32"},
		{name: "a letter like another", encoding: "base32", value: "GEZDGNBVGY3TQOJı", why: "not base32"},
		{name: "NUL", encoding: "base32", value: "GEZDGNBVGY3TQOJQ\x00", why: "not base32"},
		{name: "empty", encoding: "base32", value: "", why: "0 octets"},
		{name: "too short", encoding: "base32", value: "GEZDGNBVGY3TQOI", why: "9 octets"},
		{name: "too long", encoding: "base32", value: strings.Repeat("A", 208), why: "130 octets"},
		{name: "raw", encoding: "raw", value: "\x00\xff 8901234567890", want: "\x00\xff 8901234567890"},
		{name: "raw that looks like base32", encoding: "raw", value: key2, want: key2},
		{name: "raw, too short", encoding: "raw", value: "123456789", why: "9 octets"},
		{name: "sealed, raw", encoding: "raw", value: "{HPKE}1$abcdefgh$xyz", why: "sealed"},
		{name: "sealed, base32", encoding: "base32", value: "{HPKE}1$abcdefgh$xyz", why: "sealed"},
	} {
		s := &schema{name: "oath", encoding: tt.encoding}
		got, err := s.decodeKey(tt.value)
		if tt.why == "" && (err != nil || string(got.Reveal()) != tt.want) ||
			tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got.Reveal(), err, tt.want, tt.why)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	oath := schemas["oath"]
	for _, tt := range []struct {
		name string
		p    parameters
		want Enrolment
		why  string
	}{
		{name: "none", want: Enrolment{Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}},
		{name: "all", p: parameters{[]string{"1.2.840.113549.2.11"}, []string{"8"}, []string{"60"}},
			want: Enrolment{Algorithm: "SHA512", Digits: 8, Period: time.Minute}},
		{name: "SHA-224", p: parameters{algorithm: []string{"1.2.840.113549.2.8"}}, why: "want one of SHA1"},
		{name: "a name for an OID", p: parameters{algorithm: []string{"SHA1"}}, why: "want one of SHA1"},
		{name: "two algorithms", p: parameters{algorithm: []string{"1.2.840.113549.2.7", "1.2.840.113549.2.9"}}, why: "want one of SHA1"},
		{name: "seven digits", p: parameters{digits: []string{"7"}}, why: "7 digits"},
		{name: "no number", p: parameters{digits: []string{"six"}}, why: "one number"},
		{name: "empty", p: parameters{digits: []string{""}}, why: "one number"},
		{name: "two lengths", p: parameters{digits: []string{"6", "8"}}, why: "one number"},
		{name: "period 0", p: parameters{period: []string{"0"}}, why: "period"},
		{name: "negative period", p: parameters{period: []string{"-30"}}, why: "period"},
		{name: "long period", p: parameters{period: []string{"121"}}, why: "period"},
		{name: "a period that wraps round", p: parameters{period: []string{"9223372036854775807"}}, why: "period"},
		{name: "a period that is too great", p: parameters{period: []string{"92233720368547758070"}}, why: "one number"},
	} {
		got, err := oath.parse(tt.p)
		if tt.why == "" && (err != nil || got.Algorithm != tt.want.Algorithm || got.Digits != tt.want.Digits || got.Period != tt.want.Period) ||
			tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s: %+v, %v; want %+v, %q", tt.name, got, err, tt.want, tt.why)
		}
	}
}

func TestControlKey(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`TOTP-Secret := "ABC"`:   "ABC",
		`totp-secret:='ABC'`:     "ABC",
		`TOTP-Secret = ABC`:      "ABC",
		` TOTP-Secret += "A B" `: "A B",
		`TOTP-Secret := ""`:      "",
		`TOTP-Secret := "`:       `"`,
	} {
		if got, ok := controlKey(value); !ok || got != want {
			t.Errorf("controlKey(%q) = %q, %v; want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "TOTP-Secret", `TOTP-Secret == "ABC"`, `TOTP-Secrets := "ABC"`, `Cleartext-Password := "ABC"`,
		`TOTP-Key := "ABC"`, `TOTP-Secret !* ANY`, `TOTP-Secret =~ "A"`, `TOTP-Secret -= "A"`} {
		if got, ok := controlKey(value); ok {
			t.Errorf("controlKey(%q) = %q", value, got)
		}
	}
}

func FuzzControlKey(f *testing.F) {
	for _, seed := range []string{`TOTP-Secret := "ABC"`, `TOTP-Secret = 'A`, `TOTP-Secret`, `totp-secret+="`, "TOTP-Secret :=\t\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s := &schema{name: "freeradius", encoding: "base32", control: true}
		key, ok := controlKey(value)
		if !ok {
			return
		}
		if !strings.Contains(value, key) {
			t.Errorf("controlKey(%q) = %q", value, key)
		}
		decoded, err := s.decodeKey(key)
		if err != nil {
			if strings.Contains(err.Error(), key) && len(key) > 3 {
				t.Errorf("the error quotes the key: %v", err)
			}
			return
		}
		if again, ok := controlKey(s.encodeKey(decoded)); !ok {
			t.Errorf("what is written for %q is not read: %q", value, again)
		}
	})
}

func TestEntryID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, attr, value, want string }{
		{"OpenLDAP", "entryUUID", "0A1B2C3D-0000-1111-2222-333344445555", "0a1b2c3d-0000-1111-2222-333344445555"},
		{"389-DS", "nsUniqueId", "0A1B2C3D-00001111-22223333-44445555", "0a1b2c3d-0000-1111-2222-333344445555"},
		{"Active Directory", "objectGUID", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff", "00010203-0405-0607-0809-0a0b0c0d0eff"},
		{"something of its own", "entryUUID", "Number 7", "number 7"},
		{"a GUID that is none", "objectGUID", "x", "dn:uid=alice,dc=org"},
		{"none", "cn", "x", "dn:uid=alice,dc=org"},
	} {
		id := entryID(rawEntry{dn: []byte("UID=Alice, dc=org"), get: func(attr string) [][]byte {
			if attr == tt.attr {
				return [][]byte{[]byte(tt.value)}
			}
			return nil
		}})
		if got := idText(id); got != tt.want {
			t.Errorf("%s: ID %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	good := Config{URLs: []string{"ldaps://a.example.org", "ldaps://b.example.org:6360"}, BaseDN: "dc=example,dc=org"}
	with := func(change func(*Config)) Config {
		c := good
		change(&c)
		return c
	}
	urls := func(urls ...string) Config { return with(func(c *Config) { c.URLs = urls }) }
	for _, tt := range []struct {
		name string
		c    Config
		why  []string
	}{
		{"two servers", good, nil},
		{"a file", Config{URLs: []string{"ldif:/etc/x.ldif"}}, nil},
		{"loopback in clear", urls("ldap://127.0.0.1:389", "ldap://[::1]", "ldap://localhost"), nil},
		{"a socket", urls("ldapi://%2Frun%2Fslapd%2Fldapi", "ldapi:///run/ldapi"), nil},
		{"no URL", urls(), []string{"no directory URL"}},
		{"no scheme", urls("ldap.example.org"), []string{"want ldap://"}},
		{"http", urls("http://ldap.example.org"), []string{"want ldap://"}},
		{"a path", urls("ldaps://ldap.example.org/dc=x"), []string{"scheme, host and port"}},
		{"a password in the URL", urls("ldaps://cn:hunter2@ldap.example.org"), []string{"scheme, host and port"}},
		{"in clear", urls("ldap://ldap.example.org"), []string{"in clear"}},
		{"in clear, in a name like loopback", urls("ldap://127.0.0.1.example.org"), []string{"in clear"}},
		{"a file and a server", urls("ldif:/x", "ldaps://a"), []string{"combined"}},
		{"a relative file", urls("ldif:x"), []string{"absolute"}},
		{"StartTLS with servers of all kinds", with(func(c *Config) {
			c.URLs, c.StartTLS = append(c.URLs, "ldap://c.example.org", "ldapi:///run/ldapi"), true
		}), nil},
		{"no base", with(func(c *Config) { c.BaseDN = "" }), []string{"no base DN"}},
		{"a base that is no DN", with(func(c *Config) { c.BaseDN = "example" }), []string{`base DN "example"`}},
		{"bind without password", with(func(c *Config) { c.BindDN = "cn=x" }), []string{"no password for bind DN"}},
		{"a CA that is none", with(func(c *Config) { c.CA = []byte("x") }), []string{"no certificate"}},
		{"filter in an attribute", with(func(c *Config) { c.LoginAttribute = "uid=*)(x" }), []string{"no name of an attribute"}},
		{"custom without key", with(func(c *Config) { c.Schema = "custom" }), []string{"needs a key attribute"}},
		{"several faults", with(func(c *Config) { c.Schema, c.BaseDN, c.KeyEncoding = "x", "", "hex" }), []string{`schema "x"`, "no base DN"}},
	} {
		_, err := Open(tt.c)
		if (err == nil) != (tt.why == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, why := range tt.why {
			if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %q", tt.name, err, why)
			}
		}
	}
	if _, err := Open(with(func(c *Config) { c.BindDN, c.BindPassword = "cn=x", opaque.Text("x") })); err != nil {
		t.Error(err)
	}
}
