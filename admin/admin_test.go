package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var odd = []string{"a/b c?%", ".", "..", "", "a&name=b", "\n"}

type users struct {
	mu       sync.Mutex
	err      error
	unlocked []string
	asked    []string // the other actions, with their codes in clear
}

func (u *users) List(context.Context) ([]User, error) {
	return []User{{Name: "alice", Digits: 6, Period: 30}, {Name: "bob", Locked: true}}, u.err
}

func (u *users) Show(_ context.Context, name string) (User, error) {
	if u.err != nil {
		return User{}, u.err
	}
	if name != "alice" && !slices.Contains(odd, name) {
		return User{}, fmt.Errorf("%q: %w", name, ErrNoUser)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return User{Name: name, LastLogin: &at}, nil
}

func (u *users) Unlock(_ context.Context, name string) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unlocked = append(u.unlocked, name)
	return 7, u.err
}

func serve(t *testing.T, u *users, log *bytes.Buffer) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "admin.sock")
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(u, slog.New(slog.NewTextHandler(log, nil)), nil)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return NewClient(path), path
}

func TestRoundTrip(t *testing.T) {
	u, log := &users{}, &bytes.Buffer{}
	c, _ := serve(t, u, log)
	if list, err := c.List(t.Context()); err != nil || len(list) != 2 || !list[1].Locked {
		t.Errorf("List = %+v, %v", list, err)
	}
	for _, name := range append(odd, "alice") {
		if got, err := c.Show(t.Context(), name); err != nil || got.Name != name || got.LastLogin.IsZero() {
			t.Errorf("Show(%q) = %+v, %v", name, got, err)
		}
	}
	if _, err := c.Show(t.Context(), "nobody"); !errors.Is(err, ErrNoUser) || err.Error() != `"nobody": not enrolled` {
		t.Errorf("Show(nobody): %v", err)
	}
	if n, err := c.Unlock(t.Context(), "alice"); n != 7 || err != nil || len(u.unlocked) != 1 {
		t.Errorf("Unlock = %d, %v; %q", n, err, u.unlocked)
	}
	if want := fmt.Sprintf("action=unlock user=alice failures=7 uid=%d", os.Getuid()); !strings.Contains(log.String(), want) {
		t.Errorf("log %q, want %q", log, want)
	}
	u.err = errors.New("store is away")
	if _, err := c.Show(t.Context(), "alice"); err == nil || errors.Is(err, ErrNoUser) || !strings.Contains(err.Error(), "store is away") {
		t.Errorf("Show with a broken store: %v", err)
	}
}

func TestSocket(t *testing.T) {
	_, path := serve(t, &users{}, &bytes.Buffer{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v; want 0660", info.Mode(), err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("second Listen: %v", err)
	}

	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := NewClient(stale).List(t.Context()); err == nil || !strings.Contains(err.Error(), "is \"lockstep serve\" running") {
		t.Errorf("stale socket: %v", err)
	}
	if l, err = Listen(stale, ""); err != nil {
		t.Errorf("Listen over a stale socket: %v", err)
	} else {
		l.Close()
	}

	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	if _, err := Listen(file, ""); err == nil {
		t.Error("Listen over a file: no error")
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("Listen removed a file")
	}
	if _, err := Listen(filepath.Join(t.TempDir(), "x.sock"), "no-such-group-here"); err == nil {
		t.Error("unknown group: no error")
	}
}
