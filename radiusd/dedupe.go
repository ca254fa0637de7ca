package radiusd

import (
	"hash/maphash"
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
// successor of the first: RFC 5080, section 2.2.2. It is octets side by side, which
// are quick to hash and compare, and nothing in it is a pointer; see dedupeShard.
type requestKey struct {
	source     [16]byte
	zone       uint64 // a hash of the source's zone, of those few that have one
	socket     uint32
	port       uint16
	identifier uint16
}

// entry is a request under way or answered.
type entry struct {
	key           requestKey
	authenticator [16]byte
	reply         radius.Packet // nil while pending
	at            time.Duration // when it was answered; while pending, when it or a retransmission came last
	use           uint32        // how many requests have had this place before
	older, newer  place         // of those answered in the shard
}

// place is the index of an entry in its shard. The first is nobody's.
type place uint32

// ticket is a pending entry, for whoever works on its request. It is good until the
// entry is removed, and then for nothing.
type ticket struct {
	shard *dedupeShard
	place place
	use   uint32
}

const dedupeShards = 32

// dedupe is the duplicate cache. Pending entries are never evicted: each is
// removed by whoever works on its request.
type dedupe struct {
	seed   maphash.Seed
	shards [dedupeShards]dedupeShard
}

// dedupeShard has its entries side by side. There are a hundred thousand of them
// where there is much to do, and the garbage collector goes through all that is
// reached by pointers each time, which is often then.
type dedupeShard struct {
	mu             sync.Mutex
	begun          time.Time // what the entries' times count from
	most           int
	places         map[requestKey]place
	entries        []entry
	free           []place
	oldest, newest place // by their answers
}

func newDedupe(most int, now time.Time) *dedupe {
	d := &dedupe{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i] = dedupeShard{begun: now, most: max(1, most/dedupeShards), places: make(map[requestKey]place), entries: make([]entry, 1)}
	}
	return d
}

func (d *dedupe) key(from peer, identifier byte) requestKey {
	addr := from.addr.Addr().Unmap()
	key := requestKey{source: addr.As16(), socket: from.socket.id, port: from.addr.Port(), identifier: uint16(identifier)}
	if zone := addr.Zone(); zone != "" {
		key.zone = maphash.String(d.seed, zone)
	}
	return key
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
func (d *dedupe) begin(key requestKey, authenticator [16]byte, now time.Time) (dupState, ticket, radius.Packet) {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now.Sub(s.begun)
	s.expire(at, replyTTL)
	if p := s.places[key]; p != 0 {
		switch e := &s.entries[p]; {
		case e.authenticator != authenticator:
			s.remove(p)
		case e.reply == nil:
			e.at = at
			return dupPending, ticket{}, nil
		default:
			return dupAnswered, ticket{}, e.reply
		}
	}
	if len(s.places) >= s.most {
		s.expire(at, replyMinTTL)
	}
	if len(s.places) >= s.most {
		return dupFull, ticket{}, nil
	}
	p := s.room()
	s.places[key] = p
	e := &s.entries[p]
	e.key, e.authenticator, e.at = key, authenticator, at
	return dupNew, ticket{s, p, e.use}, nil
}

// knows reports whether a request is pending or answered. It changes nothing.
func (d *dedupe) knows(key requestKey, authenticator [16]byte) bool {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[key]
	return p != 0 && s.entries[p].authenticator == authenticator
}

// wanted reports whether the client still waits for the reply of t, as far as
// is known, and when it asked last.
func (*dedupe) wanted(t ticket) (asked time.Time, ok bool) {
	s := t.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(t)
	if e == nil {
		return time.Time{}, false
	}
	return s.begun.Add(e.at), true
}

// finish keeps the reply of t for retransmissions. It reports whether the reply
// is still wanted; if not, it must not be sent.
func (*dedupe) finish(t ticket, reply radius.Packet, now time.Time) bool {
	s := t.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(t)
	if e == nil {
		return false
	}
	e.reply, e.at = reply, now.Sub(s.begun)
	s.append(t.place)
	return true
}

// forget removes t's entry, so that a retransmission is new work.
func (*dedupe) forget(t ticket) {
	s := t.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(t) != nil {
		s.remove(t.place)
	}
}

// find returns t's entry, or nil if it has been removed.
func (s *dedupeShard) find(t ticket) *entry {
	if e := &s.entries[t.place]; e.use == t.use {
		return e
	}
	return nil
}

// room returns a place for one more entry.
func (s *dedupeShard) room() place {
	if last := len(s.free) - 1; last >= 0 {
		p := s.free[last]
		s.free = s.free[:last]
		return p
	}
	s.entries = append(s.entries, entry{})
	return place(len(s.entries) - 1)
}

func (s *dedupeShard) append(p place) {
	if older := s.newest; older != 0 {
		s.entries[p].older, s.entries[older].newer = older, p
	} else {
		s.oldest = p
	}
	s.newest = p
}

func (s *dedupeShard) remove(p place) {
	e := &s.entries[p]
	delete(s.places, e.key)
	if e.reply != nil {
		s.unlink(e)
	}
	*e = entry{use: e.use + 1}
	s.free = append(s.free, p)
}

func (s *dedupeShard) unlink(e *entry) {
	if e.older != 0 {
		s.entries[e.older].newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != 0 {
		s.entries[e.newer].older = e.older
	} else {
		s.newest = e.older
	}
}

func (s *dedupeShard) expire(now, ttl time.Duration) {
	for p := s.oldest; p != 0 && now-s.entries[p].at >= ttl; p = s.oldest {
		s.remove(p)
	}
}
