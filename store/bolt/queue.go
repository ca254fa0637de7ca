package bolt

import (
	"sync"
	"time"

	"lockstep/store"
)

// maxWaiting bounds the writes that wait for the disk. A disk that hangs then
// leads to quick errors, and not to memory that grows.
const maxWaiting = 4096

// queue holds the writes that wait for the disk, and says who takes them there. One
// of those who wait is the leader: it writes a group, its own request in it, and
// passes the lead on. So a lone login goes to the disk and back without another
// goroutine, and in a group nobody is woken for more than its answer.
type queue struct {
	alone func() // leads where none of those who wait can

	mu      sync.Mutex // guards what follows; never held across a call
	closed  bool
	led     bool // somebody leads, or has been told to
	waiting []*request
	enough  int           // the leader sleeps until so many wait; 0 while it is awake
	wake    chan struct{} // takes one, so that nobody waits for the leader
	ended   chan struct{} // closed once the queue is closed and nobody leads
}

// newQueue makes a queue that calls alone, on a goroutine of its own, where only
// such requests wait that nobody stands behind.
func newQueue(alone func()) *queue {
	return &queue{alone: alone, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// add returns at once. After nil, r has an answer coming: an errLead if the caller
// is to lead, and then, or at once, how it went.
func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return store.ErrClosed
	case len(q.waiting) >= maxWaiting:
		return store.ErrBusy
	}
	q.waiting = append(q.waiting, r)
	switch {
	case !q.led:
		q.appoint()
	case q.enough > 0 && len(q.waiting) >= q.enough:
		q.rouse()
	}
	return nil
}

// pass ends the lead, and gives it to another if somebody waits.
func (q *queue) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.appoint()
}

// appoint chooses who leads. q.mu is held, and nobody does.
func (q *queue) appoint() {
	q.led = len(q.waiting) > 0
	for _, r := range q.waiting {
		if r.lead() {
			r.answer <- errLead
			return
		}
	}
	switch {
	case q.led:
		go q.alone()
	case q.closed:
		close(q.ended)
	}
}

// rouse wakes the leader, which must be asleep. q.mu is held.
func (q *queue) rouse() {
	q.enough = 0
	q.wake <- struct{}{}
}

// close refuses further writes, and reports whether it is the first to. What
// waits is written; ended tells when.
func (q *queue) close() (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first = !q.closed
	q.closed = true
	if q.enough > 0 {
		q.rouse()
	}
	if first && !q.led {
		close(q.ended)
	}
	return first
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// gather returns once so many wait, or the queue is closed, or the time is up.
// It is for the leader. The timer is stopped at both ends.
func (q *queue) gather(enough int, most time.Duration, timer *time.Timer) {
	if !q.sleep(enough) {
		return
	}
	timer.Reset(most)
	defer timer.Stop()
	select {
	case <-q.wake:
	case <-timer.C:
		if q.stir() {
			<-q.wake
		}
	}
}

// sleep reports false if there is no need to: so many wait, or none will come.
// After true the leader is to receive from wake.
func (q *queue) sleep(enough int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= enough {
		return false
	}
	q.enough = enough
	return true
}

// stir ends a sleep, and reports whether somebody was faster and has written
// to wake.
func (q *queue) stir() (late bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	late = q.enough == 0
	q.enough = 0
	return late
}

// empty returns all that wait, who wait for nothing here any more.
func (q *queue) empty() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	return all
}

// take moves what waits to batch, as far as it goes to disk at once, and
// returns how many were left.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && (n == 0 || size < maxGroup) {
		size += len(q.waiting[n].id) + len(q.waiting[n].record)
		n++
	}
	batch = append(batch, q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:]) // or their States live on till others come
	q.waiting = q.waiting[:rest]
	return batch
}
