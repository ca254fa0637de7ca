package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width int // of the terminal
		every time.Duration
		want  string
	}{
		{"in a log, a short task is silent", 0, time.Second, ""},
		{"in a log, a long one has a line each 10 s", 0, 4 * time.Second, "lockstep: sealing: 3 of 4\n"},
		{"on a terminal, a bar that is drawn anew and goes", 28, 60 * time.Millisecond, "\r\x1b[Ksealing 2 of 4 [#####.....]\r\x1b[Ksealing 4 of 4 [##########]\r\x1b[K"},
		{"on a narrow terminal, the numbers alone", 18, 60 * time.Millisecond, "\r\x1b[Ksealing 2 of 4\r\x1b[Ksealing 4 of 4\r\x1b[K"},
		{"on a terminal, a very short task is silent", 80, time.Millisecond, ""},
	} {
		var out bytes.Buffer
		at := time.Unix(0, 0)
		p := &progress{w: &out, what: "sealing", width: tt.width, now: func() time.Time { return at }, last: at}
		for i := range 4 {
			at = at.Add(tt.every)
			p.step(i+1, 4)
		}
		p.end()
		if got := out.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// No line is wider than its terminal, or it would not go away.
func TestBarFits(t *testing.T) {
	for width := range 120 {
		for done := range 11 {
			if line := bar("enrolling", done*100_000, 1_000_000, width); len(line) > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
	if got := bar("x", 0, 0, 80); strings.Contains(got, "[") {
		t.Errorf("nothing to do: %q", got)
	}
}

func TestProgressKnowsATerminal(t *testing.T) {
	_, tty := terminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 47, Row: 10}); err != nil {
		t.Fatal(err)
	}
	if p := newApp(tty, tty, tty).progress("x"); p.width != 47 {
		t.Errorf("width %d, want 47", p.width)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if p := newApp(null, null, null).progress("x"); p.width != 0 {
		t.Errorf("width %d of what is no terminal", p.width)
	}
}
