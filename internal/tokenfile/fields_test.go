package tokenfile

import "testing"

func TestFromBase32(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"as printed", key20b32, key20},
		{"as typed", "gezd gnbv\tgy3t-qojq gezd gnbv gy3t qojq", key20},
		{"padded", "GEZDGNBVGY3TQOJQGE======", "12345678901"},
		{"without padding", "GEZDGNBVGY3TQOJQGE", "12345678901"},
		{"a digit that is none", "GEZDGNBVGY3TQOJ1", ""},
		{"a length that cannot be: 1", "GEZDGNBVG", ""},
		{"a length that cannot be: 3", "GEZDGNBVGY3", ""},
		{"a length that cannot be: 6", "GEZDGNBVGY3TQO", ""},
		{"padding in the middle", "GEZDGNBV=GY3TQOJQ", ""},
		{"a letter like another", "GEZDGNBVGY3TQOJ\u0131", ""},
		{"NUL", "GEZDGNBVGY3TQOJQ\x00", ""},
	} {
		got, err := fromBase32(tt.text)
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestLogin(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a name", "alice", "alice"},
		{"a uid", "UID=alice,OU=people,DC=example,DC=com", "alice"},
		{"a token below its user", "cn=phone,uid=alice,dc=example,dc=com", "alice"},
		{"a uid beside a cn", "cn=Alice A+uid=alice,dc=example,dc=com", "alice"},
		{"a cn", "CN=Alice\\, A,CN=Users,DC=example,DC=com", "Alice, A"},
		{"a container", "ou=x,cn=users,dc=example,dc=com", ""},
		{"neither", "DC=example-bank,DC=net", ""},
		{"BER", "uid=#0403616263", ""},
		{"no DN after all", "a=b,c", "a=b,c"},
		{"nothing", "", ""},
	} {
		if got := login(tt.text); got != tt.want {
			t.Errorf("%s: %q is %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
}

func TestFromHex(t *testing.T) {
	for text, want := range map[string]string{key20hex: key20, "4A4b": "JK", key20b32: key20, "31323": "", "z1": "", "!": ""} {
		if got, err := fromHex(text); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}
