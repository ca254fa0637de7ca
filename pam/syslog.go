package pam

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
)

// SyslogPath is where the system's log listens.
const SyslogPath = "/dev/log"

// Syslog returns a logger that writes to the system's log at path, as facility
// LOG_AUTHPRIV and with the name pam_lockstep. It connects when there is
// something to write. Lines are lost where nobody takes them within a second:
// a log that hangs keeps nobody from logging in.
func Syslog(path string, now func() time.Time) *slog.Logger {
	return slog.New(&syslogHandler{path, now, func(text slog.Handler) slog.Handler { return text }})
}

type syslogHandler struct {
	path string
	now  func() time.Time
	with func(slog.Handler) slog.Handler // adds the attributes and groups of With
}

func (h *syslogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle implements [slog.Handler]. The line is that of the server's log, less
// the time, which syslog has of its own.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	var line strings.Builder
	text := h.with(slog.NewTextHandler(&line, nil))
	r.Time = time.Time{}
	if err := text.Handle(ctx, r); err != nil {
		return err
	}
	return h.write(severity(r.Level), line.String())
}

// WithAttrs implements [slog.Handler].
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.path, h.now, func(text slog.Handler) slog.Handler { return h.with(text).WithAttrs(attrs) }}
}

// WithGroup implements [slog.Handler].
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.path, h.now, func(text slog.Handler) slog.Handler { return h.with(text).WithGroup(name) }}
}

// severity returns that of RFC 5424, section 6.2.1. Info is notice, which is
// what other modules log refusals with.
func severity(level slog.Level) int {
	const err, warning, notice = 3, 4, 5
	switch {
	case level >= slog.LevelError:
		return err
	case level >= slog.LevelWarn:
		return warning
	}
	return notice
}

func (h *syslogHandler) write(severity int, line string) error {
	const authpriv = 10 << 3
	conn, err := net.Dial("unixgram", h.path)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer conn.Close()
	// The socket's deadline is the real clock's.
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, err = fmt.Fprintf(conn, "<%d>%s pam_lockstep[%d]: %s", authpriv|severity, h.now().Format(time.Stamp), os.Getpid(), line)
	return err
}
