package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// toJournal reports whether a stream goes to systemd's journal, as JOURNAL_STREAM
// says (systemd.exec(5)).
func toJournal(stream any, journal string) bool {
	f, ok := stream.(*os.File)
	if !ok || journal == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && journal == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalHandler writes each line behind its priority (sd-daemon(3)), which the
// journal takes off, so that "journalctl -p warning" finds the warnings.
type journalHandler struct {
	of      [len(priorities)]slog.Handler
	minimum slog.Leveler
	text    bool // lines have no time: the journal has its own
}

// The levels that have a priority of their own, the lowest first.
var priorities = [...]struct {
	level  slog.Level
	prefix string
}{{slog.LevelDebug, "<7>"}, {slog.LevelInfo, "<6>"}, {slog.LevelWarn, "<4>"}, {slog.LevelError, "<3>"}}

// newJournalHandler returns one whose lines are made by the handler that build
// returns for a Writer.
func newJournalHandler(to io.Writer, minimum slog.Leveler, text bool, build func(io.Writer) slog.Handler) *journalHandler {
	h := &journalHandler{minimum: minimum, text: text}
	for i, p := range priorities {
		h.of[i] = build(&prefixed{to: to, line: []byte(p.prefix)})
	}
	return h
}

// prefixed writes each line behind a prefix, which is the start of line. Handlers
// of log/slog write one line at a time.
type prefixed struct {
	to   io.Writer
	line []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.line = append(p.line[:len("<6>")], b...)
	_, err := p.to.Write(p.line)
	return len(b), err
}

// Enabled implements [slog.Handler].
func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.minimum.Level()
}

// Handle implements [slog.Handler].
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	i := len(priorities) - 1
	for i > 0 && r.Level < priorities[i].level {
		i--
	}
	if h.text {
		r.Time = time.Time{}
	}
	return h.of[i].Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements [slog.Handler].
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return h.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (h *journalHandler) each(with func(slog.Handler) slog.Handler) slog.Handler {
	next := *h
	for i, of := range h.of {
		next.of[i] = with(of)
	}
	return &next
}
