package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/admin"
	"lockstep/internal/testenv"
)

// admin returns a client of the site's server.
func (s *site) admin() *admin.Client { return admin.NewClient(filepath.Join(s.dir, "admin.sock")) }

// unenrolled is the LDIF of people without a key.
func unenrolled(t *testing.T, people ...user) string {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(ldifText(t, people...)) {
		if !strings.HasPrefix(line, "oathSecret") {
			text.WriteString(line)
		}
	}
	return text.String()
}

// as are the options that write as slapd's admin, whose password is in a file of
// the site.
func (s *site) as(slapd *testenv.SlapdServer) []string {
	s.write("admin.secret", slapd.AdminPassword)
	return []string{"-bind-dn", slapd.AdminDN, "-bind-password-file", filepath.Join(s.dir, "admin.secret")}
}

// must runs a "lockstep user" command that has to end well.
func (s *site) mustRun(command string, args ...string) string {
	s.t.Helper()
	out, err := s.user(command, args...)
	if err != nil {
		s.t.Fatalf("user %s %q: %v\n%s", command, args, err, out)
	}
	return out
}

// What was written is known when the command ends, or within a second where the
// directory tells of it; a key is pending until a code has been right.
func TestWrittenIsSeenAtOnce(t *testing.T) {
	testenv.Tool(t, "radclient")
	for _, tt := range []struct {
		name   string
		within time.Duration
		site   func(t *testing.T, alice user) (*site, []string)
	}{
		{"file", 0, func(t *testing.T, alice user) (*site, []string) {
			return newSite(t, ldifDirectory, map[string]string{"people.ldif": unenrolled(t, alice)}), nil
		}},
		{"slapd, polled", 0, func(t *testing.T, alice user) (*site, []string) { return emptySlapd(t, testenv.Slapd(t), alice) }},
		{"slapd, syncrepl", time.Second, func(t *testing.T, alice user) (*site, []string) {
			return emptySlapd(t, testenv.Slapd(t, testenv.WithSyncprov()), alice)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			alice := newUser("alice")
			s, as := tt.site(t, alice)
			known := func() bool { _, err := s.admin().Show(t.Context(), "alice"); return err == nil }
			if known() {
				t.Fatal("alice is enrolled before")
			}
			s.write("alice.csv", "user,key\nalice,"+alice.base32()+"\n")
			out := s.mustRun("enroll", append(as, "-from", filepath.Join(s.dir, "alice.csv"))...)
			soon(t, tt.within, "the enrolment", known)
			if !strings.HasSuffix(out, " enrolled\n") || strings.Contains(out, alice.base32()) {
				t.Errorf("enroll: %s", out)
			}
			if out := s.mustRun("list"); !strings.Contains(out, "pending: has not logged in yet") {
				t.Errorf("before a code: %s", out)
			}
			s.must(plainClient, "alice", alice.password+alice.code(0), accept)
			if out := s.mustRun("show", "alice"); strings.Contains(out, "pending") || !strings.Contains(out, "active") {
				t.Errorf("after a code: %s", out)
			}
			if out := s.mustRun("revoke", append(as, "alice")...); out != "alice: revoked\n" {
				t.Errorf("revoke: %s", out)
			}
			soon(t, tt.within, "the end of it", func() bool { return !known() })
			s.must(plainClient, "alice", alice.password+alice.code(1), reject)
		})
	}
}

// soon fails unless ok becomes true within so long; 0 is at once.
func soon(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s is not seen within %v", what, within)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// emptySlapd is a site with people at slapd who have no key.
func emptySlapd(t *testing.T, slapd *testenv.SlapdServer, people ...user) (*site, []string) {
	t.Helper()
	for _, u := range people {
		slapd.Add(t, entry(u))
	}
	s := newSite(t, slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword})
	return s, s.as(slapd)
}

// A code at enrolment is a right code: the key is not pending.
func TestConfirmedIsNotPending(t *testing.T) {
	t.Parallel()
	s := newSite(t, ldifDirectory, map[string]string{"people.ldif": unenrolled(t, newUser("alice"))})
	enrollByHand(t, s)
	if u, err := s.admin().Show(t.Context(), "alice"); err != nil || u.Pending {
		t.Errorf("Show = %+v, %v", u, err)
	}
}

// From each kind of file people get in by the codes that they had.
func TestEnrollFromEachFormat(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	people := map[string]user{}
	var all []user
	for _, format := range []string{"csv", "pskc", "freeipa", "privacyidea", "google-authenticator", "otpauth"} {
		u := newUser(format)
		if format != "google-authenticator" {
			u.key.Algorithm, u.key.Digits, u.key.Period = "SHA256", 8, time.Minute
		}
		people[format], all = u, append(all, u)
	}
	s := newSite(t, ldifDirectory, map[string]string{"people.ldif": unenrolled(t, all...)})
	hexKey := func(u user) string { return fmt.Sprintf("%x", u.key.Bytes.Reveal()) }
	for format, text := range map[string]string{
		"csv": "user;key;algorithm;digits;period\ncsv;" + people["csv"].base32() + ";sha256;8;60\n",
		"pskc": `<?xml version="1.0"?><KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>` +
			`<DeviceInfo><SerialNo>4711</SerialNo></DeviceInfo><Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">` +
			`<AlgorithmParameters><Suite>HMAC-SHA256</Suite><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>` +
			`<Data><Secret><PlainValue>` + base64Of(people["pskc"]) + `</PlainValue></Secret><TimeInterval><PlainValue>60</PlainValue></TimeInterval></Data>` +
			`<UserId>uid=pskc,dc=example,dc=org</UserId></Key></KeyPackage></KeyContainer>`,
		"freeipa": "dn: ipatokenuniqueid=x,cn=otp,dc=example,dc=org\nobjectClass: ipatokenTOTP\nipatokenUniqueID: x\n" +
			"ipatokenOwner: uid=freeipa,cn=users,dc=example,dc=org\nipatokenOTPkey:: " + base64Of(people["freeipa"]) +
			"\nipatokenOTPalgorithm: sha256\nipatokenOTPdigits: 8\nipatokenTOTPtimeStep: 60\n",
		"privacyidea":          "owner,serial,otpkey,type,otplen,timestep,hashlib\nprivacyidea@realm,TOTP0001," + hexKey(people["privacyidea"]) + ",totp,8,60,sha256\n",
		"google-authenticator": people["google-authenticator"].base32() + "\n\" WINDOW_SIZE 17\n\" TOTP_AUTH\n12345678\n",
		"otpauth":              "otpauth://totp/Old:otpauth?secret=" + people["otpauth"].base32() + "&algorithm=SHA256&digits=8&period=60\n",
	} {
		s.write(format, text)
		args := []string{"-from", filepath.Join(s.dir, format)}
		if format == "google-authenticator" {
			args = append(args, "-user", format)
		}
		var rows []struct{ User, Outcome string }
		out := s.mustRun("enroll", append(args, "-json")...)
		if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 || rows[0].User != format || rows[0].Outcome != "enrolled" {
			t.Errorf("%s: %v\n%s", format, err, out)
		}
		u := people[format]
		s.must(plainClient, u.name, u.password+u.code(0), accept)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "people.ldif"))
	if err != nil || !strings.Contains(string(text), "oathTokenSerialNumber: TOTP0001\n") {
		t.Errorf("serial numbers are not there: %v", err)
	}
}

// An admin's machine has the public key alone and no more than [directory]. What
// it writes opens at the server, and for nobody else.
func TestSealedAtSlapd(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	slapd := testenv.Slapd(t, testenv.WithSyncprov())
	slapd.Add(t, entry(alice)+"\n"+entry(bob))
	keyFile := filepath.Join(t.TempDir(), "server.key")
	public, err := program("keygen", "-out", keyFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, slapdDirectory(slapd)+fmt.Sprintf("\nsealing_key_file = %q\nplaintext_keys = false", keyFile),
		map[string]string{"ldap.secret": slapd.ServicePassword})
	s.write("admin.toml", fmt.Sprintf("[directory]\nurl = [%q]\nbase_dn = \"dc=example,dc=org\"\nplaintext_keys = false\nseal_to = %q\n",
		slapd.URL, strings.TrimSpace(string(public))))
	s.write("both.csv", "user,key\nalice,"+alice.base32()+"\nbob,"+bob.base32()+"\n")
	enroll := program(append([]string{"user", "enroll", "-config", filepath.Join(s.dir, "admin.toml"), "-from", filepath.Join(s.dir, "both.csv")}, s.as(slapd)...)...)
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	value := func(u user) string { return secretOf(t, slapd, u.name) }
	for _, u := range []user{alice, bob} {
		if v := value(u); !strings.HasPrefix(v, "{HPKE}1$") || strings.Contains(v, u.base32()) || strings.Contains(v, string(u.key.Bytes.Reveal())) {
			t.Fatalf("what was written is not sealed: %q", v)
		}
		s.eventually(u.name+" to be enrolled", func() bool { _, err := s.admin().Show(t.Context(), u.name); return err == nil })
		s.must(plainClient, u.name, u.password+u.code(0), accept)
	}

	// Somebody who may write gives alice's key to bob, and bob's to alice.
	a, b := value(alice), value(bob)
	slapd.Modify(t, replaceSecret("alice", b)+"\n"+replaceSecret("bob", a))
	s.eventually("the swap", func() bool { u, err := s.admin().Show(t.Context(), "bob"); return err == nil && u.Problem != "" })
	s.must(plainClient, "bob", bob.password+alice.code(1), reject)
	s.must(plainClient, "bob", bob.password+bob.code(1), reject)
	s.must(plainClient, "alice", alice.password+bob.code(1), reject)
	if !strings.Contains(s.log.String(), "enrolment unusable: the key was sealed for another user, slot or realm, or has been altered") {
		t.Errorf("the log does not say why:\n%s", s.tail())
	}
	slapd.Modify(t, replaceSecret("alice", a)+"\n"+replaceSecret("bob", b))
	s.eventually("the end of it", func() bool { u, err := s.admin().Show(t.Context(), "bob"); return err == nil && u.Problem == "" })
	s.must(plainClient, "bob", bob.password+bob.code(1), accept)
}

func replaceSecret(name, value string) string {
	return "dn: uid=" + name + ",ou=people,dc=example,dc=org\nchangetype: modify\nreplace: oathSecret\noathSecret: " + value + "\n"
}

// secretOf reads what is in the directory, as ldapsearch shows it.
func secretOf(t *testing.T, slapd *testenv.SlapdServer, name string) string {
	t.Helper()
	cmd := execLDAPSearch(t, slapd, "(uid="+name+")", "oathSecret")
	_, value, ok := strings.Cut(cmd, "\noathSecret: ")
	if !ok {
		t.Fatalf("ldapsearch: %s", cmd)
	}
	return strings.TrimSpace(value)
}

// Keys are sealed while people log in, and nobody is refused; what was used stays
// used.
func TestRewrapWhileLoginsGoOn(t *testing.T) {
	t.Parallel()
	var people []user
	for i := range 200 {
		people = append(people, newUser(fmt.Sprintf("user%d", i)))
	}
	slapd := testenv.Slapd(t, testenv.WithSyncprov())
	for _, u := range people {
		slapd.Add(t, entry(u)+"objectClass: oathTOTPToken\noathSecret: "+u.base32()+"\n")
	}
	keyFile := filepath.Join(t.TempDir(), "server.key")
	if err := program("keygen", "-out", keyFile).Run(); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, slapdDirectory(slapd)+fmt.Sprintf("\nsealing_key_file = %q", keyFile), map[string]string{"ldap.secret": slapd.ServicePassword})
	done := make(chan error, 1)
	go func() {
		out, err := s.user("rewrap", s.as(slapd)...)
		if err != nil || !strings.HasSuffix(out, "200 sealed, 0 kept, 0 failed\n") {
			err = fmt.Errorf("%w: %s", errors.Join(err, errors.New("rewrap")), out)
		}
		done <- err
	}()
	sealed := func() int {
		return strings.Count(execLDAPSearch(t, slapd, "(oathSecret=*)", "oathSecret"), "\noathSecret: {HPKE}1$")
	}
	s.eventually("the first to be sealed", func() bool { return sealed() > 0 })
	step := people[0].key.Step(time.Now())
	s.everybody(people[:60], step, accept)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.everybody(people[:2], step, reject)
	s.everybody(people[2:60], step+1, accept)
	if got := sealed(); got != len(people) {
		t.Errorf("%d are sealed", got)
	}

	// The server has not been reloaded, and could not open what is sealed to a newer key.
	newer := filepath.Join(t.TempDir(), "newer.key")
	if err := program("keygen", "-out", newer).Run(); err != nil {
		t.Fatal(err)
	}
	both := ""
	for _, name := range []string{newer, keyFile} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both += string(text)
	}
	if err := os.WriteFile(keyFile, []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.user("rewrap", s.as(slapd)...); err == nil || !strings.Contains(out, "the running server cannot open what is sealed to") {
		t.Errorf("rewrap to a key that the server does not have: %v\n%s", err, out)
	}
}

// A server that cannot look now is no reason to take the enrolment for failed.
func TestServerThatDoesNotSee(t *testing.T) {
	d := newDesk(t)
	d.unseen = errors.New("look at the directory: no answer")
	d.serve()
	const unseen = "lockstep: warning: written, but the running server has not seen it yet: look at the directory: no answer\n"
	d.want("enroll", "", "user enroll", []string{"-from", filepath.Join(d.dir, "list.csv")},
		outcome{err: "lockstep: error: user enroll: open …", status: 2})
	d.write("list.csv", "user,key\nalice,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n")
	d.want("enroll", "", "user enroll", []string{"-from", filepath.Join(d.dir, "list.csv")}, outcome{out: "2  alice  enrolled\n", err: unseen})
	d.want("again, when there is nothing to tell", "", "user enroll", []string{"-from", filepath.Join(d.dir, "list.csv")}, outcome{out: "2  alice  already enrolled\n"})
	d.want("revoke", "", "user revoke", []string{"alice"}, outcome{out: "alice: revoked\n", err: unseen})
}

// What the directory says against a write is told so that somebody can act on it.
func TestRefusedAtSlapd(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	slapd := testenv.Slapd(t)
	slapd.Add(t, entry(alice))
	s := newSite(t, slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword})
	as := s.as(slapd)
	s.mustRun("enroll", append(as, "-pending", "-serial", "4711", "alice")...)
	for _, tt := range []struct {
		command string
		args    []string
		status  int
		says    string
	}{
		{"enroll", append(as, "-pending", "-add", "alice"), 3, "may oathSecret have several values here? Else -replace the one that is there"},
		{"enroll", append(as, "-pending", "alice"), 1, "lockstep: hint: -replace puts a new key in place of the old one"},
		{"enroll", []string{"-pending", "-replace", "-serial", "1", "alice"}, 3, slapd.ServiceDN + " may not write oathSecret and oathTokenSerialNumber there; grant it, or bind as somebody who may"},
		{"revoke", []string{"alice"}, 3, slapd.ServiceDN + " may not write oathSecret and oathTokenSerialNumber there"},
		{"revoke", append(as, "nobody"), 1, "no entry has this name"},
		{"revoke", []string{"-bind-dn", slapd.AdminDN, "-bind-password-file", filepath.Join(s.dir, "secret"), "alice"}, 3, "is its password right?"},
	} {
		out, err := s.user(tt.command, tt.args...)
		if exitStatus(err) != tt.status || !strings.Contains(out, tt.says) {
			t.Errorf("%s %q: %v, want %d with %q\n%s", tt.command, tt.args, err, tt.status, tt.says, out)
		}
	}
	s.mustRun("enroll", append(as, "-pending", "-replace", "alice")...)
	s.mustRun("revoke", append(as, "alice")...)

	// A picture of a key that was not written does not stay in the way.
	s.write("new.csv", "user\nalice\n")
	many := []string{"-from", filepath.Join(s.dir, "new.csv"), "-out", filepath.Join(s.dir, "codes")}
	picture := filepath.Join(s.dir, "codes", "alice.svg")
	out, err := s.user("enroll", many...)
	if exitStatus(err) != statusError || !strings.Contains(out, "failed: ") || exists(picture) {
		t.Errorf("by the service account: %v, picture %t\n%s", err, exists(picture), out)
	}
	if s.mustRun("enroll", append(as, many...)...); !exists(picture) {
		t.Error("no picture")
	}
}
