package guides

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// ikeClient is a client that knows EAP-GTC: a charon of its own, at other ports. A
// guide has nothing about it, since people's clients differ.
const ikeClient = `connections {
	client {
		version = 2
		childless = force
		local_addrs = 192.0.2.1
		remote_addrs = 192.0.2.10
		local {
			auth = eap-gtc
			eap_id = %[1]s
		}
		remote {
			auth = pubkey
			id = 192.0.2.10
		}
	}
}
secrets {
	eap-person {
		id = %[1]s
		secret = "%[2]s"
	}
}
`

// ike connects, and returns what swanctl says.
func (s *stage) ike(p *person, typed string) (string, error) {
	s.t.Helper()
	s.Write("/etc/swanctl-client/swanctl.conf", fmt.Sprintf(ikeClient, p.name, typed), 0o600)
	if out, err := s.swanctlClient("--load-all", "--clear"); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	defer s.swanctlClient("--terminate", "--ike", "client", "--timeout", "5")
	return s.swanctlClient("--initiate", "--ike", "client", "--timeout", "20")
}

func (s *stage) swanctlClient(args ...string) (string, error) {
	return s.Run("", "env", append([]string{"SWANCTL_DIR=/etc/swanctl-client", "swanctl"}, append(args, "--uri", "unix:///run/client.vici")...)...)
}

// ikeClientConf lets the client be beside the gateway.
const ikeClientConf = `charon-systemd {
	port = 0
	port_nat_t = 0
	load_modular = yes
	plugins {
		include strongswan.d/charon/*.conf
		vici {
			socket = unix:///run/client.vici
		}
	}
}
`

func TestStrongSwan(t *testing.T) {
	t.Parallel()
	s := newStage(t, "strongswan.md", "charon-systemd", "swanctl", "/usr/lib/ipsec/plugins/libstrongswan-eap-gtc.so")
	testenv.Certificate(s.t, s.Path("/etc/swanctl/made"), applianceAddress)
	for _, file := range []string{"x509ca/ca.pem", "x509/cert.pem", "private/key.pem"} {
		s.Must("install", "-D", "-m", "600", "/etc/swanctl/made/"+file[strings.Index(file, "/")+1:], "/etc/swanctl/"+file)
	}
	s.lockstep(3)
	charon := s.Serve(func(string) bool { _, err := s.Run("", "swanctl", "--stats"); return err == nil }, "charon-systemd")
	s.Must("swanctl", "--load-all")
	s.Must("install", "-D", "-m", "600", "/etc/swanctl/made/ca.pem", "/etc/swanctl-client/x509ca/ca.pem")
	s.Write("/etc/strongswan-client.conf", ikeClientConf, 0o644)
	s.Serve(func(string) bool { _, err := s.swanctlClient("--stats"); return err == nil },
		"env", "STRONGSWAN_CONF=/etc/strongswan-client.conf", "charon-systemd")
	in, out := s.people[0], s.people[1]
	code := in.code(0)
	for _, tt := range []struct {
		name   string
		person *person
		typed  string
		in     bool
		reason string
	}{
		{"wrong code", in, in.password + "000000", false, "code wrong"},
		{"right", in, in.password + code, true, "result=accept"},
		{"the same again", in, in.password + code, false, "replayed"},
		{"wrong password", in, "wrong" + in.code(1), false, "password wrong"},
		{"not in the group", out, out.password + out.code(0), false, "not allowed"},
	} {
		said, err := s.ike(tt.person, tt.typed)
		if got := err == nil; got != tt.in {
			t.Errorf("%s: in %v, want %v: %s\n%s\n%s", tt.name, got, tt.in, said, charon, s.log)
		}
		s.decided("user="+tt.person.name, tt.reason)
	}
}
