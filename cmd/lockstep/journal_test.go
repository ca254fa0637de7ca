package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/internal/loglines"
)

func TestLinesForTheJournal(t *testing.T) {
	for _, tt := range []struct{ format, want string }{
		{"text", "<6>level=INFO msg=decision user=alice q=1\n<4>level=WARN msg=odd user=alice g.x=1\n<3>level=ERROR msg=bad user=alice\n"},
		{"json", `<6>{"time":"2026-03-01T12:00:00Z","level":"INFO","msg":"decision","user":"alice","q":1}` + "\n" + `<4>`},
	} {
		out := &bytes.Buffer{}
		lines := loglines.NewWriter(out)
		log := logger(lines, &config.Config{Log: config.Log{Format: tt.format}}, &slog.LevelVar{}, true).With("user", "alice")
		log.Debug("not at this level")
		// As radiusd writes decisions.
		r := slog.NewRecord(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), slog.LevelInfo, "decision", 0)
		r.AddAttrs(slog.Int("q", 1))
		log.Handler().Handle(context.Background(), r)
		log.WithGroup("g").Warn("odd", "x", 1)
		log.Error("bad")
		lines.Close()
		if got := out.String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.format, got, tt.want)
		}
	}
}

func TestToJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	here := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	if !toJournal(f, here) || toJournal(f, "") || toJournal(f, here+"1") || toJournal(&bytes.Buffer{}, here) {
		t.Error("wrong about where a stream goes")
	}
}
