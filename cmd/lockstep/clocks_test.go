package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/admin"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// shifted returns the codes that u's device shows when its clock is off by so
// much: now, and so many steps later. Like a device's, they do not depend on when
// the test comes to them.
func (u user) shifted(off time.Duration) func(steps int64) string {
	now := u.key.Step(time.Now().Add(off))
	return func(steps int64) string {
		code, err := u.key.Code(now + steps)
		if err != nil {
			panic(err)
		}
		return code
	}
}

// The stuck table at the running server: a device is off, its owner gets in by
// two codes, logs in more often, and its clock is put right. One run after
// another uses up what codes there are, so each row has a person of its own.
func TestStuckTable(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	offs := []time.Duration{60, 120, 240, 540, 3600, 6 * 3600, -60, -120, -240, -540, -3600, -6 * 3600}
	var people []user
	for i := range offs {
		people = append(people, newUser(fmt.Sprint("user", i)))
	}
	s := ldifSite(t, people...)
	for i, off := range offs {
		u, off := people[i], off*time.Second
		right, shows := u.shifted(0), u.shifted(off)
		s.calling = fmt.Sprint("home", i)
		codes := 0
		for next := int64(0); ; next++ {
			codes++
			r := s.radclient(plainClient, u.name, u.password+shows(next))
			if r.Code == accept {
				break
			}
			if codes == 3 {
				t.Fatalf("%v: not in after 3 codes:\n%s", off, s.tail())
			}
		}
		for next := int64(codes); next < int64(codes)+1; next++ {
			s.must(plainClient, u.name, u.password+shows(next), accept)
		}
		if off.Abs() > time.Minute { // or what it shows now was used before
			s.must(plainClient, u.name, u.password+right(0), accept)
		}
	}
}

// At a client that can be challenged, the next code is asked for at once, but
// only if the password is right.
func TestResynchronizationByChallenge(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	s := ldifSite(t, alice, bob)
	alices, bobs := alice.shifted(9*time.Minute), bob.shifted(9*time.Minute)
	answer := func(r testenv.RadclientReply, u user, code, want string) testenv.RadclientReply {
		t.Helper()
		again := s.radclient(challengeClient, u.name, code, "State = "+r.Attributes["State"][0])
		if again.Code != want {
			t.Fatalf("%q, want %q:\n%s", again.Code, want, s.tail())
		}
		return again
	}
	message := func(r testenv.RadclientReply) string { return strings.Join(r.Attributes["Reply-Message"], "") }

	asked := s.must(challengeClient, "alice", alice.password, challenge)
	next := answer(asked, alice, alices(0), challenge)
	if !strings.Contains(message(next), "out of step. Enter the next code") {
		t.Errorf("message %q", message(next))
	}
	answer(next, alice, alices(1), accept)
	s.must(challengeClient, "alice", alice.password+alices(2), accept)

	wrong := s.must(challengeClient, "bob", "wrong"+bobs(0), challenge)
	if message(wrong) != message(asked) {
		t.Errorf("with a wrong password the message is %q, ordinarily %q", message(wrong), message(asked))
	}
	asked = s.must(challengeClient, "bob", "wrong", challenge)
	answer(asked, bob, bobs(5), reject)
	s.must(challengeClient, "bob", bob.password+bob.code(0), accept)
}

// ahead is what is said of a device that is 9 min fast, in its step or the next.
var ahead = regexp.MustCompile(`a clock that is (9 min 0 s|8 min 30 s) ahead`)

// What the helpdesk can do for somebody on the phone.
func TestHelpdesk(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	alices := alice.shifted(9 * time.Minute)
	command := func(stdin string, args ...string) (string, int) {
		cmd := program(append([]string{"user", args[0], "-config", filepath.Join(s.dir, "lockstep.toml")}, args[1:]...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	want := func(status int, text, stdin string, args ...string) {
		t.Helper()
		if out, got := command(stdin, args...); got != status || !strings.Contains(out, text) {
			t.Errorf("%q: status %d, %q; want %d, %q", args, got, out, status, text)
		}
	}
	want(0, "not known yet", "", "show", "alice")
	// The server may have come to the next step since the first code was shown.
	if out, status := command(alices(0)+"\n", "explain", "alice"); status != 1 || !ahead.MatchString(out) {
		t.Errorf("explain: status %d, %q", status, out)
	}
	want(0, "a right code, not used yet", alice.code(0)+"\n", "explain", "alice")
	want(1, "no code of this key", "000000\n", "explain", "alice")
	want(0, "resynchronized, device is about", alices(0)+"\n"+alices(1)+"\n", "resync", "alice")
	want(1, "used already", alices(1)+"\n", "explain", "alice")
	s.must(plainClient, "alice", alice.password+alices(2), accept)
	want(1, "by plain, at", alices(2)+"\n", "explain", "alice")
	out, _ := command("", "show", "-json", "alice")
	var u admin.User
	if err := json.Unmarshal([]byte(out), &u); err != nil || u.Clock == nil || u.Clock.Offset < 400 || u.Clock.Offset > 700 || len(u.Logins) != 1 {
		t.Errorf("show -json: %v, %+v\n%s", err, u, out)
	}
	want(0, "ahead", "", "show", "alice")
	want(0, "", "", "resync", "-reset", "alice")
	want(0, "not known yet", "", "show", "alice")
	want(1, "a clock that is", alices(5)+"\n", "explain", "alice")
	if strings.Contains(out, alice.base32()) || strings.Contains(s.log.String(), alice.base32()) {
		t.Error("the key was printed")
	}
}

// The confirming code of an enrolment tells the server where the clock is.
func TestEnrolmentSeedsTheClock(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	text := ldifText(t, alice)
	s := newSite(t, ldifDirectory, map[string]string{"people.ldif": text[:strings.Index(text, "oathSecret")] + "objectClass: inetOrgPerson\n"})
	var alices func(int64) string
	alice.key = enrollByHandWith(t, s, func(u user) string { alices = u.shifted(6 * time.Minute); return alices(0) })
	s.eventually("the enrolment to be seen", func() bool { _, err := s.user("show", "alice"); return err == nil })
	s.must(plainClient, "alice", alice.password+alices(0), accept)
}

func TestForwardOnly(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	s.write("lockstep.toml", fmt.Sprintf(siteTOML, ldifDirectory, s.addr)+"[verifier]\nforward_only = true\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the reload", func() bool { return strings.Contains(s.log.String(), "configuration in use") })
	alices := alice.shifted(9 * time.Minute)
	s.must(plainClient, "alice", alice.password+alices(0), reject)
	s.must(plainClient, "alice", alice.password+alices(1), accept)
	s.must(plainClient, "alice", alice.password+alice.code(0), reject)
	if log := s.log.String(); !strings.Contains(log, "older than the last code used, refused until 20") {
		t.Errorf("no reason:\n%s", s.tail())
	}
}

// What is learned is on disk: also after kill -9 the device is known.
func TestClockSurvivesKill(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	alices := alice.shifted(time.Hour)
	s.must(plainClient, "alice", alice.password+alices(0), reject)
	s.end(s.cmd, syscall.SIGKILL)
	s.start()
	s.must(plainClient, "alice", alice.password+alices(1), accept) // remembers the first
	s.end(s.cmd, syscall.SIGKILL)
	s.start()
	s.must(plainClient, "alice", alice.password+alices(1), reject)
	s.must(plainClient, "alice", alice.password+alices(2), accept)
}

// A state that does not decode is an error: silence, and nothing is reset.
func TestBrokenStateIsSilence(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	s := ldifSite(t, alice, bob)
	spent := alice.code(0)
	s.must(plainClient, "alice", alice.password+spent, accept)
	s.end(s.cmd, syscall.SIGTERM) // so that the file has it all, and not its log
	damage(t, filepath.Join(s.dir, "state.db"), alice.key)
	s.start()
	s.must(plainClient, "alice", alice.password+spent, silence)
	s.must(plainClient, "alice", alice.password+alice.code(1), silence)
	s.must(plainClient, "alice", "wrong", silence)
	s.must(plainClient, "bob", bob.password+bob.code(0), accept)
	for _, command := range [][]string{{"unlock", "alice"}, {"resync", "-reset", "alice"}} {
		if out, err := s.user(command[0], command[1:]...); err == nil || err.(*exec.ExitError).ExitCode() != statusError {
			t.Errorf("%q: %v, %s", command, err, out)
		}
	}
	for _, command := range [][]string{{"show", "alice"}, {"list"}} {
		if out, err := s.user(command[0], command[1:]...); err != nil || !strings.Contains(out, "state is damaged") {
			t.Errorf("%q: %v, %s", command, err, out)
		}
	}
	if !strings.Contains(s.log.String(), "cannot decide, no reply sent") {
		t.Errorf("nothing in the log:\n%s", s.tail())
	}
}

func TestDoctorAtTheServer(t *testing.T) {
	t.Parallel()
	s := ldifSite(t, newUser("alice"))
	out, _ := program("doctor", "-config", filepath.Join(s.dir, "lockstep.toml")).CombinedOutput()
	for _, want := range []string{"clock: ", "ok   directory: ", "ok   store: ", "ok   clients: 4 configured"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("doctor says nothing of %q:\n%s", want, out)
		}
	}
	s.end(s.cmd, syscall.SIGTERM)
	cmd := program("doctor", "-config", filepath.Join(s.dir, "lockstep.toml"))
	out, _ = cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != statusNo || !strings.Contains(string(out), "clock: ") || !strings.Contains(string(out), "BAD  server: ") ||
		!strings.Contains(string(out), "socket "+s.addr+": is free") || !strings.Contains(string(out), "is in nobody's use") {
		t.Errorf("without a server: %v\n%s", cmd.ProcessState, out)
	}
}

// damage alters the stored state of a key.
func damage(t *testing.T, path string, k verifier.Key) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("states"))
		record := bytes.Clone(b.Get([]byte(k.ID())))
		record[len(record)-1] ^= 0xff
		return b.Put([]byte(k.ID()), append(record, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTellNotEnrolled(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	s.write("lockstep.toml", strings.ReplaceAll(fmt.Sprintf(siteTOML, ldifDirectory, s.addr), "challenge = true", "challenge = true\ntell_not_enrolled = true"))
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the reload", func() bool { return strings.Contains(s.log.String(), "configuration in use") })
	for _, tt := range []struct{ from, user, typed, want, message string }{
		{challengeClient, "nobody", "x", reject, "not enrolled"},
		{challengeClient, "alice", "x", challenge, "Code: "},
		{plainClient, "nobody", "x", reject, ""},
	} {
		r := s.must(tt.from, tt.user, tt.typed, tt.want)
		if got := strings.Join(r.Attributes["Reply-Message"], ""); strings.Trim(got, `"`) != tt.message {
			t.Errorf("%+v: message %q", tt, got)
		}
	}
}
