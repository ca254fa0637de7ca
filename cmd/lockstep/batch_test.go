package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/internal/tokenfile"
)

func base64Of(u user) string { return base64.StdEncoding.EncodeToString(u.key.Bytes.Reveal()) }

// execLDAPSearch returns what ldapsearch prints to slapd's admin, lines unfolded.
func execLDAPSearch(t *testing.T, slapd *testenv.SlapdServer, filter, attribute string) string {
	t.Helper()
	cmd := exec.Command(testenv.Tool(t, "ldapsearch"), "-x", "-LLL", "-o", "ldif-wrap=no", "-H", slapd.URL, "-D", slapd.AdminDN, "-w", slapd.AdminPassword,
		"-b", slapd.BaseDN, filter, attribute)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ldapsearch: %v", err)
	}
	return string(out)
}

// What a file says of a token's time is minded before anything is asked.
func TestRowsInTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0) // begins a step of 30 s
	step := now.Unix() / 30
	good := tokenfile.Token{User: "alice", Key: opaque.Text("12345678901234567890"), Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}
	for _, tt := range []struct {
		name   string
		change func(*tokenfile.Token)
		why    string
	}{
		{"as it should be", func(*tokenfile.Token) {}, ""},
		{"valid by a second", func(k *tokenfile.Token) { k.NotBefore, k.NotAfter = now, now }, ""},
		{"to come", func(k *tokenfile.Token) { k.NotBefore = now.Add(time.Second) }, "not valid before "},
		{"over", func(k *tokenfile.Token) { k.NotAfter = now.Add(-time.Second) }, "not valid since "},
		{"used some steps ago", func(k *tokenfile.Token) { k.Spent = []int64{step - 2, step - 9} }, ""},
		{"used one step ago", func(k *tokenfile.Token) { k.Spent = []int64{step - 1, step - 9} }, "a code of it was used a moment ago"},
		{"used by a clock that is ahead", func(k *tokenfile.Token) { k.Spent = []int64{step + 20} }, "a code of it was used a moment ago"},
		{"nobody's", func(k *tokenfile.Token) { k.User = "" }, "it has no user name"},
		{"of no use", func(k *tokenfile.Token) { k.Skip, k.User = "HOTP", "" }, "HOTP"},
	} {
		token := good
		tt.change(&token)
		r, err := rowOf(token, now)
		if err != nil || r.bad() != (tt.why != "") || !strings.HasPrefix(r.Reason, tt.why) || r.fresh {
			t.Errorf("%s: %+v, %v; want %q", tt.name, r, err, tt.why)
		}
	}
	good.Key, good.Algorithm = opaque.Bytes{}, "SHA512"
	if r, err := rowOf(good, now); err != nil || !r.fresh || r.record.Key.Len() != 64 || r.Outcome != rowLeft {
		t.Errorf("without a key: %+v, %v", r, err)
	}
}

// everybody logs in, one after the other, with the code of a step.
func (s *site) everybody(people []user, step int64, want string) {
	s.t.Helper()
	conn := s.dial()
	for _, u := range people {
		code, err := u.key.Code(step)
		if err != nil {
			s.t.Fatal(err)
		}
		got := silence
		if reply := s.exchange(conn, s.packet(u.name, u.password+code)); reply != nil {
			got = layeh.Code(reply[0]).String()
		}
		if got != want {
			s.t.Fatalf("%s: %q, want %s\n%s", u.name, got, want, s.tail())
		}
	}
}

// A batch that is interrupted says how far it got, and goes on where it was.
func TestInterruptedBatch(t *testing.T) {
	t.Parallel()
	const many = 80
	var list, people strings.Builder
	list.WriteString("user,key\n")
	for i := range many {
		u := newUser(fmt.Sprintf("user%d", i))
		fmt.Fprintf(&list, "%s,%s\n", u.name, u.base32())
		fmt.Fprintf(&people, "dn: uid=%[1]s,dc=example,dc=org\nuid: %[1]s\n\n", u.name)
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"list.csv": list.String(), "people.ldif": people.String(), "c.toml": ldifDirectory + "\n"} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	enrolled := func() int {
		text, err := os.ReadFile(at("people.ldif"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\noathSecret: ")
	}
	var out, said testenv.Buffer
	cmd := program("user", "enroll", "-config", at("c.toml"), "-from", at("list.csv"))
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the first to be enrolled", func() bool { return enrolled() > 2 })
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); exitStatus(err) != statusError {
		t.Fatalf("interrupted: %v\n%s", err, said.String())
	}
	n := enrolled()
	want := fmt.Sprintf("lockstep: error: interrupted; %d of %d are enrolled\nlockstep: hint: run it again to go on: ", n, many)
	if n == many || !strings.HasPrefix(said.String(), want) || strings.Count(out.String(), " enrolled\n") != n || strings.Count(out.String(), " not done\n") != many-n {
		t.Fatalf("%d are enrolled, %q; want %q\n%s", n, said.String(), want, out.String())
	}
	again, err := program("user", "enroll", "-config", at("c.toml"), "-from", at("list.csv")).CombinedOutput()
	if err != nil || strings.Count(string(again), " already enrolled\n") != n || enrolled() != many {
		t.Errorf("again: %v; %d enrolled\n%s", err, enrolled(), again)
	}
}

// batchAtSlapd returns a slapd with many people, and what enrols them from a file
// and has enrolled some when it returns.
func batchAtSlapd(t *testing.T, many int, timeout string) (*testenv.SlapdServer, func() (*exec.Cmd, *testenv.Buffer)) {
	t.Helper()
	slapd := testenv.Slapd(t)
	var list, people strings.Builder
	list.WriteString("user,key\n")
	for i := range many {
		u := newUser(fmt.Sprintf("user%d", i))
		fmt.Fprintf(&people, "%s\n", entry(u))
		fmt.Fprintf(&list, "%s,%s\n", u.name, u.base32())
	}
	slapd.Add(t, people.String())
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"list.csv": list.String(), "c.toml": strings.Replace(slapdDirectory(slapd), "500ms", timeout, 1),
		"ldap.secret": slapd.ServicePassword, "admin.secret": slapd.AdminPassword} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return slapd, func() (*exec.Cmd, *testenv.Buffer) {
		out := &testenv.Buffer{}
		cmd := program("user", "enroll", "-config", at("c.toml"), "-bind-dn", slapd.AdminDN, "-bind-password-file", at("admin.secret"), "-from", at("list.csv"))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "the first to be enrolled", func() bool {
			return strings.Contains(execLDAPSearch(t, slapd, "(uid=user0)", "oathSecret"), "oathSecret")
		})
		return cmd, out
	}
}

// A directory that stops answering in the middle ends the batch; who has been
// enrolled stays so, and nobody is taken for enrolled who may not be.
func TestDirectoryGoesDuringABatch(t *testing.T) {
	t.Parallel()
	const many = 400
	slapd, enroll := batchAtSlapd(t, many, "500ms")
	cmd, out := enroll()
	slapd.Freeze(t)
	err := cmd.Wait()
	slapd.Thaw(t)
	if exitStatus(err) != statusError || !strings.Contains(out.String(), "lockstep: hint: run it again to go on") || !strings.Contains(out.String(), " not done\n") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	cmd, out = enroll()
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "user0    already enrolled\n") || strings.Count(out.String(), " enrolled\n") != many {
		t.Errorf("again: %v\n%s", err, out.String())
	}
}

// What is under way when the batch is interrupted is brought to its end.
func TestInterruptedDuringAWrite(t *testing.T) {
	t.Parallel()
	slapd, enroll := batchAtSlapd(t, 400, "15s")
	cmd, out := enroll()
	slapd.Freeze(t) // so that something is under way
	cmd.Process.Signal(syscall.SIGINT)
	<-time.After(100 * time.Millisecond) // the program has it by then, or the test proves less
	slapd.Thaw(t)
	if err := cmd.Wait(); exitStatus(err) != statusError || !strings.Contains(out.String(), "lockstep: error: interrupted; ") || strings.Contains(out.String(), " failed: ") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
