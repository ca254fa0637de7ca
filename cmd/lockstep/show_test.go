package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"lockstep/admin"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestWhatToDo(t *testing.T) {
	later := noon.Add(time.Hour)
	outOfStep := &admin.OutOfStep{At: noon, Offsets: []float64{450}}
	again := "have them log in again with the next code, or: lockstep user resync alice"
	for _, tt := range []struct {
		name string
		user admin.User
		want []string
	}{
		{"nothing wrong", admin.User{}, []string{"nothing is wrong here; have them read out a code: lockstep user explain alice"}},
		{"locked", admin.User{Locked: true, LockedUntil: &later}, []string{"if the failures were theirs, lift the lock: lockstep user unlock alice", "if not, somebody is guessing; the log says from where"}},
		{"waiting", admin.User{LockedUntil: &noon}, []string{"wait until " + local(noon) + ", or: lockstep user unlock alice"}},
		{"the longest wait counts", admin.User{LockedUntil: &noon, Waiting: []admin.Wait{{Until: later}, {Until: noon}}}, []string{"wait until " + local(later) + ", or: lockstep user unlock alice"}},
		{"out of step", admin.User{OutOfStep: outOfStep}, []string{again}},
		{"out of step and waiting", admin.User{OutOfStep: outOfStep, LockedUntil: &noon}, []string{"wait until " + local(noon) + ", or: lockstep user unlock alice", again}},
		{"two tokens, one out of step", admin.User{Tokens: []admin.Token{{Label: "1"}, {Label: "blue", OutOfStep: outOfStep}}}, []string{"token blue: " + again}},
		{"two tokens, nothing wrong", admin.User{Tokens: []admin.Token{{Label: "1"}, {Label: "2"}}}, []string{"nothing is wrong here; have them read out a code: lockstep user explain alice"}},
		{"checked by the directory", admin.User{Delegated: true}, []string{"nothing is wrong here; look at the token in the directory"}},
		{"checked by the directory, locked", admin.User{Delegated: true, LockedUntil: &noon}, []string{"wait until " + local(noon) + ", or: lockstep user unlock alice"}},
		{"unusable", admin.User{Problem: "no key", Locked: true}, []string{"put the entry right in the directory, or enrol anew: lockstep user enroll -replace alice"}},
	} {
		tt.user.Name = "alice"
		if got := whatToDo(tt.user); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What is shown to be pasted into a shell cannot hold a command of a name's.
func TestNamesInCommands(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "alice", "a.b-c_d@example.com": "a.b-c_d@example.com", "a;reboot": "USER", "$(reboot)": "USER", "a b": "USER",
		"-reset": "USER", "": "USER", "a\nreboot": "USER", "a`b`": "USER", "'": "USER", "élan": "USER",
	} {
		if got := admin.Argument(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestRows(t *testing.T) {
	var logins []admin.Login
	for i := range 7 {
		logins = append(logins, admin.Login{At: noon.Add(-time.Duration(i) * time.Hour), Client: "vpn"})
	}
	u := admin.User{
		Name: "alice", DN: "uid=alice", Algorithm: "SHA1", Digits: 6, Period: 30, Failures: 5, LockedUntil: &noon, LastLogin: &noon, LastClient: "vpn",
		Clock:     &admin.Clock{Offset: -12, OffsetError: 5, Drift: 0.4, DriftError: 0.1, Observed: noon},
		Waiting:   []admin.Wait{{Source: "192.0.2.7", Failures: 4, Until: noon}, {Source: "vpn", Failures: 1, Until: noon}},
		OutOfStep: &admin.OutOfStep{At: noon, Offsets: []float64{450, -7200}},
		Logins:    logins,
	}
	at := local(noon)
	want := []string{
		"user         alice", "entry        uid=alice", "codes        SHA1, 6 digits, each for 30 s",
		"state        some source has to wait until " + at, "failures     5 in a row",
		"waiting      192.0.2.7 until " + at + ", after 4 failures in a row", "             vpn until " + at + ", after 1 failures in a row",
		"clock        about 12 s slow, gaining 0.4 s a day", "             last seen " + at,
		"             " + at + " a code came that is about 7 min 30 s ahead or about 2 h slow; the next one makes it known",
		"last logins  " + at + ", by vpn",
	}
	for _, l := range logins[1:5] {
		want = append(want, "             "+local(l.At)+", by vpn")
	}
	want = append(want, "what to do   wait until "+at+", or: lockstep user unlock alice", "             have them log in again with the next code, or: lockstep user resync alice", "")
	if got := strings.Split(table(t, u), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := table(t, admin.User{Name: "bob", LastLogin: &noon, LastClient: "vpn"}); !strings.Contains(got, "\nlast logins  "+at+", by vpn\n") {
		t.Errorf("with the last login alone:\n%s", got)
	}
}

// Of several tokens each has its rows, and a label cannot draw on the terminal.
func TestRowsOfSeveralTokens(t *testing.T) {
	at := local(noon)
	u := admin.User{
		Name: "alice", DN: "uid=alice", Algorithm: "SHA1", Digits: 6, Period: 30, Unlearned: "the clock jumped", LastLogin: &noon, LastClient: "vpn",
		Logins: []admin.Login{{At: noon, Client: "vpn", Token: "blue"}},
		Tokens: []admin.Token{
			{Label: "blue", Algorithm: "SHA1", Digits: 6, Period: 30, Clock: &admin.Clock{Offset: -12, OffsetError: 5, DriftError: 1, Observed: noon}},
			{Label: "\x1b[2J", Algorithm: "SHA256", Digits: 8, Period: 60, OutOfStep: &admin.OutOfStep{At: noon, Offsets: []float64{450}}},
		},
	}
	want := []string{
		"user         alice", "entry        uid=alice", "codes        of any of 2 tokens", "state        active", "failures     0 in a row",
		"token blue   SHA1, 6 digits, each for 30 s", "             clock: about 12 s slow", "             last seen " + at,
		"token \ufffd[2J   SHA256, 8 digits, each for 60 s", "             clock: not known yet",
		"             " + at + " a code came that is about 7 min 30 s ahead; the next one makes it known",
		"clocks       nothing is learned now: the clock jumped; see lockstep doctor",
		"last logins  " + at + ", by vpn, with token blue",
		"what to do   token \ufffd[2J: have them log in again with the next code, or: lockstep user resync alice", "",
	}
	if got := strings.Split(table(t, u), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	u = admin.User{Name: "bob", DN: "uid=bob", Delegated: true}
	want = []string{"user         bob", "entry        uid=bob", "codes        checked by the directory, together with the password", "state        active",
		"failures     0 in a row", "last logins  never", "what to do   nothing is wrong here; look at the token in the directory", ""}
	if got := strings.Split(table(t, u), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func table(t *testing.T, u admin.User) string {
	t.Helper()
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if err := printRows(w, rows(u)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What the helpdesk's scripts read keeps its names.
// A token that is not used is named beside those that are.
func TestRowsOfUnusedTokens(t *testing.T) {
	all := rows(admin.User{Name: "alice", UnusedTokens: []string{`token "4711": token disabled`}})
	if !slices.Contains(all, [2]string{"not used", `token "4711": token disabled`}) {
		t.Errorf("%q", all)
	}
}

func TestUserAsJSON(t *testing.T) {
	u := admin.User{Name: "alice", Clock: &admin.Clock{Observed: noon}, Logins: []admin.Login{{At: noon}}, Waiting: []admin.Wait{{Until: noon}},
		OutOfStep: &admin.OutOfStep{At: noon, Offsets: []float64{1}}}
	text, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"token", "delegated"} {
		if strings.Contains(string(text), never) {
			t.Errorf("%s has %s, of a user with one token", text, never)
		}
	}
	for _, want := range []string{
		`"clock":{"offset_seconds":0,"offset_error_seconds":0,"drift_seconds_per_day":0,"drift_error_seconds_per_day":0,"observed":"2026-03-01T12:00:00Z"}`,
		`"logins":[{"at":"2026-03-01T12:00:00Z","client":""}]`, `"waiting":[{"source":"","failures":0,"until":"2026-03-01T12:00:00Z"}]`,
		`"out_of_step":{"at":"2026-03-01T12:00:00Z","offsets_seconds":[1]}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}
