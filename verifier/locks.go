package verifier

import (
	"context"
	"errors"
	"sync"
)

// locks lets one decision at a time through for each account, so that a burst
// of guesses sent at once cannot all be looked at before the first has been
// counted. Between servers the store's compare-and-swap does that.
type locks struct {
	mu   sync.Mutex // guards held
	held map[string]*lock
	free []*lock // that nobody has, to be used again; as many as there were at once
}

// maxWaiting is how many may wait for the same account: whoever has its password
// and key must not be able to keep everybody waiting while the directory is slow.
const maxWaiting = 16

var errTooMany = errors.New("too many logins of the same account at once")

type lock struct {
	token chan struct{} // holds one value while free

	// Guarded by the mu of the locks.
	id    string
	users int
}

// acquire waits for id's turn, or for ctx. The caller gives to release what it
// returns, when done.
func (l *locks) acquire(ctx context.Context, id string) (*lock, error) {
	k := l.enter(id)
	if k == nil {
		return nil, errTooMany
	}
	select {
	case <-k.token: // as nearly always, and quicker than by a choice of two
		return k, nil
	default:
	}
	select {
	case <-k.token:
		return k, nil
	case <-ctx.Done():
		l.leave(k)
		return nil, ctx.Err()
	}
}

func (l *locks) release(k *lock) {
	k.token <- struct{}{}
	l.leave(k)
}

// enter returns nil if too many have entered.
func (l *locks) enter(id string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[id]
	if k == nil {
		k = l.take()
		k.id, l.held[id] = id, k
	}
	if k.users > maxWaiting {
		return nil
	}
	k.users++
	return k
}

// take returns a lock that nobody has. The caller holds mu.
func (l *locks) take() *lock {
	if n := len(l.free); n > 0 {
		k := l.free[n-1]
		l.free = l.free[:n-1]
		return k
	}
	if l.held == nil {
		l.held = make(map[string]*lock)
	}
	k := &lock{token: make(chan struct{}, 1)}
	k.token <- struct{}{}
	return k
}

func (l *locks) leave(k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, k.id)
		l.free = append(l.free, k)
	}
}
