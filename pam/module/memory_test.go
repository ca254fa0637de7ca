package module_test

import (
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// Nothing that was typed, and nothing that a module before has asked for, can be
// found in the host's memory, on its stack or its heap.
func TestSecretsAreWiped(t *testing.T) {
	t.Parallel()
	plain := newHost(t, "auth required DIR/short.so")
	for script, want := range map[string]string{
		"p?;w;r1": "PAM_SUCCESS", "p?;w;p?;w;R": "PAM_SUCCESS", "p?;w;r2": "PAM_AUTH_ERR", "p?;w;k9": "PAM_AUTHINFO_UNAVAIL",
		"p?;k9": "PAM_AUTHINFO_UNAVAIL", "p?;w;ix;p?;x0": "PAM_AUTHINFO_UNAVAIL", "p?;w;z": "PAM_AUTHINFO_UNAVAIL", "p?;w;l9000": "PAM_AUTHINFO_UNAVAIL",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			prompts := strings.Repeat("copies at a prompt: 0\n", strings.Count(script, "p?")+strings.Count(script, "ix"))
			expect(t, plain.run(t, "-m", "search", script), "copies before: 1\n"+prompts+want, "copies after: 0")
		})
	}
	for _, module := range []string{"module.so", "absent.so"} {
		passed := newHost(t, "auth optional DIR/spy.so secret", "auth required DIR/"+module+" try_first_pass")
		expect(t, passed.run(t, "-m", "search", "r2"), "copies before: 1",
			map[string]string{"module.so": "PAM_AUTH_ERR", "absent.so": "PAM_AUTHINFO_UNAVAIL"}[module], "copies after: 0")
	}
}

// Hundreds of helpers that send what they like, under AddressSanitizer and
// UndefinedBehaviorSanitizer. None of them says a well-formed WIRE_ACCEPTED.
func TestHostileHelperUnderSanitizers(t *testing.T) {
	t.Parallel()
	h := newHost(t, "auth required DIR/asan.so nullok")
	h.program = []string{testenv.Tool(t, "setarch"), "-R", filepath.Join(built(t), "host-asan")}
	got := h.run(t, "-n", "500", "-m", "fuzz", "", "a", "@10", "", "@9000", "NULL", "b", "!", "c", "d", "e", "!wild", "f")
	for _, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
		switch line {
		case "PAM_AUTH_ERR", "PAM_AUTHINFO_UNAVAIL", "PAM_CONV_ERR", "PAM_PERM_DENIED": // the last is PAM_IGNORE alone
		default:
			t.Errorf("%s", line)
		}
	}
	expect(t, h.run(t, "p?;w;p?;w;R", "a", "b"), "off: ?", "off: ?", "PAM_SUCCESS")
	expect(t, h.run(t, "l8192;p?;w;r1", "@8189"), "info: "+strings.Repeat("x", 8188), "off: ?", "PAM_AUTH_ERR")
}

func TestValgrind(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"iHello;p?;w;p?;w;R": "PAM_SUCCESS", "p?;w;k9": "PAM_AUTHINFO_UNAVAIL", "p?;w;h0105": "PAM_AUTHINFO_UNAVAIL",
	} {
		h := newHost(t, alone)
		h.program = []string{testenv.Tool(t, "valgrind"), "-q", "--error-exitcode=9", "--track-fds=yes", "--leak-check=full",
			"--errors-for-leak-kinds=definite,indirect,possible", filepath.Join(built(t), "host-valgrind")}
		got := h.run(t, "-m", "verdict", script, "a", "b")
		left := strings.Count(got, "Open file descriptor") - strings.Count(got, "<inherited from parent>")
		if left != 0 || strings.Contains(got, "ERROR") || strings.Contains(got, "changed") ||
			!strings.HasPrefix(got, want+"\n") {
			t.Errorf("%s: %s", script, got)
		}
	}
}
