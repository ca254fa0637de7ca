package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// desk is a server that answers the admin socket as the test wants, and a
// configuration that leads to it. alice, broken and ipa are enrolled there.
type desk struct {
	t   *testing.T
	dir string

	explanation admin.Explanation
	resynced    admin.Resync
	findings    []admin.Finding
	err         error // of the actions

	mu    sync.Mutex
	asked []string
	seeds []seed

	updates int   // how often it was told to look at the directory
	unseen  error // what comes of that
}

type seed struct {
	id   string
	step int64
	at   time.Time
}

const deskTOML = `
[directory]
url = ["ldif:people.ldif"]
[admin]
socket = %q
[[radius.client]]
name = "vpn"
address = "192.0.2.0/24"
secret_file = "secret"
`

// newDesk sets a desk up; nobody answers its socket until serve.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	d.write("secret", "a secret of 24 octets or more")
	d.write("people.ldif", "dn: uid=alice,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\nsn: Alice\n")
	d.write("lockstep.toml", fmt.Sprintf(deskTOML, "admin.sock"))
	return d
}

func (d *desk) Backup(context.Context, io.Writer) error { return nil }

func (d *desk) SealingKeys(context.Context) ([]string, error) { return nil, nil }

func (d *desk) serve() *desk {
	d.t.Helper()
	l, err := admin.Listen(filepath.Join(d.dir, "admin.sock"), "")
	if err != nil {
		d.t.Fatal(err)
	}
	s := admin.NewServer(d, slog.New(slog.DiscardHandler), nil)
	go s.Serve(l)
	d.t.Cleanup(func() { s.Close() })
	return d
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// run runs one command of the program with the desk's configuration.
func (d *desk) run(stdin, command string, args ...string) (out, err string, status int) {
	var o, e bytes.Buffer
	status = d.runWith(strings.NewReader(stdin), &o, &e, command, args...)
	return o.String(), e.String(), status
}

func (d *desk) runWith(in io.Reader, out, err io.Writer, command string, args ...string) int {
	line := append(strings.Fields(command), "-config", filepath.Join(d.dir, "lockstep.toml"))
	return run(append(line, args...), in, out, err)
}

func (d *desk) note(format string, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, fmt.Sprintf(format, args...))
	return d.err
}

func (d *desk) List(context.Context) ([]admin.User, error)      { return nil, d.err }
func (d *desk) Doctor(context.Context) ([]admin.Finding, error) { return d.findings, d.err }
func (d *desk) Unlock(_ context.Context, _ string) (int, error) { return 0, d.err }
func (d *desk) ResetClock(_ context.Context, name string) error { return d.note("reset %s", name) }
func (d *desk) Show(_ context.Context, name string) (admin.User, error) {
	switch name {
	case "alice":
		return admin.User{Name: name}, nil
	case "broken":
		return admin.User{Name: name, Problem: "account unusable: the key is not base32"}, nil
	}
	if name == "ipa" {
		return admin.User{Name: name, Delegated: true}, nil
	}
	return admin.User{}, fmt.Errorf("%q: %w", name, admin.ErrNoUser)
}

func (d *desk) Explain(_ context.Context, name string, code opaque.Bytes) (admin.Explanation, error) {
	return d.explanation, d.note("explain %s %s", name, code.Reveal())
}

func (d *desk) Resync(_ context.Context, name string, first, second opaque.Bytes) (admin.Resync, error) {
	return d.resynced, d.note("resync %s %s %s", name, first.Reveal(), second.Reveal())
}

func (d *desk) Update(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.updates++
	return d.unseen
}

func (d *desk) Seed(_ context.Context, id string, _ time.Duration, step int64, at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seeds = append(d.seeds, seed{id, step, at})
	return d.err
}

// outcome is what a command line came to.
type outcome struct {
	out, err string // all of it; "…" in err stands for anything
	status   int
	asked    string
}

// want runs a command and checks all that came of it.
func (d *desk) want(name, stdin, command string, args []string, want outcome) {
	d.t.Helper()
	d.asked = nil
	out, err, status := d.run(stdin, command, args...)
	if out != want.out || !matches(err, want.err) || status != want.status || strings.Join(d.asked, "; ") != want.asked {
		d.t.Errorf("%s: %q on stdout, %q on stderr, status %d, asked %q; want %+v", name, out, err, status, d.asked, want)
	}
}

func matches(got, want string) bool {
	before, after, open := strings.Cut(want, "…")
	return got == want || open && strings.HasPrefix(got, before) && strings.HasSuffix(got, after)
}

const (
	notEnrolledText = "lockstep: error: \"nobody\": not enrolled\nlockstep: hint: \"lockstep user list\" shows who is enrolled; the directory is read again within seconds\n"
	unusableText    = "lockstep: error: broken: account unusable: the key is not base32\nlockstep: hint: put the entry right in the directory, or enrol anew: lockstep user enroll -replace broken\n"
	nobodyText      = "lockstep: error: ask the server at …/admin.sock: nobody answers; is \"lockstep serve\" running with this configuration?\n"
	elsewhereText   = "lockstep: error: ipa: the directory checks the codes, and nothing is known of them here\nlockstep: hint: nothing is wrong here; look at the token in the directory\n"
	argvHint        = "lockstep: hint: leave codes out of the command line, where others can see them: they are asked for\n"
)

func TestExplain(t *testing.T) {
	d := newDesk(t).serve()
	explain := func(name, stdin string, args []string, want outcome) {
		t.Helper()
		d.want(name, stdin, "user explain", args, want)
	}
	alice := []string{"alice"}
	d.explanation = admin.Explanation{User: "alice", Verdict: admin.VerdictCurrent, Accepted: true, Text: "right now"}
	explain("right now", "123456\n", alice, outcome{out: "right now\n", asked: "explain alice 123456"})
	explain("as apps show it, without a newline", "123 456", alice, outcome{out: "right now\n", asked: "explain alice 123 456"})
	explain("as JSON", "123456\n", []string{"-json", "alice"}, outcome{
		out: "{\n  \"user\": \"alice\",\n  \"verdict\": \"current\",\n  \"accepted\": true,\n  \"text\": \"right now\"\n}\n", asked: "explain alice 123456"})
	d.explanation = admin.Explanation{Verdict: admin.VerdictSpent, Text: "spent by \x1b[31mvpn", Advice: "wait for the next code"}
	explain("spent", "123456\n", alice, outcome{out: "spent by \ufffd[31mvpn\nwait for the next code\n", status: 1, asked: "explain alice 123456"})
	if _, _, status := d.run("123456\n", "user explain", "-json", "alice"); status != 1 {
		t.Errorf("spent, as JSON: status %d, want 1", status)
	}

	explain("unknown user, not asked for a code", "", []string{"nobody"}, outcome{err: notEnrolledText, status: 1})
	explain("unusable enrolment, not asked for a code", "", []string{"broken"}, outcome{err: unusableText, status: 1})
	explain("codes that the directory checks, not asked for one", "", []string{"ipa"}, outcome{err: elsewhereText, status: 1})
	explain("no code", "", alice, outcome{err: "lockstep: error: \"Code:\" is not answered: unexpected EOF of standard input\n", status: 3})
	explain("no user", "", nil, outcome{err: "lockstep: error: user explain: want the name of a user\n", status: 2})
	explain("a code in argv", "", []string{"alice", "493817"}, outcome{
		err: "lockstep: error: user explain: want the name of a user and nothing after it\n" + argvHint, status: 2})
	explain("an option after the name", "", []string{"alice", "-json"}, outcome{
		err: "lockstep: error: user explain: want the name of a user and nothing after it\n" + argvHint, status: 2})
	explain("an unknown option", "", []string{"-colour", "alice"}, outcome{
		err: "lockstep: error: user explain: flag provided but not defined: -colour\n", status: 2})
	d.err = errors.New("store is away")
	d.explanation.Accepted = true
	explain("could not tell", "123456\n", alice, outcome{err: "lockstep: error: store is away\n", status: 3, asked: "explain alice 123456"})

	newDesk(t).want("no server", "123456\n", "user explain", alice, outcome{err: nobodyText, status: 3})
}

func TestResync(t *testing.T) {
	d := newDesk(t).serve()
	resync := func(name, stdin string, args []string, want outcome) {
		t.Helper()
		d.want(name, stdin, "user resync", args, want)
	}
	alice, both, asked := []string{"alice"}, "111111\n222222\n", "resync alice 111111 222222"
	d.resynced = admin.Resync{Done: true, Offset: 450, OffsetError: 20}
	resync("done", both, alice, outcome{out: "alice: resynchronized, device is about 7 min 30 s ahead\n", asked: asked})
	d.resynced = admin.Resync{Done: true, Offset: -12}
	resync("done, without the last newline", "111111\r\n222222", alice, outcome{out: "alice: resynchronized, device is about 12 s slow\n", asked: asked})
	d.resynced = admin.Resync{Done: true, Offset: 12, OffsetError: 30}
	resync("a clock that is right", both, alice, outcome{out: "alice: resynchronized, device is right to within 42 s\n", asked: asked})
	d.resynced = admin.Resync{Done: true, Offset: 450, OffsetError: 20, Token: "blue"}
	resync("one of several tokens", both, alice, outcome{out: "alice: resynchronized, token blue is about 7 min 30 s ahead\n", asked: asked})
	d.resynced = admin.Resync{Offset: 450, Reason: "the codes do not follow one another"}
	resync("refused", both, alice, outcome{
		err: "lockstep: error: alice: not resynchronized: the codes do not follow one another\nlockstep: hint: \"lockstep user explain\" says what one code is\n", status: 1, asked: asked})

	resync("unknown user, not asked for codes", "", []string{"nobody"}, outcome{err: notEnrolledText, status: 1})
	resync("unusable enrolment, not asked for codes", "", []string{"broken"}, outcome{err: unusableText, status: 1})
	resync("codes that the directory checks, not asked for any", "", []string{"ipa"}, outcome{err: elsewhereText, status: 1})
	resync("one code only", "111111\n", alice, outcome{err: "lockstep: error: \"Next code:\" is not answered: unexpected EOF of standard input\n", status: 3})
	resync("no user", "", nil, outcome{err: "lockstep: error: user resync: want the name of a user\n", status: 2})
	resync("codes in argv", "", []string{"alice", "493817", "493818"}, outcome{
		err: "lockstep: error: user resync: want the name of a user and nothing after it\n" + argvHint, status: 2})
	resync("reset", "", []string{"-reset", "alice"}, outcome{out: "alice: clock forgotten, taken to be right from now on\n", asked: "reset alice"})
	d.err = fmt.Errorf("%q: %w", "nobody", admin.ErrNoUser)
	resync("reset of an unknown user", "", []string{"-reset", "nobody"}, outcome{err: notEnrolledText, status: 1, asked: "reset nobody"})
	d.err, d.resynced.Done = errors.New("store is away"), true
	resync("could not tell", both, alice, outcome{err: "lockstep: error: store is away\n", status: 3, asked: asked})
	resync("could not reset", "", []string{"-reset", "alice"}, outcome{err: "lockstep: error: store is away\n", status: 3, asked: "reset alice"})

	newDesk(t).want("no server", both, "user resync", alice, outcome{err: nobodyText, status: 3})
	newDesk(t).want("no server to reset at", "", "user resync", []string{"-reset", "alice"}, outcome{err: nobodyText, status: 3})
}

func TestDoctor(t *testing.T) {
	here := []admin.Finding{{Subject: "clock", Severity: admin.Error, Text: "nothing keeps it right", Advice: "install chrony"}}
	wasLocal, wasHost := localFindings, hostFindings
	var stopped bool
	localFindings = func(_ context.Context, _ *config.Config, s bool) []admin.Finding { stopped = s; return here }
	hostFindings = func(context.Context, *config.Config) []admin.Finding { return nil }
	defer func() { localFindings, hostFindings = wasLocal, wasHost }()

	d := newDesk(t).serve()
	out, _, status := d.run("", "doctor")
	same, _, ok := strings.Cut(out, "\n")
	if !strings.HasPrefix(same, "ok   version: the server runs ") || !ok || status != 0 {
		t.Errorf("nothing to say but the version: %q, status %d", out, status)
	}
	same += "\n"
	d.findings = []admin.Finding{{Subject: "clock", Severity: admin.OK, Text: "right to within 1 s"}, {Subject: "store", Severity: admin.OK, Text: "writes within 2 ms", Advice: "leave it"}}
	well := same + "ok   clock: right to within 1 s\nok   store: writes within 2 ms\n     leave it\n"
	d.want("all is well", "", "doctor", nil, outcome{out: well + "3 in order\n"})
	d.findings = append(d.findings, admin.Finding{Subject: "client vpn", Severity: admin.Warning, Text: "sends much twice"})
	warned := well + "warn client vpn: sends much twice\n"
	d.want("a warning", "", "doctor", nil, outcome{out: warned + "1 to look into, 3 in order\n"})
	d.want("a warning, by who is strict", "", "doctor", []string{"-strict"}, outcome{status: 1, out: warned + "1 to look into, 3 in order\n"})
	d.findings = append(d.findings, admin.Finding{Subject: "etcd", Severity: admin.Unknown, Text: "no answer"})
	d.want("something could not be told", "", "doctor", []string{"-strict"}, outcome{status: 3, out: warned + "?    etcd: no answer\n1 could not be told, 1 to look into, 3 in order\n"})
	d.findings = append(d.findings, admin.Finding{Subject: "directory", Severity: admin.Error, Text: "away\x1b[2J", Advice: "look at \x07it"})
	d.want("something is bad", "", "doctor", nil, outcome{status: 1,
		out: warned + "?    etcd: no answer\nBAD  directory: away\ufffd[2J\n     look at \ufffdit\n1 BAD, 1 could not be told, 1 to look into, 3 in order\n"})
	d.findings = d.findings[4:]
	out, _, status = d.run("", "doctor", "-json")
	var got []admin.Finding
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 1 || !slices.Equal(got[1:], d.findings) {
		t.Errorf("as JSON: %q, %v, status %d", out, err, status)
	}
	d.findings = []admin.Finding{{Subject: "clock", Severity: "fine", Text: "of another version"}}
	d.want("a severity that nobody knows", "", "doctor", nil, outcome{status: 3, out: same + "?    clock: of another version\n1 could not be told, 1 in order\n"})

	local := "BAD  clock: nothing keeps it right\n     install chrony\n"
	d.err = errors.New("the store does not answer")
	d.want("the server cannot tell, and something is bad", "", "doctor", nil, outcome{out: local + "1 BAD\n", err: "lockstep: error: the store does not answer\n", status: 1})
	here = nil
	d.want("the server cannot tell", "", "doctor", nil, outcome{err: "lockstep: error: the store does not answer\n", status: 3})
	if stopped {
		t.Error("a server that answers is taken for one that does not run")
	}
	d.want("one argument too many", "", "doctor", []string{"alice"}, outcome{
		err: "lockstep: error: doctor: \"alice\" is one argument too many; options come first\n", status: 2})

	d = newDesk(t)
	out, _, status = d.run("", "doctor")
	if status != 1 || !stopped || !strings.HasPrefix(out, "BAD  server: ask the server at ") || !strings.Contains(out, "nobody answers") {
		t.Errorf("no server: %q, status %d, stopped: %t", out, status, stopped)
	}
	d.write("lockstep.toml", fmt.Sprintf(deskTOML, ""))
	d.want("no socket", "", "doctor", nil, outcome{
		err: "lockstep: error: …: admin.socket is empty, so the running server cannot be asked\n", status: 2})
}

// What a user's own bind shows is asked for by name, with the password from stdin.
func TestDoctorAsAUser(t *testing.T) {
	was := userFindings
	defer func() { userFindings = was }()
	userFindings = func(_ context.Context, _ *config.Config, name string, password opaque.Bytes) ([]admin.Finding, error) {
		if name != "alice" || string(password.Reveal()) != "secret" {
			return nil, errors.New("password refused")
		}
		return []admin.Finding{{ID: "directory.user_reads_keys", Subject: "user alice", Severity: admin.Error, Text: "can read the own key"}}, nil
	}
	d := newDesk(t).serve()
	if out, _, status := d.run("secret\n", "doctor", "-user", "alice"); status != 1 || !strings.Contains(out, "BAD  user alice: can read the own key\n") {
		t.Errorf("status %d: %s", status, out)
	}
	if out, err, status := d.run("wrong\n", "doctor", "-user", "alice"); status != 3 && status != 1 || !strings.Contains(err, "password refused") || strings.Contains(out+err, "wrong") {
		t.Errorf("status %d: %s%s", status, out, err)
	}
}

// typist types at the enrolment: it reads the key that was shown, and each time
// that it is asked it enters the code so many steps from now, or a typo.
type typist struct {
	t       *testing.T
	screen  *testenv.Buffer
	offsets []int64
	key     verifier.Key
	last    int64 // the step typed last
}

const typo = 1 << 40 // among the offsets

func (y *typist) Read(p []byte) (int, error) {
	if len(y.offsets) == 0 {
		return 0, io.EOF
	}
	_, after, _ := strings.Cut(y.screen.String(), "\nkey: ")
	line, _, _ := strings.Cut(after, "\n")
	y.key = keyOf(y.t, strings.ReplaceAll(line, " ", ""))
	y.last = y.key.Step(time.Now()) + y.offsets[0]
	y.offsets = y.offsets[1:]
	if y.last >= typo {
		return copy(p, "12 45\n"), nil
	}
	code, err := y.key.Code(y.last)
	return copy(p, code+"\n"), err
}

// Two codes in a row confirm a key on a device whose clock is far off, and the
// server is told of them.
func TestEnrolTellsTheServer(t *testing.T) {
	const wait = "lockstep: wait until the device shows the next code, and type that\n"
	for _, tt := range []struct {
		name    string
		offsets []int64
		args    []string
		serving bool
		err     error
		said    string // on stderr
		status  int
		seeds   int
	}{
		{"the code of now", []int64{0}, nil, true, nil, "", 0, 1},
		{"two codes in a row of a far clock", []int64{40, 41}, nil, true, nil, "lockstep: out of step…" + wait, 0, 1},
		{"two codes of a far clock that do not follow one another", []int64{40, 400}, nil, true, nil,
			"lockstep: out of step…\nlockstep: error: no right code; nothing was written\nlockstep: hint: if the device shows other codes, compare its clock with this machine's\n", 1, 0},
		{"typing errors, and the code of now at last", []int64{typo, 40, typo, 0}, nil, true, nil, "lockstep: no code of 6 digits in what was typed\n…", 0, 1},
		{"four typing errors", []int64{typo, typo, typo, typo, 0}, nil, true, nil, "lockstep: no code of 6 digits in what was typed\n…", 1, 0},
		{"no confirmation", nil, []string{"-pending"}, true, nil, "", 0, 0},
		{"no server", []int64{0}, nil, false, nil, "", 0, 0},
		{"a server that cannot", []int64{0}, nil, true, errors.New("store is away"),
			"lockstep: warning: enrolled, but the clock of the device will be learned at the first login only: store is away\n", 0, 1},
	} {
		d := newDesk(t)
		if d.err = tt.err; tt.serving {
			d.serve()
		}
		screen, said := &testenv.Buffer{}, &bytes.Buffer{}
		y := &typist{t: t, screen: screen, offsets: tt.offsets}
		start := time.Now().Add(-time.Second)
		status := d.runWith(y, screen, said, "user enroll", append(tt.args, "alice")...)
		if enrolled := strings.HasSuffix(screen.String(), "\nalice: enrolled\n"); status != tt.status || enrolled != (status == 0) || !matches(said.String(), tt.said) {
			t.Errorf("%s: status %d, enrolled %t, %q", tt.name, status, enrolled, said)
		}
		if told := d.updates == 1; told != (tt.serving && tt.status == 0) {
			t.Errorf("%s: told %d times to look at the directory", tt.name, d.updates)
		}
		if len(d.seeds) != tt.seeds {
			t.Errorf("%s: %d seeds, want %d", tt.name, len(d.seeds), tt.seeds)
			continue
		}
		for _, s := range d.seeds {
			if s.id != y.key.ID() || s.step != y.last || s.at.Before(start) || s.at.After(time.Now()) {
				t.Errorf("%s: seed %+v; typed last: step %d of %s", tt.name, s, y.last, y.key.ID())
			}
		}
	}
}

// On a terminal the commands prompt, and say that the second code is another.
func TestPromptsOnATerminal(t *testing.T) {
	d := newDesk(t).serve()
	d.resynced = admin.Resync{Done: true}
	keyboard, tty := terminal(t)
	if _, err := io.WriteString(keyboard, "111111\n222222\n"); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	status := d.runWith(tty, &out, &said, "user resync", "alice")
	if want := "Code: Wait until the device shows the next code.\nNext code: "; said.String() != want || status != 0 {
		t.Errorf("status %d, %q; want %q", status, &said, want)
	}
	if d.asked[0] != "resync alice 111111 222222" {
		t.Errorf("asked %q", d.asked)
	}
}

// terminal returns the two ends of a pseudoterminal (pty(7)).
func terminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminal: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudoterminal: %v", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminal: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	return keyboard, tty
}
