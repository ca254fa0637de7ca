package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/radius"
	"lockstep/internal/testenv"
)

// ldifDirectory is the [directory] table for people.ldif.
const ldifDirectory = "[directory]\nurl = [\"ldif:people.ldif\"]"

func ldifSite(t *testing.T, people ...user) *site {
	t.Helper()
	return newSite(t, ldifDirectory, map[string]string{"people.ldif": ldifText(t, people...)})
}

func ldifText(t *testing.T, people ...user) string {
	t.Helper()
	var text strings.Builder
	for _, u := range people {
		salted := sha1.Sum([]byte(u.password + "salt"))
		hash := "{SSHA}" + base64.StdEncoding.EncodeToString(append(salted[:], "salt"...))
		fmt.Fprintf(&text, "dn: uid=%s,dc=example,dc=org\nuid: %s\nuserPassword: %s\noathSecret: %s\n\n", u.name, u.name, hash, u.base32())
	}
	return text.String()
}

func TestEveryWayToType(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, carol, digits := newUser("alice"), newUser("carol"), newUser("digits")
	digits.password += "123456"
	s := ldifSite(t, alice, carol, digits)

	code := alice.code(0)
	s.must(plainClient, "alice", alice.password+code, accept)
	s.must(plainClient, "alice", alice.password+code, reject)
	s.must(plainClient, "ALICE", alice.code(1)+alice.password, accept)
	s.must(plainClient, "carol", carol.password, reject)
	s.must(separatorClient, "carol", carol.password+","+carol.code(0), accept)
	s.must(codeClient, "carol", carol.code(1), accept)
	s.must(plainClient, "digits", digits.password+digits.code(0), accept)
	s.must(plainClient, "digits", digits.code(1)+digits.password, accept)
	s.must(strangerClient, "alice", alice.password+code, silence)
}

func TestChallengeOverRadclient(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, carol, digits := newUser("alice"), newUser("carol"), newUser("digits")
	digits.password += "123456"
	s := ldifSite(t, alice, carol, digits)
	answer := func(first testenv.RadclientReply, from string, u user, code, want string) {
		t.Helper()
		if len(first.Attributes["State"]) != 1 || len(first.Attributes["Reply-Message"]) != 1 {
			t.Fatalf("challenge without State or Reply-Message: %s", first.Output)
		}
		if r := s.radclient(from, u.name, code, "State = "+first.Attributes["State"][0]); r.Code != want {
			t.Errorf("%s answers the challenge: %q, want %q\n%s", u.name, r.Code, want, s.tail())
		}
	}
	first := s.must(challengeClient, "alice", alice.password, challenge)
	answer(first, challengeClient, alice, alice.code(0), accept)
	answer(first, challengeClient, alice, alice.code(1), reject) // a State is good once
	answer(s.must(challengeClient, "digits", digits.password, challenge), challengeClient, digits, digits.code(0), accept)
	answer(s.must(challengeClient, "alice", "wrong", challenge), challengeClient, alice, alice.code(1), reject)
	answer(s.must(challengeClient, "nobody", "wrong", challenge), challengeClient, user{name: "nobody"}, "123456", reject)

	first = s.must(challengeClient, "alice", alice.password, challenge)
	answer(first, challengeClient, digits, digits.code(1), reject) // somebody else's
	answer(first, plainClient, alice, alice.code(1), reject)       // another client's
	answer(first, challengeClient, alice, alice.code(1), accept)   // still good
	s.must(challengeClient, "carol", carol.password+carol.code(0), accept)
}

// The same packet again gets the same octets, and spends nothing.
func TestSamePacketTwice(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s := ldifSite(t, alice)
	packet := s.packet(alice.name, alice.password+alice.code(0))
	conn := s.dial()
	first, second := s.exchange(conn, packet), s.exchange(conn, packet)
	if first == nil || layeh.Code(first[0]) != layeh.CodeAccessAccept || !bytes.Equal(first, second) {
		t.Errorf("first reply %x, second %x", first, second)
	}
	other := s.exchange(s.dial(), packet) // from another port it is another request
	if other == nil || layeh.Code(other[0]) != layeh.CodeAccessReject {
		t.Errorf("from another port: %x", other)
	}
	s.end(s.cmd, syscall.SIGTERM) // then all of the log is there
	if n := strings.Count(s.log.String(), "msg=decision"); n != 2 {
		t.Errorf("%d decisions, want 2", n)
	}
	if !strings.HasSuffix(strings.TrimSpace(s.log.String()), "msg=stopped") {
		t.Errorf("not logged to the end:\n%s", s.tail())
	}
}

func (s *site) packet(name, typed string) radius.Packet {
	s.t.Helper()
	p, err := radius.NewRequest(layeh.CodeAccessRequest, []byte(s.secret), []byte(typed),
		radius.Attribute{Type: rfc2865.UserName_Type, Value: []byte(name)})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("udp4", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// exchange returns the reply, or nil after silence for longer than the server
// tries.
func (s *site) exchange(conn net.Conn, packet radius.Packet) []byte {
	return s.ask(conn, packet, 7*time.Second)
}

func (s *site) ask(conn net.Conn, packet radius.Packet, patience time.Duration) []byte {
	conn.Write(packet)
	conn.SetReadDeadline(time.Now().Add(patience))
	reply := make([]byte, radius.MaxLen)
	n, err := conn.Read(reply)
	if err != nil {
		return nil
	}
	return reply[:n]
}

func TestOneCodeFromManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s := ldifSite(t, alice)
	typed := alice.password + alice.code(0)
	var accepts, rejects atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		conn, packet := s.dial(), s.packet(alice.name, typed)
		wg.Go(func() {
			var reply []byte
			// Only so many wait for one account; the others are dropped, and
			// heard when they are sent again.
			for try := 0; reply == nil && try < 30; try++ {
				reply = s.ask(conn, packet, time.Second)
			}
			switch {
			case reply == nil:
			case layeh.Code(reply[0]) == layeh.CodeAccessAccept:
				accepts.Add(1)
			default:
				rejects.Add(1)
			}
		})
	}
	wg.Wait()
	if accepts.Load() != 1 || rejects.Load() != 29 {
		t.Errorf("%d accepts and %d rejects of 30, want 1 and 29", accepts.Load(), rejects.Load())
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	s := ldifSite(t, alice)
	good, err := os.ReadFile(filepath.Join(s.dir, "lockstep.toml"))
	if err != nil {
		t.Fatal(err)
	}

	// A broken configuration changes nothing, and the log says what is wrong.
	s.write("lockstep.toml", "[directory]\ncolour = 1\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the fault in the log", func() bool {
		return strings.Contains(s.log.String(), "lockstep.toml:2: directory.colour: no such setting")
	})
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)

	// A good one takes effect: another client, another directory.
	s.write("others.ldif", ldifText(t, bob))
	text := strings.Replace(string(good), "people.ldif", "others.ldif", 1)
	s.write("lockstep.toml", strings.Replace(text, `"127.0.0.4"`, `"127.0.0.9"`, 1))
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the reload", func() bool { return strings.Contains(s.log.String(), "configuration in use") })
	s.must(strangerClient, "bob", bob.code(0), accept)
	s.must(codeClient, "bob", bob.code(1), silence)
	s.must(plainClient, "alice", alice.password+alice.code(1), reject)

	// The file itself is followed without a signal, and a broken one is not taken.
	s.write("others.ldif", ldifText(t, alice, bob))
	s.eventually("alice to be enrolled", func() bool {
		out, err := s.user("show", "alice")
		return err == nil && strings.Contains(out, "alice")
	})
	s.write("others.ldif", "dn: uid=x\nno colon here\n")
	s.eventually("the fault in the log", func() bool { return strings.Contains(s.log.String(), "others.ldif:2") })
	s.must(plainClient, "bob", bob.password+bob.code(1), accept)
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	right := s.secret
	s.secret = "another secret, of 24 octets or more"
	s.must(plainClient, "alice", alice.password+alice.code(0), silence)
	s.secret = right
	if !strings.Contains(s.log.String(), "shared secret") {
		t.Errorf("the log does not say so:\n%s", s.tail())
	}
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
	if out, err := s.user("show", "alice"); err != nil || !strings.Contains(out, "0 in a row") {
		t.Errorf("counted against the user: %s, %v", out, err)
	}
}

func TestLockAndUnlock(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := newSite(t, ldifDirectory+"\n[verifier]\nmax_failures = 5", map[string]string{"people.ldif": ldifText(t, alice)})
	for i := range 5 {
		s.radclient(plainClient, "alice", fmt.Sprintf("x%d/000000", i), fmt.Sprintf("Calling-Station-Id = %q", fmt.Sprint("home", i)))
	}
	s.must(plainClient, "alice", alice.password+alice.code(0), reject)
	if out, _ := s.user("list"); !strings.Contains(out, "locked after 5 failures") {
		t.Errorf("list says: %s", out)
	}
	if out, err := s.user("unlock", "alice"); err != nil || !strings.Contains(out, "5 failures forgotten") {
		t.Errorf("unlock says: %s, %v", out, err)
	}
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
	if out, err := s.user("show", "alice"); err != nil || !strings.Contains(out, "by plain") {
		t.Errorf("show says: %s, %v", out, err)
	}
}

// Nothing secret is in anything that the server writes, at debug level, in any
// of the usual encodings.
func TestNothingSecretIsWritten(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := ldifSite(t, alice)
	codes := []string{alice.code(0), alice.code(1), alice.code(-1)}
	s.must(plainClient, "alice", alice.password+codes[0], accept)
	s.must(plainClient, "alice", alice.password+codes[0], reject)
	s.must(plainClient, "alice", "wrong-"+alice.password+codes[1], reject)
	s.must(challengeClient, "alice", alice.password, challenge)
	s.radclient(plainClient, "alice\nuser=root result=accept", alice.password+codes[2])
	s.radclient(plainClient, strings.Repeat("a", 253), alice.password+codes[2])
	s.user("show", "alice")
	s.write("people.ldif", ldifText(t, alice)+"dn: uid=x,dc=example,dc=org\nuserPassword: "+alice.password+"\nuid: x\noathSecret: "+alice.base32()+"\n")
	s.eventually("the refused file", func() bool { return strings.Contains(s.log.String(), "people.ldif:") })
	s.end(s.cmd, syscall.SIGTERM)

	state, err := os.ReadFile(filepath.Join(s.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	written := s.log.String() + string(state)
	if !strings.Contains(written, "msg=decision") {
		t.Fatal("nothing was logged")
	}
	if strings.Contains(s.log.String(), "\nuser=root") {
		t.Error("a user name made a log line of its own")
	}
	for what, secret := range map[string]string{"password": alice.password, "key": string(alice.key.Bytes.Reveal()), "base32 key": alice.base32(),
		"code": codes[0], "unused code": codes[1], "third code": codes[2], "shared secret": s.secret} {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)*4/3-1], fmt.Sprint([]byte(secret))} {
			if strings.Contains(strings.ToLower(written), strings.ToLower(form)) {
				t.Errorf("the %s is in what was written, as %q", what, form)
			}
		}
	}
}

func TestOverlongAndOddNames(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s := ldifSite(t, alice)
	conn := s.dial()
	for _, name := range []string{strings.Repeat("a", 253), "\xff\xfe", "a\x00b", "a\nb", "*", ")(uid=*", "alice\u202e", " "} {
		if reply := s.exchange(conn, s.packet(name, alice.password+alice.code(0))); reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessReject {
			t.Errorf("name %q: %x, want a reject", name, reply)
		}
	}
	if reply := s.exchange(conn, s.packet(" Ａｌｉｃｅ ", alice.password+alice.code(0))); reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessAccept {
		t.Errorf("full-width name: %x", reply)
	}
}
