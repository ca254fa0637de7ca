package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want, why string }{
		{name: "plain", in: "alice", want: "alice"},
		{name: "case", in: "ALICE", want: "alice"},
		{name: "spaces", in: "  alice \u00a0 b  c ", want: "alice b c"},
		{name: "ASCII spaces", in: " Alice   b ", want: "alice b"},
		{name: "full width", in: "ｕ１", want: "u1"},
		{name: "sharp s", in: "Straße", want: "strasse"},
		{name: "composed and not", in: "e\u0301", want: "\u00e9"},
		{name: "ligature", in: "ﬁ", want: "fi"},
		{name: "filter characters", in: "a*)(uid=*", want: "a*)(uid=*"},
		{name: "a realm", in: "Alice@Example.org", want: "alice@example.org"},
		{name: "as long as can be", in: strings.Repeat("x", 253), want: strings.Repeat("x", 253)},
		{name: "empty", in: "", why: "empty"},
		{name: "blank", in: "  \u3000", why: "empty"},
		{name: "too long", in: strings.Repeat("x", 254), why: "longer"},
		{name: "too long when spelt out", in: strings.Repeat("\ufdfa", 80), why: "longer"},
		{name: "not UTF-8", in: "al\xffice", why: "UTF-8"},
		{name: "NUL", in: "alice\x00", why: "control"},
		{name: "newline at the end", in: "alice\n", why: "control"},
		{name: "escape", in: "\x1b[2Jalice", why: "control"},
		{name: "C1 control", in: "a\u0085b", why: "control"},
		{name: "soft hyphen", in: "al\u00adice", why: "seen"},
		{name: "right to left override", in: "\u202eecila", why: "seen"},
		{name: "zero width joiner", in: "al\u200dice", why: "seen"},
		{name: "line separator", in: "a\u2028b", why: "seen"},
		{name: "filler", in: "alice\u3164", why: "seen"},
		{name: "variation selector", in: "alice\ufe0f", why: "seen"},
		{name: "private use", in: "alice\ue000", why: "seen"},
	} {
		got, err := Canonical(tt.in)
		var refused *NameError
		if tt.why == "" && (err != nil || got != tt.want) ||
			tt.why != "" && (!errors.As(err, &refused) || !strings.Contains(refused.Why, tt.why)) {
			t.Errorf("%s: Canonical(%q) = %q, %v; want %q, %q", tt.name, tt.in, got, err, tt.want, tt.why)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"alice", "ＡＬＩＣＥ", "Straße", "e\u0301", "\u0345\u03b1", "a\u3000b", "\ufdfa", "\u1e9e", "İ", "a\xff", ""} {
		f.Add(seed)
	}
	f.Add("A.b-c_d\\e@x~!")
	f.Fuzz(func(t *testing.T, name string) {
		got, err := Canonical(name)
		if slow, err2 := canonical(name); slow != got || (err == nil) != (err2 == nil) {
			t.Errorf("Canonical(%q) = %q, %v; the long way %q, %v", name, got, err, slow, err2)
		}
		if err != nil {
			if got != "" || !errors.As(err, new(*NameError)) {
				t.Errorf("Canonical(%q) = %q, %v", name, got, err)
			}
			return
		}
		if again, err := Canonical(got); err != nil || again != got {
			t.Errorf("Canonical(%q) = %q, whose Canonical is %q, %v", name, got, again, err)
		}
		if got == "" || len(got) > 253 || !utf8.ValidString(got) || strings.TrimSpace(got) != got || strings.Contains(got, "  ") {
			t.Errorf("Canonical(%q) = %q", name, got)
		}
	})
}

func TestDomains(t *testing.T) {
	t.Parallel()
	file := ldifFile(t, inFile("alice", aliceInFile)+inFile("carol", aliceInFile, "entryUUID: 3")+
		strings.ReplaceAll(inFile("x", aliceInFile, "entryUUID: 4"), "uid: x", "uid: carol@example.org")+
		strings.ReplaceAll(inFile("y", aliceInFile, "entryUUID: 5"), "uid: y", "uid: dave@example.org")+
		strings.ReplaceAll(inFile("z", aliceInFile, "entryUUID: 6"), "uid: z", "uid: eve@other.org"))
	d := refreshed(t, Config{URLs: []string{"ldif:" + file}, BaseDN: "dc=example,dc=org"})
	for _, tt := range []struct{ typed, name, canonical string }{
		{"alice", "alice", "alice"},
		{`EXAMPLE\Alice`, "alice", "alice"},
		{`example.org\alice`, "alice", "alice"},
		{"alice@Example.ORG", "alice", "alice"},
		{"ａｌｉｃｅ＠ｅｘａｍｐｌｅ", "alice", "alice"},
		{"dave@example.org", "dave@example.org", "dave@example.org"},
		{"dave", "", "dave"},
		{"eve@other.org", "eve@other.org", "eve@other.org"},
		{"alice@other.org", "", "alice@other.org"},
		{`OTHER\alice`, "", `other\alice`},
		{`EXAMPLE\EXAMPLE\alice`, "", `example\alice`},
		{`EXAMPLE\alice@example.org`, "", "alice@example.org"},
		{"alice@example.org@example.org", "", "alice@example.org"},
		{"nobody@example.org", "", "nobody"},
		{"@example.org", "", "@example.org"},
		{`EXAMPLE\`, "", `example\`},
	} {
		a, err := d.Lookup(tt.typed)
		if tt.name == "" && !errors.Is(err, ErrNoAccount) || tt.name != "" && (err != nil || a.Name != tt.name) {
			t.Errorf("Lookup(%q) = %q, %v; want %q", tt.typed, a.Name, err, tt.name)
		}
		if got, err := d.Canonical(tt.typed); err != nil || got != tt.canonical {
			t.Errorf("Canonical(%q) = %q, %v; want %q", tt.typed, got, err, tt.canonical)
		}
	}
	if _, err := d.Lookup("carol@example.org"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("carol of the domain, and somebody called that: %v, want ErrAmbiguous", err)
	}
	none := refreshed(t, Config{URLs: []string{"ldif:" + file}, BaseDN: "dc=example,dc=org", Domains: []string{}})
	if has(none, "alice@example.org") || !has(none, "carol@example.org") {
		t.Error("a domain is taken off though none is configured")
	}
	if _, err := Open(Config{URLs: []string{"ldif:" + file}, Domains: []string{`a\b`}}); err == nil {
		t.Error(`a domain with a backslash is taken`)
	}
}

func TestPlainNamesCostNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Canonical("alice@example.org") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
