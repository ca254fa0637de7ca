package radiusd

import (
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
	shard         *dedupeShard
	key           requestKey
	authenticator [16]byte
	reply         radius.Packet // nil while pending
	at            time.Time     // when it was answered; while pending, when it or a retransmission came last
	older, newer  *entry        // of those answered in the shard
}

const dedupeShards = 32

// dedupe is the duplicate cache. Pending entries are never evicted: each is
// removed by whoever works on its request.
type dedupe struct {
	seed   maphash.Seed
	shards [dedupeShards]dedupeShard
}

type dedupeShard struct {
	mu             sync.Mutex
	most           int
	entries        map[requestKey]*entry
	oldest, newest *entry // by their answers
}

func newDedupe(most int) *dedupe {
	d := &dedupe{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].most = max(1, most/dedupeShards)
		d.shards[i].entries = make(map[requestKey]*entry)
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
			e.at = now
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
	e := &entry{shard: s, key: key, authenticator: authenticator, at: now}
	s.entries[key] = e
	return dupNew, e, nil
}

// knows reports whether a request is pending or answered. It changes nothing.
func (d *dedupe) knows(key requestKey, authenticator [16]byte) bool {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	return e != nil && e.authenticator == authenticator
}

// wanted reports whether the client still waits for the reply of e, as far as
// is known, and when it asked last.
func (*dedupe) wanted(e *entry) (asked time.Time, ok bool) {
	s := e.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.at, s.entries[e.key] == e
}

// finish keeps the reply of e for retransmissions. It reports whether the reply
// is still wanted; if not, it must not be sent.
func (*dedupe) finish(e *entry, reply radius.Packet, now time.Time) bool {
	s := e.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] != e {
		return false
	}
	e.reply, e.at = reply, now
	s.append(e)
	return true
}

// forget removes e, so that a retransmission is new work.
func (*dedupe) forget(e *entry) {
	s := e.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] == e {
		s.remove(e)
	}
}

func (s *dedupeShard) append(e *entry) {
	if e.older = s.newest; e.older != nil {
		e.older.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *dedupeShard) remove(e *entry) {
	delete(s.entries, e.key)
	if e.reply == nil {
		return
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	e.older, e.newer = nil, nil
}

func (s *dedupeShard) expire(now time.Time, ttl time.Duration) {
	for e := s.oldest; e != nil && now.Sub(e.at) >= ttl; e = s.oldest {
		s.remove(e)
	}
}
