package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"lockstep/store"
)

const (
	// maxWaiting bounds the requests of a kind that wait for their turn, so that
	// a quorum that is away leads to quick errors and not to memory that grows.
	maxWaiting = 4096

	// maxGroup is how many go in one transaction. etcd takes 128 operations by
	// default, and counts what is nested in each on top of those around it.
	maxGroup = 127

	// maxGroupBytes keeps a transaction below the 1.5 MiB that etcd takes by
	// default. One record is always below.
	maxGroupBytes = 512 << 10

	// Transactions under way at a time. More than one to write makes the groups
	// smaller and was no faster in any number from 2 to 4.
	writers = 1
	readers = 2
)

// request is a question about one key: what is there, or whether it was
// changed.
type request struct {
	key   string
	old   int64  // the revision that has to be there
	value []byte // to write; nil to delete
	same  bool   // value is what old has: nothing is written

	// taken is set once: by the batcher, when the request is about to be sent,
	// or by the caller, who has given up.
	taken  atomic.Bool
	answer chan outcome // holds one, so that nobody waits to give it
}

type outcome struct {
	done   bool   // it was changed
	is     record // what is there instead; or what is there, for a reading
	resent bool   // the request may have been sent more than once
	err    error
}

// errUnknown is wrapped by the error of a request that may have been done or
// not.
var errUnknown = errors.New("nobody can tell whether it was done")

// batcher gathers requests while others are under way, and never waits for more
// to come.
type batcher struct {
	send  func([]*request) // answers each
	queue chan *request
	done  sync.WaitGroup

	mu     sync.RWMutex // guards closed, and queue against a send after close
	closed bool
}

func newBatcher(send func([]*request)) *batcher {
	return &batcher{send: send, queue: make(chan *request, maxWaiting)}
}

func (b *batcher) start(n int) {
	for range n {
		b.done.Go(b.run)
	}
}

// close has what waits sent, and returns when all is answered.
func (b *batcher) close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.queue)
	}
	b.mu.Unlock()
	b.done.Wait()
}

// do returns the outcome of r, or an error when ctx is done.
func (b *batcher) do(ctx context.Context, r *request) outcome {
	r.answer = make(chan outcome, 1)
	if err := b.enqueue(r); err != nil {
		return outcome{err: err}
	}
	select {
	case o := <-r.answer:
		return o
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return outcome{err: fmt.Errorf("not begun: %w", ctx.Err())}
		}
		return outcome{err: fmt.Errorf("%w: %w", errUnknown, ctx.Err())}
	}
}

func (b *batcher) enqueue(r *request) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return store.ErrClosed
	}
	select {
	case b.queue <- r:
		return nil
	default:
		return store.ErrBusy
	}
}

func (b *batcher) run() {
	var held []*request
	for {
		if len(held) == 0 {
			r, open := <-b.queue
			if !open {
				return
			}
			held = append(held, r)
		}
		held = b.gather(held)
		var group []*request
		if group, held = choose(held); len(group) > 0 {
			b.send(group)
		}
	}
}

// gather adds what waits, up to a few groups.
func (b *batcher) gather(held []*request) []*request {
	for len(held) < 2*maxGroup {
		select {
		case r, open := <-b.queue:
			if !open {
				return held
			}
			held = append(held, r)
		default:
			return held
		}
	}
	return held
}

// choose takes the next group from held, no key twice, and returns what is
// left. Those who have given up are dropped.
func choose(held []*request) (group, left []*request) {
	keys, size := make(map[string]bool, len(held)), 0
	for _, r := range held {
		n := len(r.key) + len(r.value)
		full := len(group) == maxGroup || (len(group) > 0 && size+n > maxGroupBytes)
		if full || keys[r.key] {
			left = append(left, r)
			continue
		}
		if !r.taken.CompareAndSwap(false, true) {
			continue
		}
		keys[r.key] = true
		size += n
		group = append(group, r)
	}
	return group, left
}
