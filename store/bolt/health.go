package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"lockstep/store"
)

const (
	probeEvery = time.Second     // at most one probe in this time
	stuckAfter = 2 * time.Second // a commit that takes longer is a failure to Check
)

// health remembers how the last commit went.
type health struct {
	mu      sync.Mutex // guards all below; never held across a call
	err     error      // of the last commit, nil if it succeeded
	damaged error      // never cleared: bbolt panicked and may hold its locks
	began   time.Time  // of the commit under way, zero if there is none
	probed  time.Time
}

func (h *health) begin(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = now
}

// end takes the outcome of a commit, and reports whether it differs from that
// of the last. A commit that had nothing to write says nothing about the disk.
func (h *health) end(wrote bool, err error) (turned bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = time.Time{}
	if err == nil && !wrote {
		return false
	}
	turned = (err == nil) != (h.err == nil)
	h.err = err
	return turned
}

func (h *health) condemn(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.damaged == nil {
		h.damaged = fmt.Errorf("%w; restart lockstep, and restore the file if that does not help", err)
	}
}

func (h *health) condemned() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.damaged
}

// ask returns what is wrong, and whether the caller should find out by a probe
// if it still is. noFile says that something is, whatever the last commit was.
func (h *health) ask(now time.Time, noFile bool) (err error, probe bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.damaged != nil {
		return h.damaged, false
	}
	if took := now.Sub(h.began); !h.began.IsZero() && took > stuckAfter {
		return fmt.Errorf("a write has been under way for %v", took.Round(time.Second)), false
	}
	err = h.err
	if err == nil && noFile {
		err = errNoFile
	}
	if err == nil {
		return nil, false
	}
	if since := now.Sub(h.probed); since >= 0 && since < probeEvery {
		return err, false
	}
	h.probed = now
	return err, true
}

// Check implements [store.Store]. A write that has been under way for over two
// seconds is an error too. Check gives up when ctx is done.
func (s *Store) Check(ctx context.Context) error {
	if s.queue.isClosed() {
		return fmt.Errorf("check state file %s: %w", s.path, store.ErrClosed)
	}
	err, due := s.health.ask(s.opts.Now(), !s.isOpen())
	if due {
		err = s.await(ctx)
	}
	if err != nil {
		return fmt.Errorf("check state file %s: %w", s.path, err)
	}
	return nil
}

// await has a probe committed as do does, but leaves when ctx is done.
func (s *Store) await(ctx context.Context) error {
	r := &request{do: probe}
	if err := s.enqueue(r); err != nil {
		return err
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errNoFile = errors.New("the file cannot be opened")

// unavailable says why there is no file to read, and has a probe look
// whether there is one again: a login reads first, and would never come to
// write.
func (s *Store) unavailable() error {
	if s.queue.isClosed() {
		return store.ErrClosed
	}
	err, due := s.health.ask(s.opts.Now(), true)
	if due {
		// Nobody waits for the answer, and a full queue is a try as well.
		_ = s.enqueue(&request{do: probe})
	}
	return errors.Join(errNoFile, err)
}

// errPanic wraps what was a panic, or a fault in the mapped file, as happens
// where the file was cut short or the disk cannot read a page.
var errPanic = errors.New("the file is damaged")

// guard is to be deferred. It turns a panic into *err. Beside it
// [debug.SetPanicOnFault] must be on, or a fault ends the process.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}

// panicOnFault turns faults of this goroutine into panics, until the function
// that it returns is called.
func panicOnFault() (restore func()) {
	old := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(old) }
}
