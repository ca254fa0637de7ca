package module_test

import (
	"slices"
	"strings"
	"testing"
)

// What comes instead of a message ends all, even when a well-formed
// WIRE_ACCEPTED follows.
func TestGarbage(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	for _, c := range []struct{ name, op string }{
		{"an empty packet", "h"},
		{"one octet", "h01"},
		{"a head cut short", "h010501"},
		{"version 0", "h00050100"},
		{"version 2", "h02050100"},
		{"an octet that is not zero", "h01050101"},
		{"no type", "h01000000"},
		{"START", "h01010000"},
		{"ANSWER", "h01020000"},
		{"a type too many", "h01060100"},
		{"type 255", "h01ff0100"},
		{"result 0", "h01050000"},
		{"result 6", "h01050600"},
		{"result 255", "h0105ff00"},
		{"a prompt that is a text", "h01030200"},
		{"a prompt of no style", "h01030400"},
		{"a text that is a prompt", "h01040000"},
		{"a text of no style", "h01040400"},
		{"a prompt with a NUL", "h010300006100"},
		{"a text with a NUL", "h01040200610062"},
		{"WIRE_ACCEPTED with a NUL", "h0105010061006200"},
		{"an octet too long", "l8193"},
		{"much too long", "l60000"},
		{"no end of messages", strings.Repeat("ix;", 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expect(t, h.run(t, "-m", "verdict", "p?;w;"+c.op+";r1", "a"), "PAM_AUTHINFO_UNAVAIL")
		})
	}
}

// Or the host would wait for ever, once the socket is full.
func TestHelperThatDoesNotRead(t *testing.T) {
	t.Parallel()
	answers := slices.Repeat([]string{"@8000"}, 100)
	got := newHost(t, alone).run(t, append([]string{"-m", "verdict", "q99;z"}, answers...)...)
	expect(t, got, "PAM_AUTHINFO_UNAVAIL")
}

func TestDescriptorFromTheHelperIsDropped(t *testing.T) {
	t.Parallel()
	expect(t, newHost(t, alone).run(t, "-m", "verdict", "S;p?;w;S;r1", "a"), "PAM_SUCCESS")
}

func TestHelperThatFails(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	for _, script := range []string{
		"", "x0", "x1", "x25", "k9", "k11", "k6", "c;z", // before the first prompt
		"p?;x0", "p?;k9", // while people type
		"p?;w;x0", "p?;w;x1", "p?;w;k9", "p?;w;k11", "p?;w;c;z",
		"p?;w;p?;k9;w", "iHello;k6",
	} {
		if got := h.run(t, "-m", "verdict", script, "a", "b"); got != "PAM_AUTHINFO_UNAVAIL\n" {
			t.Errorf("%q: %s", script, got)
		}
	}
}

// A helper that is done but does not go is made to.
func TestHelperThatStays(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	expect(t, h.run(t, "p?;w;r1;z", "a"), "off: ?", "PAM_SUCCESS")
	expect(t, h.run(t, "p?;w;r2;k19", "a"), "off: ?", "PAM_AUTH_ERR")
}

func TestHelperThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"absent.so", "forbidden.so", "nonsense.so", "folder.so"} {
		for _, mode := range []string{"plain", "counter", "ignore", "reaper"} {
			got := newHost(t, "auth required DIR/"+module).run(t, "-n", "2", "-m", mode, "p?;w;r1", "a")
			got = strings.TrimSuffix(got, "signals: 0\n")
			expect(t, got, "PAM_AUTHINFO_UNAVAIL", "PAM_AUTHINFO_UNAVAIL")
		}
	}
}
