package guides

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// radclient asks a proxy of the machine as an appliance would.
func (s *stage) radclient(server, user, typed string, more ...string) testenv.RadclientReply {
	s.t.Helper()
	request := append([]string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("User-Password = %q", typed),
		"Proxy-State = 0x6f6e65", "Proxy-State = 0x74776f"}, more...)
	s.Write("/etc/radclient.secret", s.secret+"\n", 0o600)
	out, _ := s.Run(strings.Join(request, "\n")+"\n", "radclient", "-x", "-r", "1", "-t", "10", "-S", "/etc/radclient.secret", server, "auth")
	return testenv.ParseRadclient(out)
}

const signed = "Message-Authenticator = 0x00"

// throughProxy is what has to come back through every proxy.
func (s *stage) throughProxy(at string) {
	s.t.Helper()
	alice, bob := s.people[0], s.people[1]
	code := alice.code(0)
	for _, tt := range []struct {
		name, user, typed, want, reason string
	}{
		{"wrong code", alice.name, alice.password + "000000", "Access-Challenge", "result=challenge"},
		{"right", alice.name, alice.password + code, "Access-Accept", "result=accept"},
		{"the same again", alice.name, alice.password + code, "Access-Reject", "replayed"},
		{"wrong password", alice.name, "wrong" + alice.code(1), "Access-Reject", "password wrong"},
		{"nobody", "nobody", "anything123456", "Access-Challenge", "result=challenge"},
	} {
		got := s.radclient(at, tt.user, tt.typed, signed)
		if got.Code != tt.want {
			s.t.Errorf("%s: %q, want %q\n%s\n%s", tt.name, got.Code, tt.want, got.Output, s.log)
		}
		if n := len(got.Attributes["Proxy-State"]); n != 2 {
			s.t.Errorf("%s: %d values of Proxy-State, want the 2 that were sent\n%s", tt.name, n, got.Output)
		}
		s.decided("user="+tt.user, tt.reason)
	}
	asked := s.radclient(at, bob.name, bob.password, signed)
	if asked.Code != "Access-Challenge" || len(asked.Attributes["State"]) != 1 {
		s.t.Fatalf("password alone: %q\n%s\n%s", asked.Code, asked.Output, s.log)
	}
	state := "State = " + asked.Attributes["State"][0]
	if got := s.radclient(at, bob.name, bob.code(0), signed, state); got.Code != "Access-Accept" {
		s.t.Errorf("the answer to the challenge: %q\n%s\n%s", got.Code, got.Output, s.log)
	}
}

func TestRadsecproxy(t *testing.T) {
	t.Parallel()
	s := newStage(t, "radsecproxy.md", "radsecproxy", "radclient")
	// Two machines in one: the second needs another name for the file.
	for i, name := range []string{"centre", "branch"} {
		s.put("/etc/radsecproxy-"+name+".conf", s.files[1+i].text)
	}
	testenv.Certificate(s.t, s.Path("/etc/radsecproxy"), serverAddress, applianceAddress)
	s.lockstep(3)
	s.Serve(func(string) bool { return s.Listens(serverAddress, 2083) }, "radsecproxy", "-f", "-c", "/etc/radsecproxy-centre.conf")
	s.Serve(func(string) bool { return s.Listens(applianceAddress, 1812) }, "radsecproxy", "-f", "-c", "/etc/radsecproxy-branch.conf")
	s.throughProxy(applianceAddress)

	// Without Message-Authenticator it gets as far as lockstep.
	if got := s.radclient(applianceAddress, s.people[2].name, s.people[2].password+s.people[2].code(0)); got.Code != "" {
		t.Errorf("without Message-Authenticator: %q", got.Code)
	}
	if !strings.Contains(s.log.String(), "no Message-Authenticator, packet dropped") {
		t.Errorf("the log does not say what the guide says that it does:\n%s", s.log)
	}
}

func TestFreeRADIUSAsAProxy(t *testing.T) {
	t.Parallel()
	s := newStage(t, "freeradius.md", "freeradius", "radclient")
	s.Must("sh", "-euc", s.commands[0])
	s.Must("mkdir", "-p", "/run/freeradius")
	s.Must("chown", "freerad:", "/run/freeradius")
	s.lockstep(3)
	s.Serve(func(log string) bool { return strings.Contains(log, "Ready to process requests") }, "freeradius", "-f", "-l", "stdout")
	s.throughProxy(applianceAddress)

	// The proxy adds what the appliance does not send.
	if got := s.radclient(applianceAddress, s.people[2].name, s.people[2].password+s.people[2].code(0)); got.Code != "Access-Accept" {
		t.Errorf("without Message-Authenticator: %q\n%s\n%s", got.Code, got.Output, s.log)
	}
}
