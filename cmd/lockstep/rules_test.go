package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// siteRules are rules about the groups of groupsAtSlapd.
const siteRules = `
[[radius.rule]]
name   = "contractors"
group  = "cn=contractors,ou=groups,dc=example,dc=org"
deny   = true
[[radius.rule]]
name   = "admins"
group  = ["cn=missing,ou=groups,dc=example,dc=org", "cn=top,ou=groups,dc=example,dc=org"]
[radius.rule.reply]
Class        = "OU=admins;"
Filter-Id    = ["acl-b", "acl-a"]
Service-Type = "Administrative-User"
Session-Timeout = 3600
Framed-IP-Address = "192.0.2.9"
Framed-IPv6-Prefix = "2001:db8::/64"
"Tunnel-Type:1" = "VLAN"
"Tunnel-Medium-Type:1" = "IEEE-802"
"Tunnel-Private-Group-Id:1" = "20"
Cisco-AVPair = ["shell:priv-lvl=15", "shell:roles=admin"]
ASA-Group-Policy = "admins"
ASA-Privilege-Level = 15
Fortinet-Group-Name = "fw-admins"
PaloAlto-User-Group = "pan-admins"
F5-LTM-User-Role = "Resource-Admin"
"Attr-26.14988.3" = "0x66756c6c"
[[radius.rule]]
name   = "direct only"
group  = "cn=middle,ou=groups,dc=example,dc=org"
nested = false
deny   = true
[[radius.rule]]
name   = "vpn"
group  = "cn=vpn,ou=groups,dc=example,dc=org"
client = ["plain", "code"]
reply  = { Filter-Id = "vpn" }
[[radius.rule]]
name   = "closed"
client = "separator"
deny   = true
`

// groupsAtSlapd has alice and erin in top, through middle and bottom, bob in contractors
// and in vpn, and carol in vpn.
const groupsAtSlapd = `dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=bottom,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: bottom
member: uid=alice,ou=people,dc=example,dc=org
member: uid=erin,ou=people,dc=example,dc=org
member: uid=frank,ou=people,dc=example,dc=org

dn: cn=middle,ou=groups,dc=example,dc=org
objectClass: groupOfUniqueNames
cn: middle
uniqueMember: cn=bottom,ou=groups,dc=example,dc=org

dn: cn=top,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: top
member: cn=middle,ou=groups,dc=example,dc=org

dn: cn=contractors,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: contractors
member: uid=bob,ou=people,dc=example,dc=org

dn: cn=vpn,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: vpn
member: uid=bob,ou=people,dc=example,dc=org
member: uid=carol,ou=people,dc=example,dc=org
`

// ruledSite is an installation with rules and OpenLDAP behind it.
func ruledSite(t *testing.T, rules string, people ...user) (*site, *testenv.SlapdServer) {
	t.Helper()
	testenv.Tool(t, "radclient")
	slapd := testenv.Slapd(t)
	for _, u := range people {
		slapd.Add(t, entry(u)+"objectClass: oathTOTPToken\noathSecret: "+u.base32()+"\n")
	}
	slapd.Add(t, groupsAtSlapd)
	return newSite(t, rules+slapdDirectory(slapd), map[string]string{"ldap.secret": slapd.ServicePassword + "\n"}), slapd
}

// adminAttributes are those of the rule "admins" as radclient prints them.
var adminAttributes = map[string][]string{
	"Class":                     {"0x4f553d61646d696e733b"},
	"Filter-Id":                 {`"acl-b"`, `"acl-a"`},
	"Service-Type":              {"Administrative-User"},
	"Session-Timeout":           {"3600"},
	"Framed-IP-Address":         {"192.0.2.9"},
	"Framed-IPv6-Prefix":        {"2001:db8::/64"},
	"Tunnel-Type:1":             {"VLAN"},
	"Tunnel-Medium-Type:1":      {"IEEE-802"},
	"Tunnel-Private-Group-Id:1": {`"20"`},
	"Cisco-AVPair":              {`"shell:priv-lvl=15"`, `"shell:roles=admin"`},
	"ASA-Group-Policy":          {`"admins"`},
	"ASA-Privilege-Level":       {"15"},
	"Fortinet-Group-Name":       {`"fw-admins"`},
	"PaloAlto-User-Group":       {`"pan-admins"`},
	"F5-LTM-User-Role":          {"Resource-Admin"},
	"Mikrotik-Group":            {`"full"`},
}

// wantAttributes checks all attributes of a reply but Message-Authenticator.
func wantAttributes(t *testing.T, what string, r testenv.RadclientReply, want map[string][]string) {
	t.Helper()
	delete(r.Attributes, "Message-Authenticator")
	for name, values := range want {
		if !slices.Equal(r.Attributes[name], values) {
			t.Errorf("%s: %s is %q, want %q", what, name, r.Attributes[name], values)
		}
	}
	if len(r.Attributes) != len(want) {
		t.Errorf("%s: attributes %v, want %v", what, r.Attributes, want)
	}
}

// decided reports whether the log has a decision about a user with these parts.
func (s *site) decided(user string, parts ...string) bool {
	// The line may come a moment after the reply.
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if s.has(user, parts) {
			return true
		}
	}
	return s.has(user, parts)
}

func (s *site) has(user string, parts []string) bool {
	for line := range strings.Lines(s.log.String()) {
		all := strings.Contains(line, "msg=decision") && strings.Contains(line, "user="+user+" ")
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

func TestRulesByGroup(t *testing.T) {
	t.Parallel()
	alice, bob, carol, dave, erin, frank := newUser("alice"), newUser("bob"), newUser("carol"), newUser("dave"), newUser("erin"), newUser("frank")
	s, slapd := ruledSite(t, siteRules, alice, bob, carol, dave, erin, frank)
	none, vpn := map[string][]string{}, map[string][]string{"Filter-Id": {`"vpn"`}}

	t.Run("three groups deep", func(t *testing.T) {
		wantAttributes(t, "alice", s.must(plainClient, "alice", alice.password+alice.code(0), accept), adminAttributes)
		if !s.decided("alice", "result=accept", "rule=admins") {
			t.Errorf("the log does not say which rule:\n%s", s.tail())
		}
	})
	t.Run("by challenge", func(t *testing.T) {
		s.calling = "challenge"
		first := s.must(challengeClient, "erin", erin.password, challenge)
		if _, early := first.Attributes["Class"]; early {
			t.Error("the challenge has the attributes")
		}
		second := s.radclient(challengeClient, "erin", erin.code(0), "State = "+first.Attributes["State"][0])
		if second.Code != accept {
			t.Fatalf("%s\n%s", second.Output, s.tail())
		}
		wantAttributes(t, "erin", second, adminAttributes)
	})
	t.Run("by the second code of a resynchronization", func(t *testing.T) {
		s.calling = "resync"
		one, two := frank.code(20), frank.code(21)
		first := s.must(challengeClient, "frank", frank.password+one, challenge)
		second := s.radclient(challengeClient, "frank", two, "State = "+first.Attributes["State"][0])
		if second.Code != accept || !s.decided("frank", "resynchronized", "rule=admins") {
			t.Fatalf("%s\n%s", second.Output, s.tail())
		}
		wantAttributes(t, "frank", second, adminAttributes)
	})
	t.Run("refused, and the code is not spent", func(t *testing.T) {
		s.calling = "refused"
		code := bob.code(0)
		wantAttributes(t, "bob", s.must(plainClient, "bob", bob.password+code, reject), none)
		wantAttributes(t, "bob, code alone", s.must(codeClient, "bob", code, reject), none)
		if !s.decided("bob", "result=reject", "not allowed (rule contractors), code right and not spent", "rule=contractors") {
			t.Errorf("the log does not say why:\n%s", s.tail())
		}
		slapd.Modify(t, "dn: cn=contractors,ou=groups,dc=example,dc=org\nchangetype: modify\nreplace: member\nmember: uid=nobody,ou=people,dc=example,dc=org\n")
		wantAttributes(t, "bob, contractor no more", s.must(plainClient, "bob", bob.password+code, accept), vpn)
	})
	t.Run("per client", func(t *testing.T) {
		s.calling = "client"
		wantAttributes(t, "carol at plain", s.must(plainClient, "carol", carol.password+carol.code(0), accept), vpn)
		wantAttributes(t, "carol at separator", s.must(separatorClient, "carol", carol.password+","+carol.code(1), reject), none)
		wantAttributes(t, "carol at code", s.must(codeClient, "carol", carol.code(1), accept), vpn)
		wantAttributes(t, "dave at plain", s.must(plainClient, "dave", dave.password+dave.code(0), accept), none)
		if s.decided("dave", "rule=") {
			t.Errorf("a rule where none matches:\n%s", s.tail())
		}
	})
	t.Run("doctor", func(t *testing.T) {
		out, _ := program("doctor", "-config", s.dir+"/lockstep.toml").CombinedOutput()
		if !strings.Contains(string(out), `BAD  rule admins: group "cn=missing,ou=groups,dc=example,dc=org" is not there`) || strings.Contains(string(out), "cn=top") {
			t.Errorf("doctor says\n%s", out)
		}
	})
	t.Run("reloaded", func(t *testing.T) {
		s.calling = "reload"
		s.write("lockstep.toml", fmt.Sprintf(siteTOML, "[[radius.rule]]\ndeny = true\n"+slapdDirectory(slapd), s.addr))
		before := strings.Count(s.log.String(), "configuration in use")
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.eventually("the new rules", func() bool { return strings.Count(s.log.String(), "configuration in use") > before })
		s.must(plainClient, "dave", dave.password+dave.code(1), reject)
		if !s.decided("dave", `reason="not allowed (rule 1), code right and not spent"`) {
			t.Errorf("the log:\n%s", s.tail())
		}
	})
}

// Where groups cannot be asked about, nobody is let in or refused, and the code
// stays good.
func TestGroupsThatCannotBeAskedAbout(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s, slapd := ruledSite(t, siteRules, alice)
	code := alice.code(1)
	// The code alone needs no bind, so that groups are all there is to ask about.
	slapd.Freeze(t)
	s.must(codeClient, "alice", code, silence)
	slapd.Thaw(t)
	if !strings.Contains(s.log.String(), "cannot decide, no reply sent") || !strings.Contains(s.log.String(), "cn=contractors") {
		t.Errorf("the log does not say why:\n%s", s.tail())
	}
	s.eventually("the code to be taken after all", func() bool {
		r := s.radclient(codeClient, "alice", code)
		if r.Code == accept {
			wantAttributes(t, "alice", r, adminAttributes)
		}
		return r.Code == accept
	})
}

// A service account that may not read groups sees no members in them. Where one of
// them is to keep people out, nobody can tell.
func TestGroupsThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	slapd := testenv.Slapd(t)
	slapd.Add(t, entry(alice)+"objectClass: oathTOTPToken\noathSecret: "+alice.base32()+"\n\n"+groupsAtSlapd)
	// People may read their own entry and no other.
	self := "uid=alice,ou=people,dc=example,dc=org"
	directory := fmt.Sprintf("[directory]\nurl = [%q]\nbase_dn = %q\nbind_dn = %q\nbind_password_file = \"ldap.secret\"", slapd.URL, self, self)
	s := newSite(t, siteRules+directory, map[string]string{"ldap.secret": alice.password})
	if r := s.radclient(plainClient, "alice", alice.password+alice.code(0)); r.Code != "" {
		t.Errorf("%s, want no answer", r.Code)
	}
	out, _ := program("doctor", "-config", s.dir+"/lockstep.toml").CombinedOutput()
	for _, want := range []string{"BAD  rule contractors: ", "BAD  rule vpn: ", "the service account may not read it"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("doctor says nothing of %q:\n%s", want, out)
		}
	}
	if n := strings.Count(s.log.String(), "group is not there, or the service account may not read it"); n != 5 {
		t.Errorf("said %d times, want once for each group:\n%s", n, s.tail())
	}
}
