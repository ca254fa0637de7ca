package pam

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/server"
	"lockstep/internal/testenv"
	"lockstep/radiusd"
	"lockstep/verifier"
)

// configured writes a configuration for these servers and returns the option
// that names it.
func configured(t testing.TB, timeout time.Duration, addresses ...string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "pam.secret", testSecret+"\n", 0o600)
	text := fmt.Sprintf("timeout = %q\nnas_identifier = \"host1\"\n", timeout)
	for _, a := range addresses {
		text += fmt.Sprintf("[[server]]\naddress = %q\nsecret_file = \"pam.secret\"\n", a)
	}
	return "config=" + put(t, dir, "pam.toml", text, 0o644)
}

func testHelper(c Conversation) (*Helper, *testenv.Buffer) {
	log := &testenv.Buffer{}
	return &Helper{Conversation: c, Hostname: os.Hostname, Log: slog.New(slog.NewTextHandler(log, nil))}, log
}

func TestHelperAsksARealServer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var last *radiusd.Request
	address := serve(t, func(_ context.Context, r *radiusd.Request) (radiusd.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		last = r
		switch typed := string(r.Typed.Reveal()); {
		case r.UserName == "nobody":
			return radiusd.Answer{Outcome: radiusd.Reject, Message: "not enrolled"}, nil
		case typed == "secret123456", r.Challenged && typed == "654321":
			return radiusd.Answer{Outcome: radiusd.Accept}, nil
		case typed == "secret111111":
			return radiusd.Answer{Outcome: radiusd.Challenge, Message: "Next: ", Keep: opaque.Text("x")}, nil
		case typed == "secret000000":
			return radiusd.Answer{}, errors.New("cannot tell")
		}
		return radiusd.Answer{Outcome: radiusd.Reject}, nil
	})
	for _, tt := range []struct {
		user    string
		answers []string
		want    Outcome
	}{
		{"alice", []string{"secret", "123456"}, Accepted},
		{"alice", []string{"secret", "123457"}, Refused},
		{"alice", []string{"secret", "111111", "654321"}, Accepted},
		{"alice", []string{"secret", "111111", "654322"}, Refused},
		{"alice", []string{"secret", "111111", noAnswer}, Aborted},
		{"alice", []string{"secret", "000000"}, Unavailable},
		{"nobody", []string{"secret", "123456"}, NotEnrolled},
	} {
		h, log := testHelper(&person{answers: tt.answers})
		got := h.Authenticate(t.Context(), Start{Service: "sshd", User: tt.user, RHost: "192.0.2.7", Args: []string{configured(t, 600*time.Millisecond, address)}})
		if got.Outcome != tt.want {
			t.Errorf("%s with %q: %d, want %d\n%s", tt.user, tt.answers, got.Outcome, tt.want, log)
		}
		mu.Lock()
		if last.CallingStationID != "192.0.2.7" || last.NASID != "host1" || last.UserName != tt.user {
			t.Errorf("the server saw %+v", last)
		}
		mu.Unlock()
	}
}

func TestHelperFailsClosed(t *testing.T) {
	t.Parallel()
	good := configured(t, time.Second, "127.0.0.1:9")
	dir := t.TempDir()
	bad := put(t, dir, "pam.toml", "[[server]]\nadress = \"x\"\n", 0o600)
	writable := put(t, dir, "writable.toml", Example, 0o666)
	for _, tt := range []struct{ args, want string }{
		{"one_promt " + good, `err="arguments of the module: \"one_promt\": no such option"`},
		{"config=" + bad, "pam.toml:1: server[0].address: required"},
		{"config=" + bad, "pam.toml:2: server[0].adress: no such setting"},
		{"config=" + writable, "writable.toml: cannot use the configuration: others than its owner"},
		{"config=" + dir + "/absent", "absent: cannot use the configuration: no such file or directory"},
	} {
		who := &person{answers: []string{"secret", "123456"}}
		h, log := testHelper(who)
		authtok := opaque.Text(canary)
		got := h.Authenticate(t.Context(), Start{Service: "su", User: "alice", HasAuthtok: true, Authtok: authtok, Args: strings.Fields(tt.args)})
		if got.Outcome != Unavailable || len(who.prompts) > 0 {
			t.Errorf("%s: %d after prompts %q", tt.args, got.Outcome, who.prompts)
		}
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, `level=ERROR msg="cannot decide" user=alice service=su err=`) {
				t.Errorf("%s: logged %s", tt.args, line)
			}
		}
		if !strings.Contains(log.String(), tt.want) {
			t.Errorf("%s: logged\n%swant %s", tt.args, log, tt.want)
		}
		if string(authtok.Reveal()) == canary {
			t.Error("PAM_AUTHTOK is still there")
		}
	}
}

type funcConversation func(Style, string) (opaque.Bytes, error)

func (f funcConversation) Prompt(style Style, text string) (opaque.Bytes, error) {
	return f(style, text)
}

func TestPanicLetsNobodyIn(t *testing.T) {
	for _, value := range []any{canary, errors.New(canary), nil} {
		h, log := testHelper(funcConversation(func(Style, string) (opaque.Bytes, error) {
			if value == nil {
				clear([]int{}[:len(os.Args[:0])+1]) // a panic of the runtime
			}
			panic(value)
		}))
		got := h.Authenticate(t.Context(), Start{User: "alice", Args: []string{configured(t, time.Second, "127.0.0.1:9")}})
		if got.Outcome != Unavailable || !strings.Contains(log.String(), "msg=panic user=alice") || strings.Contains(log.String(), canary) {
			t.Errorf("%v: %d, logged\n%s", value, got.Outcome, log)
		}
	}
}

// An error that is not known never lets anybody in, and is no refusal.
func TestOutcomeOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Outcome
	}{
		{nil, Accepted},
		{refuseNoCode, Refused},
		{fmt.Errorf("x: %w", refuseNoCode), Refused},
		{errNotEnrolled, NotEnrolled},
		{fmt.Errorf("x: %w", ErrNoAnswer), Aborted},
		{errSilence, Unavailable},
		{errors.New("not enrolled"), Unavailable},
		{context.Canceled, Unavailable},
		{Faults{{}}, Unavailable},
	} {
		if got := outcomeOf(tt.err); got != tt.want {
			t.Errorf("outcomeOf(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

// Nothing of what is typed reaches the log, whatever comes of it, and hostile
// names reach it as one line.
func TestTheLogShowsNoSecrets(t *testing.T) {
	const password, code, again = "Xyzzy-Plugh", "83412907", "77120934"
	for _, args := range []string{"", "one_prompt", "code_only", "try_first_pass forward_pass", "use_first_pass", "one_prompt use_first_pass forward_pass"} {
		for _, reply := range []*radius.Reply{accept, reject, notEnrolled, challenge(""), nil} {
			for _, typed := range [][]string{{password, code, again}, {password + code, again}, {code, again}, {password, password}, {password + "\x00", code}, {strings.Repeat(password, 20), code}} {
				synctest.Test(t, func(t *testing.T) {
					h, log := testHelper(&person{answers: typed})
					h.servers = func(*Config) asker {
						if reply == nil {
							return &oracle{}
						}
						return &oracle{replies: []*radius.Reply{reply, reply}}
					}
					h.Authenticate(t.Context(), Start{User: "a\nlevel=ERROR\x1b", Service: "s\td", RHost: strings.Repeat("h", 9999), HasAuthtok: true, Authtok: opaque.Text(password + code),
						Args: append(strings.Fields(args), configured(t, time.Second, "127.0.0.1:9"))})
					for _, secret := range []string{password, code, again, testSecret} {
						if strings.Contains(log.String(), secret) {
							t.Errorf("%q, typed %q: the log shows a secret:\n%s", args, typed, log)
						}
					}
					if lines := strings.Count(log.String(), "\n"); lines > 1 || lines == 1 && len(log.String()) > 600 || strings.Contains(log.String(), "\x1b") {
						t.Errorf("%q, typed %q: logged\n%s", args, typed, log)
					}
				})
			}
		}
	}
}

func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log := Syslog(path, func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) })
	for want, write := range map[string]func(){
		`<85>Mar  1 12:00:00 pam_lockstep[%d]: level=INFO msg=refused user="a\nb" x=1`:      func() { log.With("user", "a\nb").Info("refused", "x", 1) },
		`<83>Mar  1 12:00:00 pam_lockstep[%d]: level=ERROR msg="cannot decide" g.err=cause`: func() { log.WithGroup("g").Error("cannot decide", "err", errors.New("cause")) },
		`<84>Mar  1 12:00:00 pam_lockstep[%d]: level=WARN msg=x`:                            func() { log.Debug("nothing"); log.Warn("x") },
	} {
		write()
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if got := strings.TrimSuffix(string(b[:n]), "\n"); err != nil || got != fmt.Sprintf(want, os.Getpid()) {
			t.Errorf("logged %q, %v; want %q", got, err, want)
		}
	}
}

// A log that nobody reads holds up nobody.
func TestSyslogThatHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h := &syslogHandler{path: path, now: time.Now}
	began := time.Now()
	for err = nil; err == nil; {
		err = h.write(5, "line\n") // until the queue is full
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	Syslog(filepath.Join(t.TempDir(), "absent"), time.Now).Error("goes nowhere")
}

// The whole way to a real verifier: a code once, then out of step and by the
// next one in again.
func TestRealVerifier(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := make([]byte, 20)
	rand.Read(raw)
	key := verifier.Key{Bytes: opaque.Of(raw), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}
	salted := sha1.Sum([]byte("secretsalt"))
	put(t, dir, "people.ldif", fmt.Sprintf("dn: uid=alice,dc=x\nuid: alice\nuserPassword: {SSHA}%s\noathSecret: %s\n",
		base64.StdEncoding.EncodeToString(append(salted[:], "salt"...)), base32.StdEncoding.EncodeToString(raw)), 0o600)
	s, err := server.Start(&config.Config{
		Directory: config.Directory{URLs: []string{"ldif:" + filepath.Join(dir, "people.ldif")}, LoginAttribute: "uid", Schema: "oath",
			KeyAttribute: "oathSecret", KeyEncoding: "base32", Timeout: time.Second, Pool: 2},
		Store:    config.Store{Engine: "bolt", Path: filepath.Join(dir, "state.db")},
		Verifier: config.Verifier{MaxFailures: 100},
		Admin:    config.Admin{Socket: filepath.Join(dir, "admin.sock")},
		Radius: config.Radius{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Clients: []config.Client{{
			Name: "host", Address: netip.MustParsePrefix("127.0.0.0/8"), Secret: opaque.Text(testSecret), RequireMessageAuthenticator: true, Factors: "password+code", Challenge: true}}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	arg := configured(t, 10*time.Second, s.Addrs()[0].String())
	code := func(ahead int64) string {
		c, err := key.Code(key.Step(time.Now()) + ahead)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	try := func(what string, want Outcome, answers ...string) {
		t.Helper()
		who := &person{answers: answers}
		h, log := testHelper(who)
		if got := h.Authenticate(t.Context(), Start{User: "alice", Service: "sshd", RHost: what, Args: []string{arg}}); got.Outcome != want {
			t.Errorf("%s: %d, want %d\nprompts %q\n%s", what, got.Outcome, want, who.prompts, log)
		}
	}
	now := code(0)
	try("a right code", Accepted, "secret", now)
	try("the same code", Refused, "secret", now)
	try("another password", Refused, "secret2", code(1))
	far, next := code(20), code(21)
	try("a code that is out of step, and the next one", Accepted, "secret", far, next)
	try("one string for all prompts", Refused, "secret"+next, "secret"+next)
}
