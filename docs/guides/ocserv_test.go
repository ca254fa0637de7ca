package guides

import (
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

const (
	ocservIn      = "COOKIE="
	ocservRefused = "Failed to complete authentication"
)

// openconnect logs in, and returns what comes of it and how often it was asked.
func (s *stage) openconnect(p *person, answers ...string) (outcome string, asked int) {
	s.t.Helper()
	c := testenv.AtTerminal(s.t, s.Command("openconnect", "--protocol=anyconnect", "--authenticate", "--cafile", "/etc/ocserv/ca.pem",
		"--user", p.name, "https://"+applianceAddress))
	defer c.End()
	for {
		found := c.Expect("Password:", "Password1:", ocservIn, ocservRefused)
		switch {
		case found == "Password:" && asked > 0:
			return ocservRefused, asked // from the beginning
		case found == ocservIn, found == ocservRefused, asked == len(answers):
			return found, asked
		}
		c.Type(answers[asked])
		asked++
	}
}

func TestOcserv(t *testing.T) {
	t.Parallel()
	s := newStage(t, "ocserv.md", "ocserv", "openconnect")
	testenv.Certificate(s.t, s.Path("/etc/ocserv"), applianceAddress)
	s.lockstep(3)
	server := s.Serve(func(log string) bool { return s.Listens("", 443) }, "ocserv", "--foreground", "--debug=3", "--config", "/etc/ocserv/ocserv.conf")
	in, out := s.people[0], s.people[1]
	code := in.code(0)
	for _, tt := range []struct {
		name    string
		person  *person
		answers []string
		want    string
		reason  string
	}{
		{"password, and a wrong code", in, []string{in.password, "000000"}, ocservRefused, "code wrong"},
		{"password, and the code when asked", in, []string{in.password, code}, ocservIn, "result=accept"},
		{"the same again", in, []string{in.password, code}, ocservRefused, "replayed"},
		{"in one", in, []string{in.password + in.code(1)}, ocservIn, "result=accept"},
		{"not in the group", out, []string{out.password + out.code(0)}, ocservRefused, "not allowed"},
		{"wrong password", out, []string{"wrong", out.code(1)}, ocservRefused, "password wrong"},
	} {
		got, asked := s.openconnect(tt.person, tt.answers...)
		if got != tt.want || asked != len(tt.answers) {
			t.Errorf("%s: %q after %d questions, want %q after %d\n%s\n%s", tt.name, got, asked, tt.want, len(tt.answers), server, s.log)
		}
		s.decided("user="+tt.person.name, tt.reason)
	}
	if !strings.Contains(s.log.String(), "result=challenge") {
		t.Errorf("nobody was asked for the code:\n%s", s.log)
	}
}
