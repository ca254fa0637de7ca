package module_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const alone = "auth required DIR/module.so"

// Each test of a host is also one of what it finds changed in itself afterwards,
// which would be in its output.

func TestConversation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		script  string
		answers []string
		want    []string
	}{
		{"two prompts, accepted", "pPassword: ;w;pCode: ;w;r1", []string{"a", "b"},
			[]string{"off: Password: ", "off: Code: ", "PAM_SUCCESS"}},
		{"refused", "pPassword: ;w;r2", []string{"a"}, []string{"off: Password: ", "PAM_AUTH_ERR"}},
		{"refused without a question", "r2", nil, []string{"PAM_AUTH_ERR"}},
		{"nobody could tell", "r3", nil, []string{"PAM_AUTHINFO_UNAVAIL"}},
		{"not enrolled", "r4", nil, []string{"PAM_USER_UNKNOWN"}},
		{"texts, and a prompt with echo", "iHello;ePay attention;PCode: ;w;g;r1", []string{"123456"},
			[]string{"info: Hello", "error: Pay attention", "on: Code: ", "info: 123456", "PAM_SUCCESS"}},
		{"a prompt is no format", "p%s%n%s;w;g;r2", []string{"%n%s"},
			[]string{"off: %s%n%s", "info: %n%s", "PAM_AUTH_ERR"}},
		{"an empty prompt and an empty answer", "p;w;g;r2", []string{""}, []string{"off: ", "info: ", "PAM_AUTH_ERR"}},
		{"a conversation that fails", "p?;w;g;r5", []string{"!"}, []string{"off: ?", "info: (none)", "PAM_CONV_ERR"}},
		{"one that fails and leaves a wild pointer", "p?;w;g;r5", []string{"!wild"},
			[]string{"off: ?", "info: (none)", "PAM_CONV_ERR"}},
		{"no answer", "p?;w;g;r5", []string{"NULL"}, []string{"off: ?", "info: (none)", "PAM_CONV_ERR"}},
		{"a host that runs a program to ask", "p?;w;g;r1", []string{"run"},
			[]string{"off: ?", "info: nothing of the module", "PAM_SUCCESS"}},
		{"as many messages as there may be", strings.Repeat("ix;", 98) + "p?;w;r1", []string{"a"},
			append(strings.Split(strings.Repeat("info: x\n", 98)+"off: ?", "\n"), "PAM_SUCCESS")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := newHost(t, alone).run(t, append([]string{c.script}, c.answers...)...)
			expect(t, got, c.want...)
		})
	}
}

func TestAcceptedWithoutAnAnswerIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ script, answer string }{
		{"r1", ""}, {"iHello;r1", ""}, {"p?;w;r1", "!"}, {"p?;w;r1", "NULL"}, {"p?;w;r1secret", "!"},
	} {
		got := newHost(t, alone).run(t, "-m", "verdict", c.script, c.answer)
		expect(t, got, "PAM_AUTHINFO_UNAVAIL")
	}
	// Nor after an answer that came before one that did not.
	expect(t, newHost(t, alone).run(t, "-m", "verdict", "p?;w;p?;w;r1", "a", "!"), "PAM_AUTHINFO_UNAVAIL")
}

func TestStart(t *testing.T) {
	t.Parallel()
	const script = "d;r2"
	for _, c := range []struct{ name, before, args, flags, want string }{
		{"all fields", "", "", "0", "start 0 test|d;r2|192.0.2.7|ssh||"},
		{"arguments as they are", "", "config=/x code_only [a b]", "0",
			"start 0 test|d;r2|192.0.2.7|ssh||config=/x|code_only|a b|"},
		{"no empty passwords", "", "", "1", "start 2 test|d;r2|192.0.2.7|ssh||"},
		{"a password that is not asked for", "set=pw", "", "0", "start 0 test|d;r2|192.0.2.7|ssh||"},
		{"try_first_pass", "set=pw", "try_first_pass", "0", "start 1 test|d;r2|192.0.2.7|ssh|pw|try_first_pass|"},
		{"use_first_pass", "set=pw", "use_first_pass", "1", "start 3 test|d;r2|192.0.2.7|ssh|pw|use_first_pass|"},
		{"try_first_pass without one", "", "try_first_pass", "0", "start 0 test|d;r2|192.0.2.7|ssh||try_first_pass|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := "# none"
			if c.before != "" {
				before = "auth optional DIR/spy.so " + c.before
			}
			got := newHost(t, before, alone+" "+c.args).run(t, "-f", c.flags, script)
			expect(t, got, "info: "+c.want, "PAM_AUTH_ERR")
		})
	}
}

// Nobody before has asked for a name: PAM does.
func TestUserIsAskedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	expect(t, h.run(t, "-", "p?;w;r1", "a"), "on: login:", "off: ?", "PAM_SUCCESS")
	expect(t, h.run(t, "-", "!"), "on: login:", "PAM_CONV_ERR")
}

func TestPasswordOfTheModuleBeforeIsAnAnswer(t *testing.T) {
	t.Parallel()
	h := newHost(t, "auth optional DIR/spy.so set=pw", alone+" use_first_pass")
	expect(t, h.run(t, "r1"), "PAM_SUCCESS")
}

// PAM_IGNORE makes a stack of nothing else refuse, so a module that permits
// stands behind.
func TestNullok(t *testing.T) {
	t.Parallel()
	const noNull = "1" // PAM_DISALLOW_NULL_AUTHTOK, which sshd sets for everybody
	for _, c := range []struct{ args, flags, script, want string }{
		{"", "0", "r4", "PAM_USER_UNKNOWN"},
		{"nullok", "0", "r4", "PAM_SUCCESS"},
		{"nullok", noNull, "r4", "PAM_SUCCESS"},
		{"nullok_", "0", "r4", "PAM_USER_UNKNOWN"},
		{"nullok", "0", "r2", "PAM_AUTH_ERR"},
		{"nullok", "0", "r3", "PAM_AUTHINFO_UNAVAIL"},
		{"nullok", "0", "r1", "PAM_AUTHINFO_UNAVAIL"},
		{"nullok", "0", "x0", "PAM_AUTHINFO_UNAVAIL"},
		{"nullok", "0", "h01051900", "PAM_AUTHINFO_UNAVAIL"}, // 25 is PAM_IGNORE's number
	} {
		got := newHost(t, alone+" "+c.args, "auth required DIR/spy.so yes").run(t, "-f", c.flags, c.script)
		if got != c.want+"\n" {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

func TestPasswordIsSetOnSuccessOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ script, authtok, want string }{
		{"p?;w;r1new", "new", "PAM_SUCCESS"},
		{"p?;w;R", "typed", "PAM_SUCCESS"},
		{"p?;w;r1", "old", "PAM_SUCCESS"},
		{"p?;w;r2new", "old", "PAM_AUTH_ERR"},
		{"p?;w;r3new", "old", "PAM_AUTHINFO_UNAVAIL"},
		{"p?;w;r4new", "old", "PAM_USER_UNKNOWN"},
		{"p?;w;r5new", "old", "PAM_CONV_ERR"},
		{"p?;w;h010501006e00", "old", "PAM_AUTHINFO_UNAVAIL"}, // "n", NUL
		{"r1new", "old", "PAM_AUTHINFO_UNAVAIL"},
	} {
		got := newHost(t, "auth optional DIR/spy.so set=old", alone, "auth optional DIR/spy.so").run(t, c.script, "typed")
		if want := fmt.Sprintf("AUTHTOK=%s\n%s\n", c.authtok, c.want); strings.TrimPrefix(got, "off: ?\n") != want {
			t.Errorf("%s: got %s", c.script, got)
		}
	}
}

func TestSilentHostSeesPromptsOnly(t *testing.T) {
	t.Parallel()
	const silent = "0x8000" // PAM_SILENT
	expect(t, newHost(t, alone).run(t, "-f", silent, "iHello;p?;w;eBeware;r1", "a"), "off: ?", "PAM_SUCCESS")
}

// Whoever types or connects chooses lengths, so too much must not be "could not
// tell", which a stack may take for leave to go on.
func TestTooLongIsRefused(t *testing.T) {
	t.Parallel()
	const room = 8192 - 4
	h := newHost(t, alone+" a=b")
	expect(t, h.run(t, "p?;w;m1;r1", fmt.Sprintf("@%d", room)), "off: ?", "PAM_SUCCESS")
	for _, n := range []int{room + 1, room + 2, 8192, 9000, 100000} {
		expect(t, h.run(t, "p?;w;r1", fmt.Sprintf("@%d", n)), "off: ?", "PAM_AUTH_ERR")
	}
	// The other fields with their NULs, and the NUL of this one.
	longest := room - len("test_192.0.2.7_ssh__a=b_") - 1
	script := "p?;w;r1;"
	expect(t, h.run(t, script+strings.Repeat("m", longest-len(script)), "a"), "off: ?", "PAM_SUCCESS")
	expect(t, h.run(t, script+strings.Repeat("m", longest-len(script)+1), "a"), "PAM_AUTH_ERR")
}

func TestLongestMessagesOfTheHelper(t *testing.T) {
	t.Parallel()
	got := newHost(t, alone).run(t, "l8192;p?;w;g;r1", "@8188")
	expect(t, got, "info: "+strings.Repeat("x", 8188), "off: ?", "info: "+strings.Repeat("a", 8188), "PAM_SUCCESS")
}

// The helper has its time again with each message, and people have all of it.
func TestDeadlineIsTheHelpers(t *testing.T) {
	t.Parallel()
	two := deadline * 2 / 3
	for _, c := range []struct {
		name    string
		script  string
		answers []string
		want    []string
	}{
		{"a slow typist", "p?;w;r1", []string{fmt.Sprintf("sleep=%d:a", (deadline * 5 / 4).Milliseconds())},
			[]string{"off: ?", "PAM_SUCCESS"}},
		{"a slow helper that says so", fmt.Sprintf("p?;w;m%d;iWait;m%[1]d;r1", two.Milliseconds()), []string{"a"},
			[]string{"off: ?", "info: Wait", "PAM_SUCCESS"}},
		{"a silent helper", "z", nil, []string{"PAM_AUTHINFO_UNAVAIL"}},
		{"a helper that is silent after the answer", "p?;w;z", []string{"a"}, []string{"off: ?", "PAM_AUTHINFO_UNAVAIL"}},
		{"a helper that has been stopped", "p?;w;k19;r1", []string{"a"}, []string{"off: ?", "PAM_AUTHINFO_UNAVAIL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "auth required DIR/short.so")
			began := time.Now()
			expect(t, h.run(t, append([]string{c.script}, c.answers...)...), c.want...)
			if took := time.Since(began); took < deadline || took > 10*deadline {
				t.Errorf("took %v", took)
			}
		})
	}
}
