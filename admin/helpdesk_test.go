package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func (u *users) note(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, fmt.Sprintf(format, args...))
}

func (u *users) Explain(_ context.Context, name string, code opaque.Bytes) (Explanation, error) {
	u.note("explain %q %q", name, code.Reveal())
	if name == "nobody" {
		return Explanation{}, fmt.Errorf("%q: %w", name, ErrNoUser)
	}
	offset := 450.0
	return Explanation{User: name, Verdict: VerdictOut, Offset: &offset, Text: "from a clock 7 min 30 s ahead"}, u.err
}

func (u *users) Resync(_ context.Context, name string, first, second opaque.Bytes) (Resync, error) {
	u.note("resync %q %q %q", name, first.Reveal(), second.Reveal())
	return Resync{Reason: "code wrong"}, u.err
}

func (u *users) ResetClock(_ context.Context, name string) error {
	u.note("reset %q", name)
	return u.err
}

func (u *users) Seed(_ context.Context, keyID string, period time.Duration, step int64, at time.Time) error {
	u.note("seed %q %v %v %d", keyID, period, step, at.Unix())
	return u.err
}

func (u *users) Backup(_ context.Context, w io.Writer) error {
	if u.err == nil {
		_, err := io.WriteString(w, "a backup")
		return err
	}
	return u.err
}

func (u *users) SealingKeys(context.Context) ([]string, error) { return []string{"kid1"}, u.err }

func (u *users) Update(context.Context) error {
	u.note("update")
	return u.err
}

func (u *users) Doctor(context.Context) ([]Finding, error) { return nil, u.err }

func TestHelpdeskRoundTrip(t *testing.T) {
	u, log := &users{}, &bytes.Buffer{}
	c, _ := serve(t, u, log)
	e, err := c.Explain(t.Context(), "alice", opaque.Text("493817"))
	if err != nil || e.Verdict != VerdictOut || e.Offset == nil || *e.Offset != 450 || e.Accepted || e.SpentAt != nil {
		t.Errorf("Explain = %+v, %v", e, err)
	}
	if _, err := c.Explain(t.Context(), "nobody", opaque.Text("493817")); !errors.Is(err, ErrNoUser) {
		t.Errorf("Explain for nobody: %v", err)
	}
	if r, err := c.Resync(t.Context(), "a\"\nb", opaque.Text("493817"), opaque.Bytes{}); err != nil || r.Done || r.Reason != "code wrong" {
		t.Errorf("Resync = %+v, %v", r, err)
	}
	if err := c.ResetClock(t.Context(), "a&name=b"); err != nil {
		t.Errorf("ResetClock: %v", err)
	}
	if err := c.Seed(t.Context(), "key:01", 30*time.Second, 7, time.Unix(1234, 0)); err != nil {
		t.Errorf("Seed: %v", err)
	}
	if f, err := c.Doctor(t.Context()); err != nil || f == nil || len(f) != 1 || f[0].ID != "server.version" || f[0].Severity != OK {
		t.Errorf("Doctor = %#v, %v; want the version alone", f, err)
	}
	want := []string{`explain "alice" "493817"`, `explain "nobody" "493817"`, `resync "a\"\nb" "493817" ""`, `reset "a&name=b"`, `seed "key:01" 30s 7 1234`}
	if !slices.Equal(u.asked, want) {
		t.Errorf("asked %q, want %q", u.asked, want)
	}
}

// Every action leaves a line that says who did what to whom, and none has a code.
func TestActionsAreLogged(t *testing.T) {
	u, log := &users{}, &bytes.Buffer{}
	c, _ := serve(t, u, log)
	do := func() (all []error) {
		_, e1 := c.Explain(t.Context(), "alice", opaque.Text("493817"))
		_, e2 := c.Resync(t.Context(), "alice", opaque.Text("493817"), opaque.Text("493818"))
		return append(all, e1, e2, c.ResetClock(t.Context(), "alice"), c.Seed(t.Context(), "key:01", 30*time.Second, 7, time.Unix(1234, 0)))
	}
	lines := []string{
		`action=explain user=alice result="out of step" uid=%d`, `action=resync user=alice done=false offset=0 reason="code wrong" uid=%d`,
		`action=reset-clock user=alice uid=%d`, `action=seed key_id=key:01 uid=%d`,
	}
	if err := errors.Join(do()...); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if want := "msg=\"admin action\" " + fmt.Sprintf(line, os.Getuid()); !strings.Contains(log.String(), want) {
			t.Errorf("log %q, want %q", log, want)
		}
	}
	log.Reset()
	u.err = errors.New("store is away")
	for i, err := range do() {
		if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "store is away") {
			t.Errorf("action %d with a broken store: %v", i, err)
		}
	}
	if n := strings.Count(log.String(), `msg="admin action failed"`); n != len(lines) {
		t.Errorf("%d lines about failures, want %d: %s", n, len(lines), log)
	}
	if _, err := c.Doctor(t.Context()); err == nil || !strings.Contains(err.Error(), "store is away") {
		t.Errorf("Doctor with a broken store: %v", err)
	}
	if strings.Contains(log.String(), "49381") {
		t.Errorf("a code is in the log: %s", log)
	}
}

func TestLongNamesDoNotFillTheLog(t *testing.T) {
	log := &bytes.Buffer{}
	c, _ := serve(t, &users{}, log)
	if err := c.ResetClock(t.Context(), strings.Repeat("n", 3000)); err != nil || log.Len() > 500 {
		t.Errorf("%v, and %d octets of log", err, log.Len())
	}
}

const canary = "31415926"

// bodies are what a request may send, and the status that it gets.
var bodies = []struct {
	name, method, path, body string
	status                   int
}{
	{"a question", "POST", "/v1/explain", `{"user":"alice","code":"31415926"}`, 200},
	{"blanks around it", "POST", "/v1/explain", " \n{\"user\":\"alice\",\"code\":\"\"}\n ", 200},
	{"nothing", "POST", "/v1/explain", ``, 400},
	{"null", "POST", "/v1/explain", `null`, 400},
	{"a list", "POST", "/v1/explain", `["31415926"]`, 400},
	{"a code that is a number", "POST", "/v1/explain", `{"user":"alice","code":31415926}`, 400},
	{"a code that is null", "POST", "/v1/explain", `{"user":"alice","code":null}`, 400},
	{"no user", "POST", "/v1/explain", `{"code":"31415926"}`, 400},
	{"an unknown field", "POST", "/v1/explain", `{"user":"alice","code":"1","31415926":1}`, 400},
	{"a field of another request", "POST", "/v1/explain", `{"user":"alice","codes":["31415926","1"]}`, 400},
	{"something after it", "POST", "/v1/explain", `{"user":"alice","code":"1"} 31415926`, 400},
	{"two values", "POST", "/v1/explain", `{"user":"alice","code":"1"}{"user":"bob","code":"31415926"}`, 400},
	{"cut off", "POST", "/v1/explain", `{"user":"alice","code":"31415926"`, 400},
	{"too long", "POST", "/v1/explain", `{"user":"alice","code":"31415926` + strings.Repeat("1", maxBody) + `"}`, 413},
	{"too long after the value", "POST", "/v1/explain", `{"user":"alice","code":"1"}` + strings.Repeat(" ", maxBody), 413},
	{"another method", "GET", "/v1/explain", `{"user":"alice","code":"31415926"}`, 405},
	{"two codes", "POST", "/v1/resync", `{"user":"alice","codes":["31415926","2"]}`, 200},
	{"one code", "POST", "/v1/resync", `{"user":"alice","codes":["31415926"]}`, 400},
	{"three codes", "POST", "/v1/resync", `{"user":"alice","codes":["31415926","2","3"]}`, 400},
	{"no second code", "POST", "/v1/resync", `{"user":"alice","codes":["31415926",null]}`, 400},
	{"resync by GET", "GET", "/v1/resync", ``, 405},
	{"a seed", "POST", "/v1/seed", `{"key_id":"key:01","period_seconds":30,"step":31415926,"at":"2026-03-01T12:00:00Z"}`, 200},
	{"a seed without a step", "POST", "/v1/seed", `{"key_id":"key:01","period_seconds":30,"at":"2026-03-01T12:00:00Z"}`, 400},
	{"a seed without a period", "POST", "/v1/seed", `{"key_id":"key:01","step":1,"at":"2026-03-01T12:00:00Z"}`, 400},
	{"a seed without a time", "POST", "/v1/seed", `{"key_id":"key:01","period_seconds":30,"step":1}`, 400},
	{"a seed without a key", "POST", "/v1/seed", `{"period_seconds":30,"step":1,"at":"2026-03-01T12:00:00Z"}`, 400},
	{"a step that is no number", "POST", "/v1/seed", `{"key_id":"key:01","period_seconds":30,"step":1e99,"at":"2026-03-01T12:00:00Z"}`, 400},
	{"a step that is null", "POST", "/v1/seed", `{"key_id":"key:01","period_seconds":30,"step":null,"at":"2026-03-01T12:00:00Z"}`, 400},
	{"reset by GET", "GET", "/v1/reset-clock?name=alice", ``, 405},
	{"doctor by POST", "POST", "/v1/doctor", ``, 405},
	{"no such question", "POST", "/v1/enlighten", `{}`, 404},
}

// send gives one request to the handler, without a socket, and returns the
// answer and all that was logged.
func send(u *users, method, path, kind, body string) (*httptest.ResponseRecorder, string) {
	log := &bytes.Buffer{}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	NewServer(u, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil).Handler.ServeHTTP(w, r)
	return w, log.String()
}

func TestBodies(t *testing.T) {
	for _, tt := range bodies {
		u := &users{}
		w, log := send(u, tt.method, tt.path, "application/json; charset=utf-8", tt.body)
		if w.Code != tt.status || (len(u.asked) > 0) != (tt.status == 200) {
			t.Errorf("%s: status %d, asked %q; want %d", tt.name, w.Code, u.asked, tt.status)
		}
		if said := w.Body.String() + log; strings.Contains(said, canary) {
			t.Errorf("%s: the code is in %q", tt.name, said)
		}
	}
	u := &users{}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json, text/plain"} {
		if w, _ := send(u, "POST", "/v1/explain", kind, `{"user":"alice","code":"1"}`); w.Code != 415 || len(u.asked) > 0 {
			t.Errorf("Content-Type %q: status %d, asked %q", kind, w.Code, u.asked)
		}
	}
}

// A body that is not as wanted says how it should be, and one that stops
// halfway does not hold the server up.
func TestRefusalsAreExplained(t *testing.T) {
	w, _ := send(&users{}, "POST", "/v1/resync", "application/json", `{}`)
	var f failure
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Error != `the body is not as wanted: {"user":"NAME","codes":["DIGITS","DIGITS"]}` {
		t.Errorf("%q, %v", w.Body, err)
	}
	if s := NewServer(&users{}, slog.New(slog.DiscardHandler), nil); s.ReadTimeout <= 0 || s.ReadTimeout > 10*time.Second {
		t.Errorf("a body may take %v", s.ReadTimeout)
	}
}

func FuzzBody(f *testing.F) {
	for _, b := range bodies {
		f.Add(b.path, b.body)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		if !slices.Contains([]string{"/v1/explain", "/v1/resync", "/v1/seed"}, path) {
			path = "/v1/explain"
		}
		u := &users{}
		w, log := send(u, "POST", path, "application/json", body)
		if !json.Valid(w.Body.Bytes()) || w.Code == 200 != (len(u.asked) == 1) || w.Code == 200 != (log != "") {
			t.Fatalf("%s %q: status %d, %q, asked %q, logged %q", path, body, w.Code, w.Body, u.asked, log)
		}
		if !slices.Contains([]int{200, 400, 404, 413}, w.Code) {
			t.Fatalf("%s %q: status %d", path, body, w.Code)
		}
		if w.Code == 200 && (len(body) > maxBody || !json.Valid([]byte(body))) {
			t.Fatalf("%s took %q", path, body)
		}
		if w.Code >= 400 && w.Code != 404 && strings.Contains(w.Body.String(), canary) {
			t.Fatalf("%s %q: the refusal is %q", path, body, w.Body)
		}
	})
}

func TestBodiesDoNotPrint(t *testing.T) {
	b := resyncBody{"alice", []code{{opaque.Text(canary)}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(verb, b); strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func TestUnreachable(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone.sock")
	if _, err := NewClient(gone).Doctor(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no socket: %v", err)
	}
	// What was taken by somebody is another matter, whatever came of it.
	for _, tt := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"a server without that question", "404 Not Found; does it run the same version?", http.NotFound},
		{"one that breaks off", "EOF", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		path := filepath.Join(t.TempDir(), "other.sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: tt.handler}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		err = NewClient(path).Seed(t.Context(), "key:01", 30*time.Second, 1, time.Unix(1, 0))
		if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
