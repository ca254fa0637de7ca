package verifier

import (
	"sync"
	"sync/atomic"
	"time"
)

// remembered keeps logins for againAge. One is of those that this server could not
// tell whether it had accepted, because the store may have written what it reported
// as failed: they had no answer, and may come again here.
//
// The zero remembered is ready to use. Its methods may be called at once.
type remembered struct {
	mu    sync.Mutex // guards byID and swept
	byID  map[string]noted
	swept time.Time   // when what is over was looked for last
	some  atomic.Bool // whether there is anything in byID, as there is not mostly; written under mu
}

type noted struct {
	login Login
	at    time.Time
}

// mostRemembered bounds what is remembered. What is over is as by a server that has
// restarted.
const mostRemembered = 1 << 14

// note remembers l, of the State id.
func (u *remembered) note(id string, l Login, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.byID) >= mostRemembered {
		u.forget(now)
	}
	if len(u.byID) >= mostRemembered {
		return
	}
	if u.byID == nil {
		u.byID = make(map[string]noted)
	}
	u.byID[id] = noted{l, now}
	u.some.Store(true)
}

// sweepEvery is how often what is over is looked for at most: where there is no room,
// everybody who comes would go through all of it.
const sweepEvery = againAge / 64

func (u *remembered) forget(now time.Time) {
	if since := now.Sub(u.swept); since >= 0 && since < sweepEvery {
		return
	}
	u.swept = now
	for id, d := range u.byID {
		if between(d.at, now).Abs() > againAge {
			delete(u.byID, id)
		}
	}
}

// has says whether l, of the State id, was noted a moment ago.
func (u *remembered) has(id string, l Login, now time.Time) bool {
	if !u.some.Load() {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	d, ok := u.byID[id]
	return ok && d.login == l && between(d.at, now).Abs() <= againAge
}

// settle forgets the login of the State id.
func (u *remembered) settle(id string) {
	if !u.some.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, id)
	u.some.Store(len(u.byID) > 0)
}
