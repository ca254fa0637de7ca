package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ruled is a configuration with the clients "vpn" and "switch" and rules that
// begin on line 14.
func ruled(rules string) string {
	return with("client", "[[radius.client]]\nname = \"switch\"\naddress = \"198.51.100.0/24\"\nsecret_file = \"vpn.secret\"\n"+rules)
}

func TestRules(t *testing.T) {
	c, err := load(t, ruled(`
[[radius.rule]]
name = "admins"
group = ["cn=admins,dc=x", "cn=ops,dc=x"]
nested = false
client = ["switch"]
[radius.rule.reply]
Service-Type = "Administrative-User"
Class = ["b", "a"]
"Tunnel-Private-Group-Id:1" = "20"
Cisco-AVPair = "shell:priv-lvl=15"
[[radius.rule]]
group = "cn=vpn,dc=x"
client = "vpn"
reply = { Filter-Id = "f", Class = "c" }
[[radius.rule]]
deny = true
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Radius.Rules {
		line := fmt.Sprintf("%s|%v|%v|%v|%v|%v|%v", r.Name, r.Groups, r.Nested, r.Clients, r.Deny, r.At("vpn"), r.At("switch"))
		for _, a := range r.Reply {
			line += fmt.Sprintf("|%s %d %q", a.Name, a.Type, a.Value)
		}
		got = append(got, line)
	}
	want := []string{
		`admins|[cn=admins,dc=x cn=ops,dc=x]|false|[switch]|false|false|true` +
			`|Service-Type 6 "\x00\x00\x00\x06"|Class 25 "b"|Class 25 "a"|Tunnel-Private-Group-Id 81 "\x0120"|Cisco-AVPair 26 "\x00\x00\x00\t\x01\x13shell:priv-lvl=15"`,
		`2|[cn=vpn,dc=x]|true|[vpn]|false|true|false|Filter-Id 11 "f"|Class 25 "c"`,
		`3|[]|true|[]|true|true|true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if w := c.Warnings(); w != nil {
		t.Errorf("warnings %q", w)
	}
}

func TestRuleFaults(t *testing.T) {
	rule := func(lines ...string) string { return ruled("[[radius.rule]]\n" + strings.Join(lines, "\n")) }
	reply := func(lines ...string) string {
		return rule("[radius.rule.reply]\n" + strings.Join(lines, "\n"))
	}
	long := strings.Repeat("x", 253)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"an empty rule lets everybody in", rule(), nil},
		{"a rule with single brackets", ruled("[radius.rule]\ndeny = true"), []string{"c.toml:14: radius.rule: want a table with two pairs of brackets for each: [[radius.rule]]"}},
		{"a misspelt setting", rule(`groups = "cn=x"`), []string{`c.toml:15: radius.rule[0].groups: no such setting; did you mean "group"?`}},
		{"an empty name", rule(`name = ""`), []string{"c.toml:15: radius.rule[0].name: want 1 to 64 printable characters"}},
		{"a group that is no DN", rule(`group = "admins"`), []string{`c.toml:15: radius.rule[0].group: want the DN of a group, such as "cn=admins,ou=groups,dc=example,dc=com"`}},
		{"a group in hexadecimal", rule(`group = ["cn=a", "cn=#0403616263"]`), []string{`c.toml:15: radius.rule[0].group[1]: want the DN of a group, such as "cn=admins,ou=groups,dc=example,dc=com"`}},
		{"no group at all", rule(`group = ""`), []string{`c.toml:15: radius.rule[0].group: want a text such as "cn=admins,ou=groups,dc=example,dc=com", or no such setting`}},
		{"no groups at all", rule(`group = []`), []string{`c.toml:15: radius.rule[0].group: want one at least, such as ["cn=admins,ou=groups,dc=example,dc=com"], or no such setting`}},
		{"an empty group among others", rule(`group = ["cn=x", ""]`), []string{`c.toml:15: radius.rule[0].group[1]: want the DN of a group, such as "cn=admins,ou=groups,dc=example,dc=com"`}},
		{"a group that is a number", rule(`group = 3`), []string{`c.toml:15: radius.rule[0].group: want a list of strings, such as ["one", "two"]`}},
		{"no clients at all", rule(`client = []`), []string{`c.toml:15: radius.rule[0].client: want one at least, such as ["vpn"], or no such setting`}},
		{"an unknown client", rule(`client = ["vpn", "swich", "zzzzzz"]`), []string{
			`c.toml:15: radius.rule[0].client[1]: no radius.client has this name; did you mean "switch"?`,
			`c.toml:15: radius.rule[0].client[2]: no radius.client has this name`}},
		{"an unknown client alone", rule(`client = "vpm"`), []string{`c.toml:15: radius.rule[0].client: no radius.client has this name; did you mean "vpn"?`}},
		{"deny with attributes", rule("deny = true", "reply = { Class = \"a\" }"), []string{"c.toml:15: radius.rule[0].deny: a refusal has no attributes: take deny or reply away"}},
		{"a reply that is no table", rule(`reply = "x"`), []string{"c.toml:15: radius.rule[0].reply: want a table: [radius.rule[0].reply]"}},

		{"a misspelt attribute", reply(`Filter-ID = "a"`, `Filterid = "`+canary+`"`), []string{`c.toml:17: radius.rule[0].reply.Filterid: no such attribute; did you mean "Filter-Id"?`}},
		{"an attribute without its vendor", reply(`Access-Profile = ["a", "b"]`), []string{`c.toml:16: radius.rule[0].reply.Access-Profile: no such attribute; did you mean "Fortinet-Access-Profile"?`}},
		{"an attribute with a tag, misspelt", reply(`"Tunnel-Typ:1" = "VLAN"`), []string{`c.toml:16: radius.rule[0].reply."Tunnel-Typ:1": no such attribute; did you mean "Tunnel-Type"?`}},
		{"an attribute of nobody", reply(`zzz = 1`), []string{`c.toml:16: radius.rule[0].reply.zzz: no such attribute; those without a name here are given by number, such as "Attr-26.9.1" = "0x6162"`}},
		{"a value out of range", reply(`Session-Timeout = -1`), []string{"c.toml:16: radius.rule[0].reply.Session-Timeout: want a whole number from 0 to 4294967295"}},
		{"values of a list", reply("Framed-Pool = [", `"a",`, "3,", `""]`), []string{
			"c.toml:18: radius.rule[0].reply.Framed-Pool[1]: want a string, in quotes",
			"c.toml:19: radius.rule[0].reply.Framed-Pool[2]: want a text that is not empty"}},
		{"an empty list", reply("Class = []"), []string{"c.toml:16: radius.rule[0].reply.Class: want one value at least, or no such setting"}},
		{"a table of attributes", reply("[radius.rule.reply.Class]", "a = 1"), []string{"c.toml:16: radius.rule[0].reply.Class: want a string, in quotes"}},
		{"what the server sets itself", reply(`Attr-80 = "0x00"`), []string{"c.toml:16: radius.rule[0].reply.Attr-80: is the server's own: it sets it itself"}},
		{"a key", reply(`"Attr-26.311.16" = "0x00"`), []string{`c.toml:16: radius.rule[0].reply."Attr-26.311.16": carries a password or a key, which rules cannot give`}},
		{"as many octets as there may be", reply(`Class = [` + strings.Repeat(`"`+long+`",`, 11) + `"` + long[:193] + `"]`), nil},
		{"one octet more", reply(`Class = [` + strings.Repeat(`"`+long+`",`, 11) + `"` + long[:194] + `"]`), []string{
			"c.toml:15: radius.rule[0].reply: 12 attributes of 3001 octets: want 100 and 3000 at most"}},
		{"too many", reply(`Class = [` + strings.Repeat(`"a",`, 101) + `]`), []string{
			"c.toml:15: radius.rule[0].reply: 101 attributes of 303 octets: want 100 and 3000 at most"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := faultLines(t, tt.text)
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults are\n%s\nwant\n%s\nof\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), tt.text)
			}
			if strings.Contains(strings.Join(got, "\n"), canary) {
				t.Error("a fault shows a value")
			}
		})
	}
}

func TestRulesThatAreNeverReached(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		want        []string
	}{
		{"after one for everybody", "name = \"all\"\n[[radius.rule]]\nname = \"late\"\ngroup = \"cn=x\"", []string{`"late" is never reached: rule "all"`}},
		{"after one for everybody at its client", "name = \"all\"\nclient = \"vpn\"\n[[radius.rule]]\nname = \"late\"\nclient = \"vpn\"", []string{`"late" is never reached: rule "all"`}},
		{"after one for everybody at another client", "client = \"vpn\"\n[[radius.rule]]\nclient = \"switch\"", nil},
		{"for more clients than one for everybody", "client = \"vpn\"\n[[radius.rule]]\nclient = [\"vpn\", \"switch\"]", nil},
		{"after one for a group", "group = \"cn=x\"\n[[radius.rule]]\ngroup = \"cn=x\"", nil},
	} {
		c, err := load(t, ruled("[[radius.rule]]\n"+tt.rules))
		if err != nil {
			t.Fatal(err)
		}
		got := c.Warnings()
		if len(got) != len(tt.want) || len(got) == 1 && !strings.Contains(got[0], tt.want[0]) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
