package radiusd

import (
	"net/netip"
	"sync"
	"time"
)

// sometimes lets each thing happen once in a while. It remembers a bounded
// number of things; what does not fit does not happen.
type sometimes struct {
	every time.Duration
	most  int

	mu     sync.Mutex
	last   map[occasion]time.Time
	shrunk time.Time
}

// occasion is a thing that happens to somebody.
type occasion struct {
	what   string
	client string
	addr   netip.Addr
}

func newSometimes(every time.Duration, most int) *sometimes {
	return &sometimes{every: every, most: most, last: make(map[occasion]time.Time)}
}

func (s *sometimes) now(o occasion, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, seen := s.last[o]
	if seen && now.Sub(last) < s.every {
		return false
	}
	if !seen && len(s.last) >= s.most && !s.shrink(now) {
		return false
	}
	s.last[o] = now
	return true
}

// shrink forgets what is over and reports whether there is room. It looks once
// a second at most: forged sources can keep the map full.
func (s *sometimes) shrink(now time.Time) bool {
	if now.Sub(s.shrunk) < time.Second {
		return false
	}
	s.shrunk = now
	for o, last := range s.last {
		if now.Sub(last) >= s.every {
			delete(s.last, o)
		}
	}
	return len(s.last) < s.most
}

// bucket lets through a number of things per second, in bursts of as many.
type bucket struct {
	mu    sync.Mutex
	spent float64
	last  time.Time
}

func (b *bucket) allow(perSecond float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-perSecond*now.Sub(b.last).Seconds())
	b.last = now
	if b.spent+1 > perSecond {
		return false
	}
	b.spent++
	return true
}
