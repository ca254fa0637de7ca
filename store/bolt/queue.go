package bolt

import (
	"sync"
	"time"

	"lockstep/store"
)

// maxWaiting bounds the writes that wait for the disk. A disk that hangs then
// leads to quick errors, and not to memory that grows.
const maxWaiting = 4096

// queue holds the writes that wait for the committer, and lets it sleep. The
// committer is woken once for a group, however many the group is made of.
type queue struct {
	mu      sync.Mutex // guards what follows; never held across a call
	closed  bool
	waiting []*request
	enough  int           // the committer sleeps until so many wait; 0 while it is awake
	wake    chan struct{} // takes one, so that nobody waits for the committer
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// add returns at once. After nil, r is the committer's.
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
	if q.enough > 0 && len(q.waiting) >= q.enough {
		q.rouse()
	}
	return nil
}

// rouse wakes the committer, which must be asleep. q.mu is held.
func (q *queue) rouse() {
	q.enough = 0
	q.wake <- struct{}{}
}

// close refuses further writes, and reports whether it is the first to.
func (q *queue) close() (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first = !q.closed
	q.closed = true
	if q.enough > 0 {
		q.rouse()
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

// await returns once a write waits, or false when none does and none will.
func (q *queue) await() bool {
	if q.sleep(1) {
		<-q.wake
	}
	return q.length() > 0
}

// gather returns once so many wait, or the queue is closed, or the time is up.
// It is for the committer alone, as await is. The timer is stopped at both ends.
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
// After true the committer is to receive from wake.
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
