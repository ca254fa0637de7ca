package guides

import (
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// openvpnServer starts the guide's server and returns its log.
func (s *stage) openvpnServer() *testenv.Buffer {
	s.t.Helper()
	testenv.Certificate(s.t, s.Path("/etc/openvpn/server"), applianceAddress)
	s.Write("/etc/openvpn/client/ca.pem", s.Read("/etc/openvpn/server/ca.pem"), 0o644)
	s.Must("mkdir", "-p", "/etc/openvpn/ccd", "/run/openvpn-server")
	return s.Serve(func(log string) bool { return strings.Contains(log, "Initialization Sequence Completed") },
		"openvpn", "--config", "/etc/openvpn/server/server.conf")
}

const (
	openvpnIn      = "Initialization Sequence Completed"
	openvpnRefused = "AUTH_FAILED"
)

// openvpn connects with the guide's client, and returns what comes of it.
func (s *stage) openvpn(p *person, answers ...string) string {
	s.t.Helper()
	c := testenv.AtTerminal(s.t, s.Command("openvpn", "--config", "/etc/openvpn/client/lockstep.conf"))
	defer c.End()
	c.Expect("Enter Auth Username:")
	c.Type(p.name)
	for i, answer := range answers {
		c.Expect([]string{"Enter Auth Password:", "Code:"}[i])
		c.Type(answer)
	}
	return c.Expect(openvpnIn, openvpnRefused)
}

func TestOpenVPNWithItsRADIUSPlugin(t *testing.T) {
	t.Parallel()
	s := newStage(t, "openvpn-radius.md", "openvpn", "/usr/lib/openvpn/radiusplugin.so")
	s.lockstep(3)
	server := s.openvpnServer()
	in, out, third := s.people[0], s.people[1], s.people[2]
	code := in.code(0)
	for _, tt := range []struct {
		name   string
		person *person
		typed  string
		want   string
		reason string
	}{
		{"wrong code", in, in.password + "000000", openvpnRefused, "code wrong"},
		{"right", in, in.password + code, openvpnIn, "result=accept"},
		{"the same again", in, in.password + code, openvpnRefused, "replayed"},
		{"wrong password", in, "wrong" + in.code(1), openvpnRefused, "password wrong"},
		{"not in the group", out, out.password + out.code(0), openvpnRefused, "not allowed"},
		{"no code", third, third.password, openvpnRefused, "no code"},
	} {
		if got := s.openvpn(tt.person, tt.typed); got != tt.want {
			t.Errorf("%s: %q, want %q\n%s\n%s", tt.name, got, tt.want, server, s.log)
		}
		s.decided("user="+tt.person.name, tt.reason)
	}
}
