package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func TestWatchdogTime(t *testing.T) {
	for _, tt := range []struct {
		name, usec, pid string
		want            time.Duration
	}{
		{"there is none", "", "", 0},
		{"it is for us", "30000000", strconv.Itoa(os.Getpid()), 30 * time.Second},
		{"it is for whoever is there", "30000000", "", 30 * time.Second},
		{"it is for another process", "30000000", "1", 0},
		{"it is no number", "soon", "", 0},
		{"it is negative", "-1", "", 0},
		{"it is never", "18446744073709551615", "", 0},
	} {
		if got := watchdogTime(tt.usec, tt.pid); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// systemd listens for what a service says of itself.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// heard returns what the service has said until now.
func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	n, err := c.Read(buffer)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestTheWatchdogIsFedWhileTheServerLives(t *testing.T) {
	c := systemd(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	log := &testenv.Buffer{}
	for _, tt := range []struct {
		name  string
		alive func(context.Context) error
		want  string
	}{
		{"it does", func(context.Context) error { return nil }, "WATCHDOG=1"},
		{"it does not", func(context.Context) error { return errors.New("stuck") }, ""},
		{"it does not even answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ""},
	} {
		d := watchdog(slog.New(slog.NewTextHandler(log, nil)), tt.alive)
		<-d.due
		d.feed()
		d.stop()
		if got := heard(t, c); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if n := strings.Count(log.String(), "does not work any more"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, log)
	}
}

func TestNoWatchdog(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "300000")
	if d := watchdog(slog.New(slog.DiscardHandler), nil); d.due != nil {
		t.Error("nobody listens, and it is fed")
	}
}
