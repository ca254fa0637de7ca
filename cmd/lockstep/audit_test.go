package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/audit"
	"lockstep/internal/testenv"
)

// trail returns the records of a site's audit trail, after it was verified.
func (s *site) trail(names ...string) (all []map[string]any) {
	s.t.Helper()
	v := &audit.Verifier{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := v.File(name, strings.NewReader(string(text))); err != nil {
			s.t.Fatalf("%v\n%s", err, text)
		}
		for line := range strings.Lines(string(text)) {
			var r map[string]any
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				s.t.Fatal(err)
			}
			all = append(all, r)
		}
	}
	return all
}

// count returns how many records have these members.
func count(all []map[string]any, want map[string]any) (n int) {
	for _, r := range all {
		same := true
		for key, value := range want {
			same = same && r[key] == value
		}
		if same {
			n++
		}
	}
	return n
}

func TestAuditTrail(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	s := newSite(t, "[audit]\nfile = \"audit.log\"\n"+ldifDirectory, map[string]string{"people.ldif": ldifText(t, alice)})
	code := alice.code(0)
	s.must(plainClient, "alice", alice.password+code, accept)
	s.must(plainClient, "alice", alice.password+code, reject)
	s.must(challengeClient, "alice", alice.password, challenge)
	s.radclient(plainClient, "alice\"}\n", alice.password+code)
	s.user("unlock", "alice")

	// logrotate, then a reload, then a configuration that is broken, then the end of all.
	os.Rename(filepath.Join(s.dir, "audit.log"), filepath.Join(s.dir, "audit.log.1"))
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.eventually("the new file", func() bool { return exists(filepath.Join(s.dir, "audit.log")) })
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the reload", func() bool { return strings.Contains(s.log.String(), "configuration in use") })
	good, err := os.ReadFile(filepath.Join(s.dir, "lockstep.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("lockstep.toml", "[directory]\ncolour = 1\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.eventually("the fault", func() bool { return strings.Contains(s.log.String(), "no such setting") })
	s.end(s.cmd, syscall.SIGKILL)
	s.write("lockstep.toml", string(good))
	s.start()
	s.end(s.cmd, syscall.SIGTERM)

	all := s.trail("audit.log.1", "audit.log")
	for _, tt := range []struct {
		want map[string]any
		n    int
	}{
		{map[string]any{"event": "login", "result": "accept", "user": "alice", "client": "plain"}, 1},
		{map[string]any{"event": "login", "result": "reject", "user": "alice"}, 1},
		{map[string]any{"event": "login", "result": "challenge", "user": "alice", "client": "challenge"}, 1},
		{map[string]any{"event": "login", "result": "reject", "user": "alice\"}\n"}, 1},
		{map[string]any{"event": "admin", "action": "unlock", "user": "alice", "uid": float64(os.Getuid())}, 1},
		{map[string]any{"event": "reload", "result": "read"}, 1},
		{map[string]any{"event": "reload", "result": "failed"}, 1},
		{map[string]any{"event": "start"}, 2},
		{map[string]any{"event": "stop"}, 1},
	} {
		if got := count(all, tt.want); got != tt.n {
			t.Errorf("%v: %d records, want %d\n%v", tt.want, got, tt.n, all)
		}
	}
	for _, r := range all {
		if text, _ := json.Marshal(r); strings.Contains(string(text), alice.password) || strings.Contains(string(text), `"`+code) {
			t.Errorf("a password or a code is in %s", text)
		}
	}
}

// Nobody gets in while the trail that is required cannot be written, and all is
// well when it can again.
func TestRequiredAuditTrailOnAFullDisk(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=128k"); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			t.Skip("only root can mount a small disk")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	alice := newUser("alice")
	s := newSite(t, "[audit]\nfile = \""+dir+"/audit.log\"\nrequired = true\n"+ldifDirectory, map[string]string{"people.ldif": ldifText(t, alice)})
	s.must(plainClient, "alice", alice.password+alice.code(-1), accept)

	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 256<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	// Until the page that the file has is full.
	s.eventually("the disk to be full", func() bool {
		out, err := s.user("unlock", "alice")
		return err != nil && strings.Contains(out, "the audit trail cannot be written")
	})
	s.must(plainClient, "alice", alice.password+alice.code(0), silence)
	if s.status() == nil {
		t.Error("Status-Server is answered")
	}
	if !strings.Contains(s.log.String(), "audit trail cannot be written, tried again every second") {
		t.Errorf("the log does not say so:\n%s", s.tail())
	}
	os.Remove(filler)
	s.eventually("the trail", func() bool { return s.status() == nil })
	s.must(plainClient, "alice", alice.password+alice.code(0), accept) // not spent by the try before
	s.end(s.cmd, syscall.SIGTERM)
	text, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("audit.log", string(text))
	all := s.trail("audit.log")
	if n := count(all, map[string]any{"event": "login", "result": "accept"}); n != 2 {
		t.Errorf("%d accepts, want 2", n)
	}
	if n := count(all, map[string]any{"event": "login", "result": "error"}); n == 0 {
		t.Error("the logins that could not be decided are not there")
	}
}
