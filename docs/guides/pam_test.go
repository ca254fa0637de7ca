package guides

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func TestPAMRadius(t *testing.T) {
	t.Parallel()
	s := newStage(t, "pam-radius.md", "pamtester", "/usr/lib/*/security/pam_radius_auth.so")
	s.lockstep(2)
	p := s.people[0]
	code := p.code(0)
	for _, tt := range []struct {
		name    string
		answers []string
		in      bool
		reason  string
	}{
		{"wrong code", []string{p.password, "000000"}, false, "code wrong"},
		{"right", []string{p.password, code}, true, "result=accept"},
		{"the same again", []string{p.password, code}, false, "replayed"},
		{"in one", []string{p.password + p.code(1)}, true, "result=accept"},
		{"wrong password", []string{"wrong", p.code(2)}, false, "password wrong"},
	} {
		out, err := s.Run(strings.Join(append(tt.answers, ""), "\n"), "pamtester", "sudo", p.name, "authenticate")
		if in := err == nil; in != tt.in {
			t.Errorf("%s: in %v, want %v: %s\n%s", tt.name, in, tt.in, out, s.log)
		}
		s.decided("user="+p.name, tt.reason)
	}
}

// withModule installs the PAM module and its helper, as the README says.
func (s *stage) withModule() {
	s.t.Helper()
	built.module.Do(func() {
		built.moduleSaid, built.moduleErr = exec.Command("make", "-s", "-C", "../..", "pam", "BIN="+built.dir).CombinedOutput()
	})
	if built.moduleErr != nil {
		s.t.Fatalf("%v: %s", built.moduleErr, built.moduleSaid)
	}
	unix, err := filepath.Glob("/usr/lib/*/security/pam_unix.so")
	if err != nil || len(unix) == 0 {
		s.t.Skip("no PAM modules are installed")
	}
	s.Must("install", "-D", "-m", "644", filepath.Join(built.dir, "pam_lockstep.so"), filepath.Join(filepath.Dir(unix[0]), "pam_lockstep.so"))
	s.Must("install", "-D", "-m", "755", filepath.Join(built.dir, "lockstep-pam"), "/usr/libexec/lockstep/lockstep-pam")
	s.Write("/etc/lockstep/pam.secret", s.secret+"\n", 0o600)
}

func TestOpenVPNWithThePAMModule(t *testing.T) {
	t.Parallel()
	s := newStage(t, "openvpn.md", "openvpn", "gcc")
	s.withModule()
	s.lockstep(3)
	server := s.openvpnServer()
	in, out := s.people[0], s.people[1]
	code := in.code(0)
	for _, tt := range []struct {
		name    string
		person  *person
		answers []string
		want    string
		reason  string
	}{
		{"wrong code", in, []string{in.password, "000000"}, openvpnRefused, "code wrong"},
		{"right", in, []string{in.password, code}, openvpnIn, "result=accept"},
		{"the same again", in, []string{in.password, code}, openvpnRefused, "replayed"},
		{"wrong password", in, []string{"wrong", in.code(1)}, openvpnRefused, "password wrong"},
		{"not in the group", out, []string{out.password, out.code(0)}, openvpnRefused, "not allowed"},
	} {
		if got := s.openvpn(tt.person, tt.answers...); got != tt.want {
			t.Errorf("%s: %q, want %q\n%s\n%s", tt.name, got, tt.want, server, s.log)
		}
		s.decided("user="+tt.person.name, tt.reason)
	}
}

// account gives a person an account on the machine, without a password of its own.
func (s *stage) account(p *person, groups string) {
	s.t.Helper()
	s.Must("useradd", "--no-create-home", "--home-dir", "/", "--shell", "/bin/sh", "--groups", groups, p.name)
}

func TestSSHAndSudo(t *testing.T) {
	t.Parallel()
	s := newStage(t, "sshd-sudo.md", "sshd", "ssh", "sudo", "gcc")
	s.withModule()
	s.lockstep(2)
	p := s.people[0]
	s.account(p, "sudo")
	s.Must("mkdir", "-p", "/run/sshd")
	s.Must("ssh-keygen", "-A")
	server := s.Serve(func(string) bool { return s.Listens("", 22) }, "/usr/sbin/sshd", "-D", "-e")

	first, second := p.code(0), p.code(1)
	c := testenv.AtTerminal(t, s.Command("ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "NumberOfPasswordPrompts=3", "-tt", p.name+"@"+applianceAddress))
	c.Expect("Password:")
	c.Type(p.password)
	c.Expect("Code:")
	c.Type("000000")
	c.Expect("Code:") // once more, for one that has taken what was typed for a password
	c.Type("000001")
	c.Expect("Password:")
	c.Type(p.password)
	c.Expect("Code:")
	c.Type(first)
	if c.Expect("$ ", "Password:") != "$ " {
		t.Fatalf("no shell: %s\n%s\n%s", c.Output(), server, s.log)
	}
	s.decided("user="+p.name, "code wrong")
	s.decided("user="+p.name, "result=accept", "calling=")

	// One code is for one login, at sudo too.
	c.Type("sudo -k id -u")
	c.Expect("password for")
	c.Type(p.password)
	c.Expect("Code:")
	c.Type(first)
	c.Expect("password for")
	s.decided("user="+p.name, "replayed")
	c.Type(p.password)
	c.Expect("Code:")
	c.Type(second)
	if got := c.Expect("0\r\n", "password for"); got != "0\r\n" {
		t.Errorf("no root: %s\n%s", c.Output(), s.log)
	}
}
