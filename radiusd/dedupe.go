package radiusd

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"lockstep/internal/radius"
)

// How long a reply is kept for retransmissions: RFC 5080, section 2.2.2, has 5
// to 30 seconds. The shorter time is for a cache that is full.
const (
	replyTTL    = 30 * time.Second
	replyMinTTL = 5 * time.Second
)

// requestKey is what makes two requests the same request, or the second the
// successor of the first: RFC 5080, section 2.2.2.
type requestKey struct {
	socket     uint64
	source     netip.AddrPort
	identifier byte
}

// entry is a request under way or answered. Its fields belong to its shard.
type entry struct {
	key           requestKey
	authenticator [16]byte
	reply         radius.Packet // nil while pending
	answered      time.Time
	place         *list.Element // in shard.answered, nil while pending
}

const dedupeShards = 32

// dedupe is the duplicate cache. Pending entries are never evicted: each is
// removed by whoever works on its request.
type dedupe struct {
	seed   maphash.Seed
	shards [dedupeShards]dedupeShard
}

type dedupeShard struct {
	mu       sync.Mutex
	most     int
	entries  map[requestKey]*entry
	answered *list.List // of *entry, oldest first
}

func newDedupe(most int) *dedupe {
	d := &dedupe{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].most = max(1, most/dedupeShards)
		d.shards[i].entries = make(map[requestKey]*entry)
		d.shards[i].answered = list.New()
	}
	return d
}

func (d *dedupe) shard(key requestKey) *dedupeShard {
	return &d.shards[maphash.Comparable(d.seed, key)%dedupeShards]
}

// What begin found.
type dupState int

const (
	dupNew      dupState = iota // pending from now on; the caller works on it
	dupPending                  // somebody does
	dupAnswered                 // the reply can be sent again
	dupFull
)

// begin looks a request up, and enters it if it is new. A request with the key
// of another but not its authenticator is new, and the other is forgotten: the
// client has given up on it.
func (d *dedupe) begin(key requestKey, authenticator [16]byte, now time.Time) (dupState, *entry, radius.Packet) {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now, replyTTL)
	if e := s.entries[key]; e != nil {
		switch {
		case e.authenticator != authenticator:
			s.remove(e)
		case e.reply == nil:
			return dupPending, nil, nil
		default:
			return dupAnswered, nil, e.reply
		}
	}
	if len(s.entries) >= s.most {
		s.expire(now, replyMinTTL)
	}
	if len(s.entries) >= s.most {
		return dupFull, nil, nil
	}
	e := &entry{key: key, authenticator: authenticator}
	s.entries[key] = e
	return dupNew, e, nil
}

// wanted reports whether the client still waits for the reply of e, as far as
// is known.
func (d *dedupe) wanted(e *entry) bool {
	s := d.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[e.key] == e
}

// finish keeps the reply of e for retransmissions. It reports whether the reply
// is still wanted; if not, it must not be sent.
func (d *dedupe) finish(e *entry, reply radius.Packet, now time.Time) bool {
	s := d.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] != e {
		return false
	}
	e.reply, e.answered = reply, now
	e.place = s.answered.PushBack(e)
	return true
}

// forget removes e, so that a retransmission is new work.
func (d *dedupe) forget(e *entry) {
	s := d.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] == e {
		s.remove(e)
	}
}

func (s *dedupeShard) remove(e *entry) {
	delete(s.entries, e.key)
	if e.place != nil {
		s.answered.Remove(e.place)
	}
}

func (s *dedupeShard) expire(now time.Time, ttl time.Duration) {
	for first := s.answered.Front(); first != nil; first = s.answered.Front() {
		e := first.Value.(*entry)
		if now.Sub(e.answered) < ttl {
			return
		}
		s.remove(e)
	}
}
