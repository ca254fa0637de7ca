package verifier

import (
	"context"
	"sync"
)

// locks lets one decision at a time through for each account, so that a burst
// of guesses sent at once cannot all be looked at before the first has been
// counted. Between servers the store's compare-and-swap does that.
type locks struct {
	mu   sync.Mutex // guards held
	held map[string]*lock
}

type lock struct {
	token chan struct{} // holds one value while free
	users int
}

// acquire waits for id's turn, or for ctx. The caller calls the function that
// it returns when done.
func (l *locks) acquire(ctx context.Context, id string) (release func(), err error) {
	k := l.enter(id)
	select {
	case <-k.token:
		return func() { k.token <- struct{}{}; l.leave(id, k) }, nil
	case <-ctx.Done():
		l.leave(id, k)
		return nil, ctx.Err()
	}
}

func (l *locks) enter(id string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[id]
	if k == nil {
		k = &lock{token: make(chan struct{}, 1)}
		k.token <- struct{}{}
		if l.held == nil {
			l.held = make(map[string]*lock)
		}
		l.held[id] = k
	}
	k.users++
	return k
}

func (l *locks) leave(id string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, id)
	}
}
