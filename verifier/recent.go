package verifier

import (
	"sync"
	"time"
)

// recent remembers values for at least age, and at most so many of them; what
// is over is not taken in. It works in two generations, so that forgetting
// costs nothing.
type recent[V any] struct {
	age  time.Duration
	most int // in each generation

	mu        sync.Mutex // guards the rest
	since     time.Time
	cur, last map[string]V
}

func (r *recent[V]) get(key string, now time.Time) (v V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if v, ok = r.cur[key]; !ok {
		v, ok = r.last[key]
	}
	return v, ok
}

func (r *recent[V]) put(key string, v V, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if _, have := r.cur[key]; have || len(r.cur) < r.most {
		r.cur[key] = v
	}
}

// turn begins a new generation when the current one is old enough.
func (r *recent[V]) turn(now time.Time) {
	if r.cur != nil && now.Sub(r.since) < r.age && !now.Before(r.since) {
		return
	}
	r.last, r.cur, r.since = r.cur, make(map[string]V), now
}
