package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

func TestEnroll(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, person("alice")+person("bob")+
		"dn: cn=x,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: twin\n\n"+
		"dn: cn=y,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: y\nsn: y\nuid: Twin\n\n"+
		"dn: cn=p,dc=example,dc=org\nobjectClass: device\nobjectClass: oathTOTPParams\ncn: p\n"+
		"oathOTPLength: 8\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPTimeStepPeriod: 30\n\n"+
		person("carol", "objectClass: oathTOTPToken", "oathTOTPParams: cn=p,dc=example,dc=org"))
	d := refreshed(t, configFor(s))
	admin := EnrollOptions{BindDN: s.AdminDN, BindPassword: opaque.Text(s.AdminPassword)}
	replace := admin
	replace.Replace = true
	first, second := opaque.Text("12345678901234567890"), opaque.Text("abcdefghij0123456789")

	enroll := func(name string, e Enrolment, o EnrollOptions) error {
		t.Helper()
		err := d.Enroll(t.Context(), name, e, o)
		if refresh := d.Refresh(t.Context()); refresh != nil {
			t.Fatal(refresh)
		}
		return err
	}
	if err := enroll("Alice", Enrolment{Key: first}, admin); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); string(a.Tokens[0].Key.Reveal()) != "12345678901234567890" || a.Tokens[0].Digits != 6 {
		t.Errorf("enrolled: %+v", a)
	}
	if err := enroll("alice", Enrolment{Key: second}, admin); !errors.Is(err, ErrEnrolled) {
		t.Errorf("enrolled again: %v, want ErrEnrolled", err)
	}
	if err := enroll("alice", Enrolment{Key: second, Algorithm: "SHA512", Digits: 8, Period: time.Minute}, replace); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); string(a.Tokens[0].Key.Reveal()) != "abcdefghij0123456789" || a.Tokens[0].Algorithm != "SHA512" || a.Tokens[0].Digits != 8 || a.Tokens[0].Period != time.Minute {
		t.Errorf("replaced: %+v", a)
	}
	if err := enroll("alice", Enrolment{Key: first}, replace); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); a.Tokens[0].Algorithm != "SHA1" || a.Tokens[0].Digits != 6 || a.Tokens[0].Period != 30*time.Second {
		t.Errorf("replaced by the default parameters: %+v", a)
	}
	if err := enroll("carol", Enrolment{Key: first}, admin); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "carol"); a.Tokens[0].Digits != 6 {
		t.Errorf("parameters of an entry that hers names, not those enrolled: %+v", a)
	}
	if err := check(t, d, lookup(t, d, "alice"), "alice-pw"); err != nil {
		t.Errorf("password of somebody enrolled: %v", err)
	}

	for _, tt := range []struct {
		name string
		e    Enrolment
		o    EnrollOptions
		is   error
		says string
	}{
		{"nobody", Enrolment{Key: first}, admin, ErrNoEntry, ""},
		{"*", Enrolment{Key: first}, admin, ErrNoEntry, ""},
		{"bo*", Enrolment{Key: first}, admin, ErrNoEntry, ""},
		{"bob)(uid=*", Enrolment{Key: first}, admin, ErrNoEntry, ""},
		{`bob\2a`, Enrolment{Key: first}, admin, ErrNoEntry, ""},
		{"bob\x00", Enrolment{Key: first}, admin, nil, "control character"},
		{"twin", Enrolment{Key: first}, admin, ErrAmbiguous, ""},
		{"bob", Enrolment{Key: first}, EnrollOptions{}, nil, s.ServiceDN + " may not write oathSecret and objectClass there"},
		{"bob", Enrolment{Key: first}, EnrollOptions{BindDN: s.AdminDN, BindPassword: opaque.Text("wrong-pw")}, nil, "is its password right?"},
		{"bob", Enrolment{Key: first}, EnrollOptions{BindDN: s.AdminDN}, nil, "no password"},
		{"bob", Enrolment{Key: opaque.Text("short")}, admin, nil, "key of 5 octets"},
		{"bob", Enrolment{Key: first, Digits: 7}, admin, nil, "7 digits"},
		{"bob", Enrolment{Key: first, Algorithm: "MD5"}, admin, nil, "MD5"},
		{"bob", Enrolment{Key: first, Period: time.Second}, admin, nil, "period"},
	} {
		err := enroll(tt.name, tt.e, tt.o)
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Enroll(%q, %+v) = %v, want %v %q", tt.name, tt.e, err, tt.is, tt.says)
		}
	}
	if has(d, "bob") {
		t.Error("an enrolment that failed left a key")
	}
	if err := enroll("ｂｏｂ", Enrolment{Key: first}, admin); err != nil || !has(d, "bob") {
		t.Errorf("full-width name: %v", err)
	}
}

func TestEnrollWithoutSchema(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	s.Add(t, person("alice"))
	admin := EnrollOptions{BindDN: s.AdminDN, BindPassword: opaque.Text(s.AdminPassword)}
	key := opaque.Text("12345678901234567890")
	c := configFor(s)
	c.Schema, c.KeyAttribute = "custom", "oathSecret"
	if err := open(t, c).Enroll(t.Context(), "alice", Enrolment{Key: key}, admin); err == nil || !strings.Contains(err.Error(), "does an object class of the entry allow oathSecret?") {
		t.Errorf("attribute not allowed: %v", err)
	}
	c.KeyAttribute = "description"
	d := refreshed(t, c)
	for _, c.Schema = range []string{"custom", "freeradius"} {
		err := open(t, c).Enroll(t.Context(), "alice", Enrolment{Key: key}, EnrollOptions{})
		if err == nil || !strings.Contains(err.Error(), s.ServiceDN+" may not write description there") {
			t.Errorf("schema %s, by the service account: %v", c.Schema, err)
		}
	}
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key, Digits: 8}, admin); err == nil || !strings.Contains(err.Error(), "no place for parameters") {
		t.Errorf("parameters: %v", err)
	}
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key}, admin); err != nil {
		t.Fatal(err)
	}
	c.Schema = "freeradius"
	f := refreshed(t, c)
	if has(f, "alice") {
		t.Error("a value that is no control attribute is taken for a key")
	}
	if err := f.Enroll(t.Context(), "alice", Enrolment{Key: key}, admin); err != nil {
		t.Fatal(err)
	}
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, f, "alice"); string(a.Tokens[0].Key.Reveal()) != "12345678901234567890" {
		t.Errorf("freeradius: %+v", a)
	}
}
