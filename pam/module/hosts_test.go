package module_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const right = "p?;w;r1"

func TestHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode  string
		times int
		extra string // after the results
	}{
		{"plain", 5, ""},
		{"ignore", 10, ""},
		{"no-zombies", 10, ""},
		{"reaper", 20, ""},
		{"reaper-thread", 50, ""},
		{"counter", 20, "signals: 0"},
		{"timer", 30, ""},
		{"all-blocked", 10, ""},
		{"signalfd", 60, "lost: 0"},
		{"handler", 60, "lost: 0"},
		{"threads", 0, "failed: 0"},
		{"busy", 60, "failed: 0"},
		{"begin-fork", 1, ""},
		{"auth-fork-auth", 3, ""},
		{"descriptors", 3, ""},
		{"bare", 5, ""},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			want := strings.Repeat("off: ?\nPAM_SUCCESS\n", c.times)
			if c.mode == "busy" {
				want = ""
			}
			if c.extra != "" {
				want += c.extra + "\n"
			}
			got := newHost(t, alone).run(t, "-n", strconv.Itoa(c.times), "-m", c.mode, right, "a")
			if got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

// The same habits where the helper crashes while its user types and after that.
func TestHostsOfAHelperThatCrashes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"ignore", "no-zombies", "reaper", "reaper-thread", "all-blocked", "begin-fork"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for _, script := range []string{"k9", "p?;k9", "p?;w;k9"} {
				got := newHost(t, alone).run(t, "-n", "4", "-m", mode, script, "sleep=5:a")
				got = strings.ReplaceAll(got, "off: ?\n", "")
				if strings.ReplaceAll(got, "PAM_AUTHINFO_UNAVAIL\n", "") != "" || got == "" {
					t.Errorf("%s: got:\n%s", script, got)
				}
			}
		})
	}
}

// An interrupted wait does not begin anew: a host with a timer would never see its end.
func TestDeadlineUnderATimer(t *testing.T) {
	t.Parallel()
	got := newHost(t, "auth required DIR/short.so").run(t, "-m", "timer", "z")
	expect(t, got, "PAM_AUTHINFO_UNAVAIL")
}

func TestSurroundingsOfTheHelper(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	h.env = []string{"PATH=/tmp", "LD_PRELOAD=", "LD_LIBRARY_PATH=/tmp", "GODEBUG=inittrace=1", "GOMEMLIMIT=junk",
		"GOTRACEBACK=crash", "SSL_CERT_FILE=/tmp/x", "TZ=/tmp/x", "LC_ALL=de_DE", "MALLOC_TRACE=/tmp/x", "HOME=/tmp"}
	want := []string{
		"info: PATH=/usr/sbin:/usr/bin:/sbin:/bin", "info: LC_ALL=C", "info: GOTRACEBACK=none", "info: GOMAXPROCS=1",
		"info: SigBlk: 0", "info: SigIgn: 0", "info: SigCgt: 0",
		"info: fd 0 /dev/null", "info: fd 1 /dev/null", "info: fd 2 /dev/null", "info: fd 3 socket",
		fmt.Sprint("info: real user ", os.Getuid()), "info: own session", "PAM_AUTH_ERR"}
	modes := []string{"plain", "ignore", "all-blocked"}
	if os.Getuid() == 0 {
		modes = append(modes, "setuid") // or the caller of su could kill the helper
	}
	for _, mode := range modes {
		got := h.run(t, "-m", mode, "s;r2")
		// Libc leaves its own two signals, 32 and 33, ignored.
		got = regexp.MustCompile(`(Sig...):\t0000000[01]80000000|(Sig...):\t0{16}`).ReplaceAllString(got, "$1$2: 0")
		expect(t, got, want...)
	}
	got := h.run(t, "-m", "descriptors", "s;r2")
	if n := strings.Count(got, "info: fd "); n != 3*4 {
		t.Errorf("the helper has descriptors of the host:\n%s", got)
	}
}

// Where a stack lets people go on when nobody could tell, limits are set by
// attackers: at any rate it is never success without the helper's word.
func TestLimits(t *testing.T) {
	t.Parallel()
	h := newHost(t, alone)
	expect(t, h.run(t, "-m", "processes", right, "a"), "PAM_AUTHINFO_UNAVAIL")
	// The lower the limit, the earlier the end; with 0 to 3 libpam has said no itself.
	got := h.run(t, "-m", "files", right, "a")
	if !regexp.MustCompile(`^(\d+\n){0,4}(PAM_AUTHINFO_UNAVAIL\n)+(off: \?\nPAM_SUCCESS\n){8,}$`).MatchString(got) {
		t.Errorf("RLIMIT_NOFILE: %s", got)
	}
	got = h.run(t, "-m", "memory", right, "a")
	if !regexp.MustCompile(`^(PAM_AUTHINFO_UNAVAIL\n){2,}(off: \?\nPAM_SUCCESS\n)+$`).MatchString(got) {
		t.Errorf("RLIMIT_AS: %s", got)
	}
}

func TestForbiddenSystemCalls(t *testing.T) {
	t.Parallel()
	got := newHost(t, alone).run(t, "-m", "seccomp", right, "a")
	results := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+): (?:off: \?\n)?(PAM_\w+)$`).FindAllStringSubmatch(got, -1) {
		results[m[1]] = m[2]
	}
	const yes, unavailable = "PAM_SUCCESS", "PAM_AUTHINFO_UNAVAIL"
	for call, want := range map[string]string{
		"socketpair": unavailable, "execve": unavailable, "dup2": unavailable, "setsid": unavailable,
		"pidfd_open": unavailable, "sendto": unavailable, "poll": unavailable, "recvfrom": unavailable,
		"rt_sigpending": yes, "rt_sigtimedwait": yes, "pidfd_send_signal": yes, "waitid": yes,
	} {
		if results[call] != want {
			t.Errorf("without %s: %s, want %s", call, results[call], want)
		}
	}
	if strings.Contains(got, "process ended") || len(results) != strings.Count(got, "PAM_") {
		t.Errorf("a host has died:\n%s", got)
	}
}
