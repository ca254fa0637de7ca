package replyattr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc3162"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		typ   byte
		want  string // in hexadecimal
	}{
		{"Filter-Id", "admins", 11, "61646d696e73"},
		{"filter-id", "admins", 11, "61646d696e73"},
		{"Filter-Id", "0x41", 11, "30783431"},
		{"Class", "OU=vpn;", 25, "4f553d76706e3b"},
		{"Class", "0x0001ff", 25, "0001ff"},
		{"Session-Timeout", int64(3600), 27, "00000e10"},
		{"Session-Timeout", "3600", 27, "00000e10"},
		{"Session-Timeout", int64(1<<32 - 1), 27, "ffffffff"},
		{"Service-Type", "Administrative-User", 6, "00000006"},
		{"Service-Type", "administrative-user", 6, "00000006"},
		{"Service-Type", int64(99), 6, "00000063"},
		{"Framed-IP-Address", "192.0.2.1", 8, "c0000201"},
		{"Framed-IPv6-Address", "2001:db8::1", 168, "20010db8000000000000000000000001"},
		{"Framed-IPv6-Prefix", "2001:db8::/64", 97, "004020010db800000000"},
		{"Delegated-IPv6-Prefix", "2001:db8:ff00::/40", 123, "002820010db8ff"},
		{"Framed-IPv6-Prefix", "::/0", 97, "0000"},
		{"Tunnel-Type", "VLAN", 64, "0000000d"},
		{"Tunnel-Type:1", "VLAN", 64, "0100000d"},
		{"Tunnel-Medium-Type:31", "IEEE-802", 65, "1f000006"},
		{"Tunnel-Private-Group-Id", "20", 81, "3230"},
		{"Tunnel-Private-Group-Id:1", "20", 81, "013230"},
		{"Tunnel-Preference:2", int64(1<<24 - 1), 83, "02ffffff"},
		{"Cisco-AVPair", "shell:priv-lvl=15", 26, "000000090113" + hex.EncodeToString([]byte("shell:priv-lvl=15"))},
		{"ASA-Privilege-Level", int64(15), 26, "00000c04dc060000000f"},
		{"PaloAlto-User-Group", "vpn", 26, "00006375050576706e"},
		{"Attr-26.9.1", "0x61", 26, "00000009010361"},
		{"Attr-26.16777215.255", "0x61", 26, "00ffffffff0361"},
		{"attr-200", "0x00", 200, "00"},
	} {
		got, err := Parse(tt.name, tt.value)
		if err != nil || got.Type != tt.typ || hex.EncodeToString(got.Value) != tt.want || got.Len() != 2+len(tt.want)/2 {
			t.Errorf("Parse(%q, %v) = %d %x, %v; want %d %s", tt.name, tt.value, got.Type, got.Value, err, tt.typ, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const secret = "hunter2canary"
	own, key := "the server's own", "a password or a key"
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"Filter", secret, "no such attribute"},
		{"", secret, "no such attribute"},
		{"User-Name", secret, "no such attribute"},
		{"Attr", "0x61", "no such attribute"},
		{"Attr-0", "0x61", `want "Attr-TYPE"`},
		{"Attr-256", "0x61", "from 1 to 255"},
		{"Attr-26", "0x61", `want "Attr-TYPE"`},
		{"Attr-26.9", "0x61", `want "Attr-TYPE"`},
		{"Attr-26.9.256", "0x61", "from 1 to 255"},
		{"Attr-26.0.1", "0x61", `want "Attr-TYPE"`},
		{"Attr-26.16777216.1", "0x61", `want "Attr-TYPE"`},
		{"Attr-27.9.1", "0x61", `want "Attr-TYPE"`},
		{"Attr-26.9.1.1", "0x61", `want "Attr-TYPE"`},
		{"Attr--1", "0x61", `want "Attr-TYPE"`},
		{"Attr-26.9.1:1", "0x61", "has no tag"},
		{"Attr-200", "61", "hexadecimal"},
		{"Attr-200", "0x6", "hexadecimal"},
		{"Attr-200", "0x", "hexadecimal"},
		{"Attr-200", int64(1), "want a string"},

		{"Attr-2", "0x61", key},
		{"Attr-3", "0x61", key},
		{"Attr-60", "0x61", key},
		{"Attr-69", "0x61", key},
		{"Attr-79", "0x61", key},
		{"Attr-24", "0x61", own},
		{"Attr-33", "0x61", own},
		{"attr-80", "0x61", own},
		{"Attr-26.311.16", "0x61", key},
		{"Attr-26.311.17", "0x61", key},
		{"Attr-26.311.26", "0x61", key},

		{"Filter-Id", "", "not empty"},
		{"Filter-Id", "a\x00b", "without NUL"},
		{"Filter-Id", "a\xff", "UTF-8"},
		{"Filter-Id", int64(1), "want a string, in quotes"},
		{"Filter-Id", true, "want a string, in quotes"},
		{"Filter-Id", strings.Repeat("x", 254), "want 253 octets at most"},
		{"Cisco-AVPair", strings.Repeat("x", 248), "want 247 octets at most"},
		{"Tunnel-Private-Group-Id:1", strings.Repeat("x", 253), "want 253 octets at most"},
		{"Filter-Id:1", "x", "has no tag"},
		{"Tunnel-Type:0", "VLAN", "want a tag from 1 to 31"},
		{"Tunnel-Type:32", "VLAN", "want a tag from 1 to 31"},
		{"Tunnel-Type:", "VLAN", "want a tag from 1 to 31"},
		{"Tunnel-Type", int64(1 << 24), "from 0 to 16777215"},
		{"Tunnel-Private-Group-Id", "\x01x", "control character"},
		{"Session-Timeout", int64(-1), "from 0 to 4294967295"},
		{"Session-Timeout", int64(1 << 32), "from 0 to 4294967295"},
		{"Session-Timeout", secret, "from 0 to 4294967295"},
		{"Session-Timeout", 1.5, "from 0 to 4294967295"},
		{"Tunnel-Medium-Type", secret, `want a whole number from 0 to 16777215, or one of "IPv4", "IPv6", "IEEE-802"`},
		{"Framed-IP-Address", "2001:db8::1", "want an IPv4 address"},
		{"Framed-IP-Address", secret, "want an IPv4 address"},
		{"Framed-IPv6-Address", "192.0.2.1", "want an IPv6 address"},
		{"Framed-IPv6-Address", "fe80::1%eth0", "want an IPv6 address"},
		{"Framed-IPv6-Prefix", "2001:db8::1/64", "want an IPv6 network"},
		{"Framed-IPv6-Prefix", "192.0.2.0/24", "want an IPv6 network"},
	} {
		_, err := Parse(tt.name, tt.value)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("Parse(%q, %v): %v, want %q", tt.name, tt.value, err, tt.want)
		}
		if unknown := tt.want == ErrUnknown.Error(); errors.Is(err, ErrUnknown) != unknown {
			t.Errorf("Parse(%q): unknown is %v", tt.name, !unknown)
		}
	}
}

// Names and numbers of what must never be given, whatever the dictionary says.
func TestOwnedAttributesAreNotInTheDictionary(t *testing.T) {
	for _, s := range known {
		if why := owned(s.vendor, s.number); why != "" {
			t.Errorf("%s %s", s.name, why)
		}
	}
	if len(byName) != len(known) || len(Names()) != len(known) {
		t.Errorf("%d names for %d attributes", len(byName), len(known))
	}
}

// layeh.com/radius reads what is written here.
func TestOthersReadIt(t *testing.T) {
	p := layeh.New(layeh.CodeAccessAccept, []byte("secret"))
	for name, value := range map[string]any{"Filter-Id": "f", "Tunnel-Private-Group-Id:3": "20", "Tunnel-Type:3": "VLAN", "Framed-IPv6-Prefix": "2001:db8::/56"} {
		a, err := Parse(name, value)
		if err != nil {
			t.Fatal(err)
		}
		p.Add(layeh.Type(a.Type), layeh.Attribute(a.Value))
	}
	tag, group := rfc2868.TunnelPrivateGroupID_GetString(p)
	typeTag, tunnel := rfc2868.TunnelType_Get(p)
	prefix := rfc3162.FramedIPv6Prefix_Get(p)
	if rfc2865.FilterID_GetString(p) != "f" || tag != 3 || group != "20" || typeTag != 3 || tunnel != 13 || prefix.String() != "2001:db8::/56" {
		t.Errorf("read %q, %d %q, %d %d, %v", rfc2865.FilterID_GetString(p), tag, group, typeTag, tunnel, prefix)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range known {
		f.Add(s.name, "0x61", int64(1))
	}
	for _, name := range []string{"Attr-26.9.1", "Attr-26.311.17", "Tunnel-Type:1", "Attr-24", "attr-26.", ":"} {
		f.Add(name, "2001:db8::/64", int64(-1))
	}
	f.Fuzz(func(t *testing.T, name, text string, n int64) {
		for _, value := range []any{text, n} {
			a, err := Parse(name, value)
			if err != nil {
				continue
			}
			if len(a.Value) < 1 || len(a.Value) > 253 || a.Type == 0 || owned(0, a.Type) != "" {
				t.Errorf("Parse(%q, %q) = %+v", name, value, a)
			}
			if a.Type == 26 && (len(a.Value) < 7 || a.Value[0] != 0 || int(a.Value[5]) != len(a.Value)-4 || bytes.HasPrefix(a.Value, []byte{0, 0, 1, 55, 16})) {
				t.Errorf("Parse(%q, %q) = %x", name, value, a.Value)
			}
		}
	})
}
