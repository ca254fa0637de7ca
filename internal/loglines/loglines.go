// Package loglines writes the lines of a log together when there are many. A line
// for each login is a system call for each login otherwise.
//
// # What it promises
//
//   - Lines come out whole and in the order in which they were written.
//   - A line after a pause is written at once; others wait for [Longest] at most.
//     A warning or an error does not wait, with [Handler].
//   - Memory is bounded. While the destination blocks, so do those who write: no
//     line is dropped.
//   - An error of the destination loses what it was given then, and nothing later.
//
// # What it does not
//
// A process that is killed loses the lines that wait: those of the last two
// milliseconds, or more if the destination blocks. So does a panic that nobody
// recovers.
package loglines

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Longest is how long a line waits for others.
const Longest = 2 * time.Millisecond

const (
	pause = time.Millisecond // since the last write: then a line goes out at once
	most  = 32 << 10         // octets that wait
)

// Writer gathers lines. Each call of Write is one, or several whole ones. Its
// methods may be called at once.
type Writer struct {
	to io.Writer

	mu      sync.Mutex // guards those below
	lines   []byte     // that wait
	spare   []byte     // what lines becomes next
	writing bool       // somebody writes to the destination, without mu
	wrote   time.Time  // when that was over last
	done    sync.Cond  // it is over
	timer   *time.Timer
	closed  bool
}

// NewWriter returns a Writer of lines to a destination, which nobody else should
// write to before Close.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to}
	w.done.L = &w.mu
	return w
}

// Write takes lines. It waits for the destination where that is behind. The error
// is nil: there is nobody to tell when a line that has waited cannot be written.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && len(w.lines)+len(lines) > most {
		w.done.Wait()
	}
	first := len(w.lines) == 0
	w.lines = append(w.lines, lines...)
	switch {
	case w.closed:
		w.flush()
	case w.writing: // whoever does sees to them
	case len(w.lines) >= most, first && time.Since(w.wrote) >= pause:
		w.write()
	case first:
		w.arm()
	}
	return len(lines), nil
}

// Flush returns when the destination has all lines that were written before.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// Close is Flush, and lines that are written later do not wait for others. The
// destination stays open.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.flush()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *Writer) flush() {
	for w.writing {
		w.done.Wait()
	}
	if len(w.lines) > 0 {
		w.write()
	}
}

// write gives the lines to the destination. Others may add to those that wait
// meanwhile.
func (w *Writer) write() {
	lines := w.lines
	w.lines, w.writing = w.spare[:0], true
	w.mu.Unlock()
	w.to.Write(lines) // as log/slog, which has nobody to tell either
	w.mu.Lock()
	w.spare, w.writing, w.wrote = lines[:0], false, time.Now()
	if cap(lines) > 2*most { // for a line of uncommon length
		w.spare = nil
	}
	if len(w.lines) > 0 {
		w.arm()
	}
	w.done.Broadcast()
}

// arm sees to it that the lines are written before long.
func (w *Writer) arm() {
	if w.timer == nil {
		w.timer = time.AfterFunc(Longest, w.Flush)
		return
	}
	w.timer.Reset(Longest)
}

// Handler returns one that writes as h does, which writes to w, and lets nothing
// wait that is a warning or worse.
func Handler(h slog.Handler, w *Writer) slog.Handler { return &urgent{h, w} }

type urgent struct {
	slog.Handler
	writer *Writer
}

// Handle implements [slog.Handler].
func (u *urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		u.writer.Flush()
	}
	return err
}

// WithAttrs implements [slog.Handler].
func (u *urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &urgent{u.Handler.WithAttrs(attrs), u.writer}
}

// WithGroup implements [slog.Handler].
func (u *urgent) WithGroup(name string) slog.Handler {
	return &urgent{u.Handler.WithGroup(name), u.writer}
}
