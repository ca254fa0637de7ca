package pam

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		args string
		want options
		err  string
	}{
		{"", options{config: DefaultConfig, digits: 6}, ""},
		{"config=/etc/other.toml nullok echo_code forward_pass digits=8", options{config: "/etc/other.toml", echoCode: true, nullok: true, forwardPass: true, digits: 8}, ""},
		{"one_prompt try_first_pass", options{config: DefaultConfig, ask: onePrompt, firstPass: tryFirstPass, digits: 6}, ""},
		{"code_only use_first_pass", options{config: DefaultConfig, ask: codeOnly, firstPass: useFirstPass, digits: 6}, ""},
		{"one_prompt one_prompt", options{config: DefaultConfig, ask: onePrompt, digits: 6}, ""},
		{"one_promt", options{}, `"one_promt": no such option`},
		{"nullok=yes", options{}, `"nullok=...": no such option`},
		{"secret=hunter2", options{}, `"secret=...": no such option`},
		{"config", options{}, "config: want an absolute path"},
		{"config=", options{}, "config: want an absolute path"},
		{"config=pam.toml", options{}, "config: want an absolute path"},
		{"digits=7", options{}, "digits: want digits=6 or digits=8"},
		{"one_prompt code_only", options{}, "one_prompt and code_only: want one of them"},
		{"try_first_pass use_first_pass", options{}, "try_first_pass and use_first_pass: want one of them"},
		{"\x1b]0;x\a", options{}, `"\x1b]0;x\a": no such option`},
		{"a b", options{}, "\"a\": no such option\n\"b\": no such option"},
	} {
		got, err := parseOptions(strings.Fields(tt.args))
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("parseOptions(%q) = %+v, %v; want %+v", tt.args, got, err, tt.want)
		case tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)):
			t.Errorf("parseOptions(%q): %v, want %s", tt.args, err, tt.err)
		}
	}
}

func TestParseStart(t *testing.T) {
	s, err := ParseStart([]byte("sshd\x00alice\x00192.0.2.1\x00ssh\x00secret\x00one_prompt\x00\x00"), true)
	if err != nil || s.Service != "sshd" || s.User != "alice" || s.RHost != "192.0.2.1" || s.TTY != "ssh" || string(s.Authtok.Reveal()) != "secret" || !s.HasAuthtok || len(s.Args) != 2 || s.Args[0] != "one_prompt" || s.Args[1] != "" {
		t.Errorf("ParseStart = %+v, %v", s, err)
	}
	if s, err := ParseStart([]byte("\x00\x00\x00\x00\x00"), false); err != nil || s.Args != nil || s.Authtok.Len() != 0 {
		t.Errorf("ParseStart of nothing known = %+v, %v", s, err)
	}
	for _, text := range []string{"", "\x00\x00\x00\x00", "a\x00b\x00c\x00d\x00e", "a\x00b\x00c\x00d\x00e\x00f"} {
		if s, err := ParseStart([]byte(text), false); err == nil {
			t.Errorf("ParseStart(%q) = %+v", text, s)
		}
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add([]byte("sshd\x00alice\x00192.0.2.1\x00ssh\x00secret\x00one_prompt\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := string(text)
		s, err := ParseStart(text, true)
		if err != nil {
			return
		}
		clear(text) // the receive buffer is wiped and used again
		again := strings.Join(append([]string{s.Service, s.User, s.RHost, s.TTY, string(s.Authtok.Reveal())}, s.Args...), "\x00") + "\x00"
		if again != before {
			t.Errorf("%q became %q", before, again)
		}
		_, _ = parseOptions(s.Args)
	})
}

func FuzzTyped(f *testing.F) {
	f.Add([]byte("secret"), []byte("123 456"))
	f.Add([]byte(dummy(20)), []byte(dummy(6)))
	f.Add([]byte("secret123456"), []byte("secret123456"))
	f.Fuzz(func(t *testing.T, password, raw []byte) {
		var l login
		got, err := l.join(password, raw)
		if err != nil {
			if outcomeOf(err) != Refused {
				t.Fatalf("join: %v, which is no refusal", err)
			}
			return
		}
		if sendable(got.send) != nil || isDummy(password) || isDummy(raw) {
			t.Fatalf("join(%q, %q) = %q", password, raw, got.send)
		}
		if string(raw) == string(password) {
			return
		}
		code := strings.ReplaceAll(string(raw), " ", "")
		if len(code) < 6 || len(code) > 8 || strings.Trim(code, "0123456789") != "" || string(got.send) != string(password)+code {
			t.Fatalf("join(%q, %q) = %q", password, raw, got.send)
		}
	})
}
