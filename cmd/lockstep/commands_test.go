package main

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// The login command is an appliance too, and goes through a challenge.
func TestLoginCommand(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s := newSite(t, ldifDirectory+"\n", map[string]string{"people.ldif": ldifText(t, alice)})
	s.write("lockstep.toml", strings.Replace(fmt.Sprintf(siteTOML, ldifDirectory, s.addr), "name = \"plain\"", "name = \"plain\"\nchallenge = true", 1))
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the reload", func() bool { return strings.Contains(s.log.String(), "configuration in use") })
	login := func(stdin string) (string, string, int) {
		cmd := program("login", "-server", s.addr, "-secret-file", filepath.Join(s.dir, "secret"), "alice")
		var out, err bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &err
		cmd.Run()
		return out.String(), err.String(), cmd.ProcessState.ExitCode()
	}
	for _, tt := range []struct {
		name, stdin, out string
		status           int
	}{
		{"both in one", alice.password + alice.code(0) + "\n", "alice: accepted\n", 0},
		{"one after the other", alice.password + "\n" + alice.code(1) + "\n", "alice: accepted\n", 0},
		{"wrong code", alice.password + "\n" + alice.noCode() + "\n", "alice: rejected\n", 1},
	} {
		if out, err, status := login(tt.stdin); out != tt.out || status != tt.status || err != "" {
			t.Errorf("%s: %q, %q, status %d; want %q, nothing, %d", tt.name, out, err, status, tt.out, tt.status)
		}
	}
}

// An enrolment that a code confirms is written, and the code's owner gets in.
func TestEnrollAndLogIn(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	text := ldifText(t, alice)
	text = text[:strings.Index(text, "oathSecret")] + "objectClass: inetOrgPerson\n"
	s := newSite(t, ldifDirectory, map[string]string{"people.ldif": text})
	s.must(plainClient, "alice", alice.password+alice.code(0), reject)
	alice.key = enrollByHand(t, s)
	s.eventually("the enrolment to be seen", func() bool { _, err := s.user("show", "alice"); return err == nil })
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
}

// enrollByHand does what a person does: reads the key and types a code.
func enrollByHand(t *testing.T, s *site, options ...string) verifier.Key {
	t.Helper()
	return enrollByHandWith(t, s, func(u user) string { return u.code(0) }, options...)
}

// enrollByHandWith is enrollByHand with another code than that of now.
func enrollByHandWith(t *testing.T, s *site, code func(user) string, options ...string) verifier.Key {
	t.Helper()
	cmd := program(append(append([]string{"user", "enroll", "-config", filepath.Join(s.dir, "lockstep.toml")}, options...), "alice")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &testenv.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var key verifier.Key
	s.eventually("the key", func() bool {
		_, after, found := strings.Cut(out.String(), "\nkey: ")
		line, _, whole := strings.Cut(after, "\n")
		if found && whole {
			key = keyOf(t, strings.ReplaceAll(line, " ", ""))
		}
		return found && whole
	})
	u := user{key: key}
	fmt.Fprintln(stdin, code(u))
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "alice: enrolled\n") {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	return key
}

func keyOf(t *testing.T, text string) verifier.Key {
	t.Helper()
	b, err := base32.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	k := newUser("").key
	k.Bytes = opaque.Of(b)
	return k
}
