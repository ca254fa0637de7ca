package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/opaque"
)

// ssha is the hash of "alice-pw".
const ssha = "{SSHA}f7863NpTeYdvMbvFZ9+LressXMBpc2FsdA=="

func ldifFile(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "directory.ldif")
	write(t, path, text)
	return path
}

// write replaces the file as careful editors do.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func inFile(uid string, more ...string) string {
	lines := append([]string{"dn: " + dn(uid), "objectClass: inetOrgPerson", "objectClass: oathTOTPToken", "uid: " + uid, "cn: " + uid, "sn: " + uid}, more...)
	return strings.Join(lines, "\n") + "\n\n"
}

const aliceInFile = "userPassword: " + ssha + "\noathSecret: " + key1

func TestFile(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, inFile("alice", aliceInFile, "userPassword: "+ssha)+
		inFile("bob", "oathSecret: "+key2, "entryUUID: 5B0F1E4A-1111-2222-3333-444455556666")+
		inFile("carol", "userPassword: "+ssha)+
		"dn: uid=eve,ou=elsewhere,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: eve\ncn: e\nsn: e\noathSecret: "+key1+"\n")
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: "OU=People, dc=example,dc=org"})
	alice := lookup(t, d, "ALICE")
	if alice.ID != "dn:uid=alice,ou=people,dc=example,dc=org" {
		t.Errorf("ID %q", alice.ID)
	}
	bob := lookup(t, d, "bob")
	if bob.ID != "5b0f1e4a-1111-2222-3333-444455556666" {
		t.Errorf("ID %q", bob.ID)
	}
	for _, name := range []string{"carol", "eve"} {
		if has(d, name) {
			t.Errorf("%s is enrolled", name)
		}
	}
	for _, tt := range []struct {
		name     string
		a        Account
		password string
		want     string
	}{
		{"right", alice, "alice-pw", ""},
		{"wrong", alice, "alice-pW", "invalid credentials"},
		{"empty", alice, "", "empty"},
		{"NUL", alice, "alice-pw\x00", "NUL in it"},
		{"no password in the file", bob, "x", "no password"},
		{"gone", Account{ID: "dn:uid=zoe"}, "x", "no such entry"},
	} {
		err := check(t, d, tt.a, tt.password)
		if tt.want == "" && err != nil || tt.want != "" && cause(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if st := d.Status(); st.Kind != "ldif" || st.URL != "ldif:"+path || !st.Healthy || st.Entries != 2 {
		t.Errorf("Status() = %+v", st)
	}
	if err := d.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, says string }{
		{"clear text", inFile("alice", aliceInFile) + inFile("bob", "userPassword: hunter2"), "directory.ldif:10: userPassword of"},
		{"clear text of somebody not enrolled", inFile("bob", "userPassword: hunter2"), "directory.ldif:1: "},
		{"clear text of somebody outside the base", "dn: cn=x\nobjectClass: device\nuserPassword: hunter2\n", "directory.ldif:1: "},
		{"unsalted hash", inFile("bob", "userPassword: {MD5}hunter2"), "directory.ldif:1: "},
		{"one ID twice", inFile("alice", aliceInFile, "entryUUID: 5b0f-1") + inFile("bob", "oathSecret: "+key2, "entryUUID: 5B0F-1"),
			"directory.ldif:11: the record at line 1 has the same ID"},
		{"one ID twice, one is not enrolled", inFile("alice", aliceInFile, "entryUUID: 5b0f-1") + inFile("bob", "entryUUID: 5b0f-1"), "line 1 has"},
		{"one ID twice, one is outside the base", inFile("alice", aliceInFile, "entryUUID: 5b0f-1") + "dn: cn=x\nobjectClass: device\nentryUUID: 5b0f-1\n", "line 1 has"},
		{"an ID like a DN", inFile("alice", aliceInFile) + inFile("bob", "oathSecret: "+key2, "entryUUID: dn:"+dn("alice")), "line 1 has"},
		{"empty", "", "directory.ldif: no entries in it"},
		{"comments only", "version: 1\n\n# nobody\n\n", "directory.ldif: no entries in it"},
		{"not LDIF", inFile("alice", aliceInFile) + "hunter2\n", "directory.ldif:10: "},
	} {
		path := ldifFile(t, inFile("alice", aliceInFile))
		d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: "dc=example,dc=org"})
		write(t, path, tt.text)
		err := d.Refresh(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.says)
		}
		if !has(d, "alice") || check(t, d, lookup(t, d, "alice"), "alice-pw") != nil {
			t.Errorf("%s: the last good content is gone", tt.name)
		}
		if st := d.Status(); st.Err == nil || st.Healthy {
			t.Errorf("%s: Status() = %+v", tt.name, st)
		}
		if err := d.Healthy(); err != nil {
			t.Errorf("%s: Healthy() = %v, but logins can be decided", tt.name, err)
		}
	}
}

func TestLongIDInAFile(t *testing.T) {
	t.Parallel()
	longDN := "dn: cn=" + strings.Repeat("x", 1000) + ",dc=example,dc=org"
	path := ldifFile(t, inFile("alice", aliceInFile, "entryUUID: "+strings.Repeat("x", 1000))+
		inFile("bob", aliceInFile, "entryUUID: "+strings.Repeat("x", 1001))+
		strings.Replace(inFile("carol", aliceInFile), "dn: "+dn("carol"), longDN, 1)+
		strings.Replace(inFile("dave", aliceInFile, "entryUUID: 5b0f"), "dn: "+dn("dave"), longDN+",dc=org", 1))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}})
	lookup(t, d, "alice")
	wantUnusable(t, d, "bob", "ID of 1001 octets")
	wantUnusable(t, d, "carol", "ID of 1024 octets")
	lookup(t, d, "dave")
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	twin := strings.ReplaceAll(inFile("twin", aliceInFile), "dn: uid=twin", "dn: cn=other")
	d := open(t, Config{URLs: []string{"ldif:" + ldifFile(t, inFile("alice", aliceInFile)+
		inFile("Bob", "uid: robert", "oathSecret: not base32!")+inFile("carol", "userPassword: "+ssha)+
		inFile("dave", aliceInFile, "oathSecret: "+key2, "oathSecret: also not base32!")+inFile("twin", aliceInFile)+twin)}})
	for name := range d.Unusable() {
		t.Errorf("%q before the first refresh", name)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]error{}
	for name, err := range d.Unusable() {
		if got[name] != nil {
			t.Errorf("%q is told twice", name)
		}
		if _, want := d.Lookup(name); fmt.Sprint(err) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v as Lookup says", name, err, want)
		}
		got[name] = err
	}
	if len(got) != 2 || !errors.Is(got["twin"], ErrAmbiguous) || !errors.As(got["bob"], new(*UnusableError)) {
		t.Errorf("Unusable() = %v, want bob and twin", got)
	}
	for range d.Unusable() {
		break // must end it
	}
	for a := range d.Accounts() {
		if a.Name != "alice" && a.Name != "dave" {
			t.Errorf("%q is among the usable", a.Name)
		}
	}
	dave := lookup(t, d, "dave")
	if len(dave.Tokens) != 2 || len(dave.Problems) != 1 || dave.Problems[0] != "key is not base32" {
		t.Errorf("two keys and something else: %+v", dave)
	}
}

func wantUnusable(t *testing.T, d *Directory, name, why string) {
	t.Helper()
	_, err := d.Lookup(name)
	if unusable := (*UnusableError)(nil); !errors.As(err, &unusable) || !strings.Contains(err.Error(), why) {
		t.Errorf("Lookup(%q): %v, want unusable: %s", name, err, why)
	}
}

// Each look finds a file that others have access to; one line a mode is enough.
func TestFileOpenToOthers(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, inFile("alice", aliceInFile))
	chmod := func(mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod(0o644)
	synctest.Test(t, func(t *testing.T) {
		log, logged := logTo(t)
		d := open(t, Config{URLs: []string{"ldif:" + path}, Log: log})
		ctx, cancel := context.WithCancel(t.Context())
		go d.Run(ctx)
		for i, tt := range []struct {
			mode  os.FileMode
			warns int // in all
		}{{0o644, 1}, {0o640, 1}, {0o642, 2}, {0o660, 2}, {0o600, 2}, {0o644, 3}, {0o664, 4}} {
			chmod(tt.mode)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if n := strings.Count(logged(), "chmod 640"); n != tt.warns {
				t.Errorf("%d, mode %o: %d warnings, want %d:\n%s", i, tt.mode, n, tt.warns, logged())
			}
		}
		if !has(d, "alice") || !strings.Contains(logged(), "mode=0642") {
			t.Errorf("not read all the same, or no mode in the log:\n%s", logged())
		}
		if err := d.Refresh(ctx); err != nil || strings.Count(logged(), "chmod 640") != 4 {
			t.Errorf("read again: %v, %s", err, logged())
		}
		cancel()
		synctest.Wait()
	})
}

func TestFileIsFollowed(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, inFile("alice", aliceInFile))
	synctest.Test(t, func(t *testing.T) {
		log, logged := logTo(t)
		d := open(t, Config{URLs: []string{"ldif:" + path}, Log: log})
		ctx, cancel := context.WithCancel(t.Context())
		go d.Run(ctx)
		synctest.Wait()
		looks := func(n int) {
			time.Sleep(time.Duration(n)*500*time.Millisecond + time.Millisecond)
			synctest.Wait()
		}
		if !has(d, "alice") {
			t.Fatal("not read at first")
		}
		write(t, path, inFile("bob", aliceInFile))
		looks(1)
		if !has(d, "alice") || has(d, "bob") {
			t.Error("a file that has just changed was read: it could be half written")
		}
		looks(1)
		if has(d, "alice") || !has(d, "bob") {
			t.Error("a file that has stayed the same for one look was not read")
		}

		write(t, path, inFile("bob", aliceInFile)+"broken\n")
		looks(10)
		if !has(d, "bob") {
			t.Error("a broken file took the last good content away")
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		looks(10)
		if !has(d, "bob") {
			t.Error("a truncated file took the last good content away")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		looks(10)
		if !has(d, "bob") {
			t.Error("a file that is gone took the last good content away")
		}
		if n := strings.Count(logged(), "cannot be used"); n != 3 {
			t.Errorf("three faults told %d times:\n%s", n, logged())
		}
		write(t, path, inFile("carol", aliceInFile))
		looks(2)
		if !has(d, "carol") || !d.Status().Healthy {
			t.Error("the mended file was not read")
		}
		cancel()
		synctest.Wait()
	})
}

func TestEnrollInFile(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, "# people\n"+inFile("alice", "userPassword: "+ssha)+inFile("bob")+
		strings.ReplaceAll(inFile("twin"), "dn: uid=twin", "dn: cn=a")+strings.ReplaceAll(inFile("TWIN"), "dn: uid=TWIN", "dn: cn=b"))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}})
	key := opaque.Text("12345678901234567890")
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key, Digits: 8, Algorithm: "SHA256"}, EnrollOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); string(a.Tokens[0].Key.Reveal()) != "12345678901234567890" || a.Tokens[0].Digits != 8 || a.Tokens[0].Algorithm != "SHA256" {
		t.Errorf("enrolled: %+v", a)
	}
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: key}, EnrollOptions{}); !errors.Is(err, ErrEnrolled) {
		t.Errorf("again: %v, want ErrEnrolled", err)
	}
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("abcdefghij")}, EnrollOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := lookup(t, d, "alice"); string(a.Tokens[0].Key.Reveal()) != "abcdefghij" || a.Tokens[0].Digits != 6 {
		t.Errorf("replaced: %+v", a)
	}
	for name, want := range map[string]error{"nobody": ErrNoEntry, "*": ErrNoEntry, "twin": ErrAmbiguous} {
		if err := d.Enroll(t.Context(), name, Enrolment{Key: key}, EnrollOptions{}); !errors.Is(err, want) {
			t.Errorf("Enroll(%q) = %v, want %v", name, err, want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "# people\n") {
		t.Errorf("file was not edited in place: %v\n%s", err, text)
	}
}

func TestOnlyPeopleBelowTheBaseAreEnrolled(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, inFile("alice", "userPassword: "+ssha))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: "ou=others,dc=example,dc=org"})
	if err := d.Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("12345678901234567890")}, EnrollOptions{}); !errors.Is(err, ErrNoEntry) {
		t.Errorf("%v, want ErrNoEntry", err)
	}
}

func TestLDIFOfValuesThatAreNotSafe(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"plain": "cn: plain\n", "": "cn: \n", " x": "cn:: IHg=\n", ":x": "cn:: Ong=\n", "<x": "cn:: PHg=\n", "x ": "cn:: eCA=\n",
		"a\nb": "cn:: YQpi\n", "a\x00": "cn:: YQA=\n", "é": "cn:: w6k=\n",
	} {
		e := edit{dn: "cn=x"}
		e.mod(opAdd, "cn", value)
		if got := e.ldif(); !strings.Contains(got, "add: cn\n"+want+"-\n") {
			t.Errorf("%q: %q", value, got)
		}
	}
}
