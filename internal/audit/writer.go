package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// run is the writer: the only one that makes lines, so that they are in order.
func (t *Trail) run() {
	defer close(t.ended)
	retry := time.NewTicker(retryAfter)
	defer retry.Stop()
	heads := time.NewTicker(headEvery)
	defer heads.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-t.wake:
			t.write()
			if !t.o.Required { // where somebody waits, others do meanwhile anyway
				pause.Reset(gather)
				select {
				case <-pause.C:
				case <-t.closing:
				}
			}
		case <-retry.C:
			if len(t.out) > 0 {
				t.deliver()
			}
		case answer := <-t.reopen:
			answer <- t.follow()
		case <-heads.C:
			t.logHead()
		case <-t.closing:
			t.end()
			return
		}
	}
}

// write makes lines of all that waits, and hands them on.
func (t *Trail) write() {
	queue, lost, waiting := t.take()
	if lost > 0 {
		t.body = appendBody(t.body[:0], t.now(), "lost", []slog.Attr{slog.Uint64("records", lost)})
		t.add(t.body)
	}
	for rest := queue; len(rest) > 0; {
		var body []byte
		body, rest, _ = bytes.Cut(rest, []byte("\n"))
		t.add(body)
	}
	skipped := t.skipped > 0 // the last that was added, at least
	err := t.deliver()
	if skipped && err == nil {
		err = errSkipped
	}
	t.giveBack(queue)
	if waiting != nil {
		waiting.err = err
		close(waiting.done)
	}
}

// add makes a record of body.
func (t *Trail) add(body []byte) {
	t.one = t.chain.record(t.one[:0], body)
	t.remote.add(t.one, 1)
	switch {
	case t.file == nil:
	case t.skipped > 0 || len(t.out) >= maxQueue:
		t.skipped++
	default:
		t.toFile(t.one)
	}
}

func (t *Trail) take() (queue []byte, lost uint64, waiting *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue, lost, waiting = t.queue, t.lost, t.turn
	t.queue, t.lost, t.turn = t.spare[:0], 0, nil
	return queue, lost, waiting
}

// giveBack keeps memory for the next time, unless it was uncommonly much.
func (t *Trail) giveBack(queue []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const usual = 256 << 10
	if t.spare = queue[:0]; cap(queue) > usual {
		t.spare = nil
	}
	if cap(t.out) > usual && len(t.out) == 0 {
		t.out = nil
	}
}

// deliver writes to the file what it has not got yet. While that fails it is tried
// again every second.
func (t *Trail) deliver() error {
	err := t.tryDeliver()
	if err == nil && t.skipped > 0 {
		t.tellSkipped()
		err = t.tryDeliver()
	}
	t.mu.Lock()
	t.told = t.chain.head
	t.mu.Unlock()
	was := t.failing.Load()
	switch {
	case err != nil:
		t.failing.Store(&err)
		if was == nil {
			t.log.Error("audit trail cannot be written, tried again every second", "path", t.o.File, "err", err, "hint", t.consequence())
		}
	case was != nil:
		t.failing.Store(nil)
		t.log.Info("audit trail can be written again", "path", t.o.File)
	}
	return err
}

func (t *Trail) consequence() string {
	if t.o.Required {
		return "nobody gets an answer until it can: audit.required is set"
	}
	return "logins go on, and records wait; when too many do, further ones are lost and counted"
}

var errSkipped = errors.New("too much waited for it")

// lostAtFile is the event of the record behind a gap in the file. The header there
// says where the chain goes on, and could be anybody's; the record is part of it.
const lostAtFile = "lost-at-file"

// tellSkipped puts a header and a record behind a gap in the file.
func (t *Trail) tellSkipped() {
	t.mu.Lock()
	t.status.Lost += t.skipped
	t.mu.Unlock()
	lost := t.skipped
	t.one = t.headerFor(t.one[:0], slog.Uint64("lost", lost))
	t.skipped = 0
	t.toFile(t.one)
	t.confess(lost)
}

// confess adds the record behind a gap in the file.
func (t *Trail) confess(lost uint64) {
	t.body = appendBody(t.body[:0], t.now(), lostAtFile, []slog.Attr{slog.Uint64("records", lost)})
	t.add(t.body)
}

func (t *Trail) tryDeliver() error {
	if t.file == nil || len(t.out) == 0 {
		return nil
	}
	if t.file.partial {
		if err := t.openAgain(); err != nil {
			return err
		}
	}
	now := time.Now()
	t.writing.Store(&now)
	n, err := t.file.append(t.out)
	t.writing.Store(nil)
	t.out = t.out[:copy(t.out, t.out[n:])]
	return err
}

// openAgain opens the file after a part of a line has stayed in it, which is
// handled as what a killed process leaves.
func (t *Trail) openAgain() error {
	t.file.Close()
	f, err := openFile(t.o.File)
	if err != nil {
		return err // and tried again: partial is still set
	}
	t.precede(f, t.file.end)
	return nil
}

// precede has f get a header for at before what the file has not got yet.
func (t *Trail) precede(f *file, at head) {
	waiting := t.out
	t.file, t.out = f, nil
	t.one = t.headerAt(t.one[:0], at, f.tornFacts()...)
	t.toFile(t.one)
	f.end = at
	t.out = append(t.out, waiting...)
}

// follow goes on in a new file if there is one, or none yet, at the path.
func (t *Trail) follow() error {
	t.write()
	if t.file.same(t.o.File) {
		return nil
	}
	f, err := openFile(t.o.File)
	if err != nil {
		err = fmt.Errorf("reopen the audit trail: %w", err)
		t.log.Error("audit trail goes on in its old file", "err", err)
		return err
	}
	t.file.Sync()
	t.file.Close()
	t.precede(f, t.file.end)
	t.deliver() // which says what is wrong
	t.logHead()
	return nil
}

// logHead puts down in the log where the chain is: a place that whoever changes
// the trail would have to change, too.
func (t *Trail) logHead() {
	if t.logged == t.chain.seq {
		return
	}
	t.logged = t.chain.seq
	t.log.Info("audit trail", "records", t.chain.seq, "hash", hex.EncodeToString(t.chain.hash[:]))
}

// end writes what is left.
func (t *Trail) end() {
	t.write()
	t.logHead()
	if t.file != nil {
		t.file.Sync()
		t.file.Close()
	}
}
