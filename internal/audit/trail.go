package audit

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where a trail goes.
type Options struct {
	File     string      // its path; empty for none
	Syslog   string      // tcp:// or tls:// with host and port; empty for none
	TLS      *tls.Config // for tls://; nil trusts whom the system trusts
	Required bool        // needs File: nothing may be done that is not in it
	Host     string      // of this machine, for headers and syslog; hostile or empty will do
	Log      *slog.Logger
	Now      func() time.Time // default time.Now
}

const (
	maxQueue   = 4 << 20              // octets that wait for the writer, and as many for each destination
	gather     = 2 * time.Millisecond // records that come in it are written together
	retryAfter = time.Second          // after a write that failed
	hangsAfter = 5 * time.Second      // a write that takes so long
	headEvery  = time.Hour            // the head of the chain is put into the log, if it has moved
)

// Trail is a trail that is open. Its methods may be called at once. A nil Trail
// takes records and keeps none.
type Trail struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	wake    chan struct{} // holds one: there is something in the queue
	reopen  chan chan error
	closing chan struct{}
	ended   chan struct{}
	failing atomic.Pointer[error]     // why the file cannot be written; nil if it can
	writing atomic.Pointer[time.Time] // since when it is being written; nil if it is not

	mu     sync.Mutex // guards those below
	queue  []byte     // bodies that wait, each with a newline
	spare  []byte     // what queue becomes next
	lost   uint64     // records for which the queue had no room
	turn   *turn      // those who wait for what is in the queue; nil if nobody
	closed bool
	status Status
	told   head // where the chain was when the writer was done last

	// Of the writer alone.
	chain   *chain
	file    *file
	out     []byte // lines that the file has not got yet
	skipped uint64 // records behind out that it does not get
	remote  *remote
	body    []byte
	one     []byte
	logged  uint64 // the head that was put into the log last
}

// turn is what the writer takes at once.
type turn struct {
	done chan struct{}
	err  error // set before done is closed
}

// Status is how a trail stands.
type Status struct {
	Records uint64 // in the chain
	Hash    string // of the last of them, in hex
	Lost    uint64 // that are not in the chain, or not in the file, since Open
	Failing error  // why the file cannot be written; nil if it can

	Syslog     error  // why the syslog server cannot be reached; nil if it can, or if there is none
	SyslogLost uint64 // that it did not get since Open
}

// ErrUnwritten is what errors of Record and Ready wrap.
var ErrUnwritten = errors.New("the audit trail cannot be written")

// Open opens a trail. A file that cannot be opened, or that another process writes,
// is an error; a syslog server that cannot be reached, or a disk without room, is
// not. Options that name neither are a nil Trail.
func Open(o Options) (*Trail, error) {
	if o.File == "" && o.Syslog == "" {
		return nil, nil
	}
	return open(o, nil)
}

// open is Open with another way to the syslog server; nil for the usual one.
func open(o Options, dial dialer) (*Trail, error) {
	t := &Trail{o: o, log: o.Log, now: o.Now, wake: make(chan struct{}, 1), reopen: make(chan chan error),
		closing: make(chan struct{}), ended: make(chan struct{}), chain: newChain(head{})}
	if t.now == nil {
		t.now = time.Now
	}
	if o.Syslog != "" {
		var err error
		if t.remote, err = newRemote(o, t, dial); err != nil {
			return nil, err
		}
	}
	if o.File != "" {
		f, err := openFile(o.File)
		if err != nil {
			return nil, fmt.Errorf("open the audit trail: %w", err)
		}
		if f.damaged {
			t.log.Error("the end of the audit trail is damaged, a new chain begins", "path", o.File,
				"hint", "\"lockstep audit verify\" says where; keep the file and move it away")
			f.end = head{}
		}
		t.file, t.chain.head = f, f.end
	}
	t.begin()
	if t.file != nil && t.file.owed > 0 {
		t.confess(t.file.owed)
	}
	t.deliver()
	t.logHead()
	if t.remote != nil {
		go t.remote.run()
	}
	go t.run()
	return t, nil
}

// begin puts a header where this process begins.
func (t *Trail) begin() {
	var torn []slog.Attr
	if t.file != nil {
		torn = t.file.tornFacts()
	}
	t.one = t.headerFor(t.one[:0], torn...)
	t.remote.add(t.one, 0)
	t.toFile(t.one)
}

// headerFor appends a header for what follows, behind the chain as it is.
func (t *Trail) headerFor(b []byte, facts ...slog.Attr) []byte {
	return t.headerAt(b, t.chain.head, facts...)
}

func (t *Trail) headerAt(b []byte, at head, facts ...slog.Attr) []byte {
	facts = append(facts, slog.String("host", t.o.Host))
	t.body = appendBody(t.body[:0], t.now(), "file", facts)
	return t.chain.header(b, at, t.body)
}

// toFile has the file get a line, behind what it has not got yet. A fragment in
// the file is ended first.
func (t *Trail) toFile(line []byte) {
	if t.file == nil {
		return
	}
	if t.file.unended {
		t.out, t.file.unended = append(t.out, '\n'), false
	}
	t.out = append(t.out, line...)
}

// Record adds a record of an event, at this moment. facts follow in their order;
// values are strings, numbers, booleans or times, and strings are cut at about 1000
// octets. Keys that lines have already (seq, time, event, hash) are not to be used.
//
// Without Options.Required the error is nil. With it, nil means that the operating
// system has the record for the file, and an error, which wraps ErrUnwritten, that
// it has not, or that ctx ended before it was known.
func (t *Trail) Record(ctx context.Context, event string, facts ...slog.Attr) error {
	if t == nil {
		return nil
	}
	turn, ok := t.put(event, facts, t.o.Required)
	switch {
	case !t.o.Required:
		return nil
	case !ok:
		return fmt.Errorf("%w: too much waits for it", ErrUnwritten)
	}
	select {
	case <-turn.done:
		if turn.err != nil {
			return fmt.Errorf("%w: %w", ErrUnwritten, turn.err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnwritten, context.Cause(ctx))
	}
}

// Note is Record without waiting, also with Required.
func (t *Trail) Note(event string, facts ...slog.Attr) {
	if t != nil {
		t.put(event, facts, false)
	}
}

// put adds a record to the queue, unless that is full.
func (t *Trail) put(event string, facts []slog.Attr, wait bool) (*turn, bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.queue) >= maxQueue {
		t.lost++
		t.status.Lost++
		return nil, false
	}
	t.queue = append(appendBody(t.queue, now, event, facts), '\n')
	if wait && t.turn == nil {
		t.turn = &turn{done: make(chan struct{})}
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return t.turn, true
}

// Ready returns nil if things may be done, and an error that wraps ErrUnwritten
// while Required is set and the file cannot be written. It does not block.
func (t *Trail) Ready() error {
	if t == nil || !t.o.Required {
		return nil
	}
	if err := t.fault(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return nil
}

// fault returns why the file cannot be written, nil if it can as far as is known.
func (t *Trail) fault() error {
	if err := t.failing.Load(); err != nil {
		return *err
	}
	if since := t.writing.Load(); since != nil && time.Since(*since) > hangsAfter {
		return errHangs
	}
	return nil
}

var errHangs = errors.New("its disk does not answer")

// Status returns how the trail stands.
func (t *Trail) Status() Status {
	if t == nil {
		return Status{}
	}
	t.mu.Lock()
	s := t.status
	s.Records, s.Hash = t.told.seq, hex.EncodeToString(t.told.hash[:])
	t.mu.Unlock()
	s.Failing = t.fault()
	s.SyslogLost, s.Syslog = t.remote.status()
	return s
}

// Reopen goes on in a new file where the file has been moved away, and changes
// nothing otherwise. An error means that it goes on in the old one, or that ctx has
// ended before: then that is done when the disk answers again.
func (t *Trail) Reopen(ctx context.Context) error {
	if t == nil || t.o.File == "" {
		return nil
	}
	answer := make(chan error, 1)
	go func() {
		select {
		case t.reopen <- answer:
		case <-t.ended:
			answer <- errors.New("reopen the audit trail: it is closed")
		}
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("reopen the audit trail: %w", context.Cause(ctx))
	}
}

// Close writes what waits and closes the trail. What cannot be written before ctx
// ends is dropped. Records that come later are.
func (t *Trail) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	if first {
		close(t.closing)
	}
	select {
	case <-t.ended:
	case <-ctx.Done():
		t.remote.stop()
		return fmt.Errorf("close the audit trail: %w", context.Cause(ctx))
	}
	err := t.remote.drain(ctx)
	if failing := t.failing.Load(); failing != nil {
		err = errors.Join(fmt.Errorf("close the audit trail: %w", *failing), err)
	}
	return err
}
