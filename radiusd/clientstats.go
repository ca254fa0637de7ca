package radiusd

import (
	"sync/atomic"
	"time"
)

// ClientStats is what one client has sent since the server began. It stays when
// SetClients is called, as long as the name of the client does; clients of one
// name are counted together. Who can forge the client's address can make all of
// it rise but Accepts, Rejects and Challenges.
type ClientStats struct {
	Name     string
	LastSeen time.Time // of any packet from its addresses, right or wrong; zero for never

	// Requests are Access-Requests, those that came again included. Accepts,
	// Rejects and Challenges are replies; one that is sent again counts once.
	Requests, Accepts, Rejects, Challenges uint64

	Duplicates uint64 // Access-Requests that came again, answered or not
	Malformed  uint64

	// BadAuthenticators are packets whose Message-Authenticator or accounting
	// authenticator does not verify, and, where there is none, passwords that
	// decode to no text: the secret is probably wrong, here or there.
	BadAuthenticators uint64

	NoMessageAuthenticator uint64 // requests without one, dropped or not
	CHAP                   uint64 // requests by CHAP, MS-CHAP or EAP, which cannot be checked here
	Dropped                uint64 // without an answer, for another reason than being malformed, wrong, again or of an unknown kind
	Unanswered             uint64 // of Dropped: those about which the Authenticator could not tell
}

// tally is the index of what is counted for each client.
type tally int

const (
	tallyRequests tally = iota
	tallyAccepts
	tallyRejects
	tallyChallenges
	tallyDuplicates
	tallyMalformed
	tallyBadAuthenticators
	tallyNoMessageAuthenticator
	tallyCHAP
	tallyDropped
	tallyUnanswered
	talliesLen
)

// clientStats are the counters of one client's name.
type clientStats struct {
	name string
	seen atomic.Int64 // Unix time in nanoseconds; 0 for never
	n    [talliesLen]atomic.Uint64
}

func (c *clientStats) add(t tally) { c.n[t].Add(1) }

// drop counts a packet that gets no reply.
func (c *clientStats) drop(reason counter) {
	switch reason {
	case dropUnknownCode: // is of no request
	case dropMalformed:
		c.add(tallyMalformed)
	case dropBadMessageAuthenticator, dropBadAccountingAuthenticator:
		c.add(tallyBadAuthenticators)
	case dropPending:
		c.add(tallyDuplicates)
	case dropCannotDecide, dropPanic:
		c.add(tallyUnanswered)
		c.add(tallyDropped)
	default:
		c.add(tallyDropped)
	}
}

func (c *clientStats) read() ClientStats {
	n := func(t tally) uint64 { return c.n[t].Load() }
	s := ClientStats{
		Name: c.name, Requests: n(tallyRequests), Accepts: n(tallyAccepts), Rejects: n(tallyRejects), Challenges: n(tallyChallenges),
		Duplicates: n(tallyDuplicates), Malformed: n(tallyMalformed), BadAuthenticators: n(tallyBadAuthenticators),
		NoMessageAuthenticator: n(tallyNoMessageAuthenticator), CHAP: n(tallyCHAP), Dropped: n(tallyDropped), Unanswered: n(tallyUnanswered),
	}
	if at := c.seen.Load(); at != 0 {
		s.LastSeen = time.Unix(0, at)
	}
	return s
}

// drop counts a packet of a client that gets no reply.
func (s *Server) drop(c *knownClient, reason counter) {
	s.counters.drop(reason)
	c.stats.drop(reason)
}

// seenMalformed counts a packet of which nothing is known but where it came from.
func (s *Server) seenMalformed(from peer) {
	s.counters.drop(dropMalformed)
	if c := s.clients.Load().lookup(from.addr.Addr()); c != nil {
		c.stats.seen.Store(s.now().UnixNano())
		c.stats.drop(dropMalformed)
	}
}

// Clients returns what each client has sent since the server began, in
// configuration order, also of those never seen. The numbers are read one after
// the other, not all at one instant.
func (s *Server) Clients() []ClientStats {
	t := s.clients.Load()
	if t == nil {
		return nil
	}
	all := make([]ClientStats, len(t.stats))
	for i, c := range t.stats {
		all[i] = c.read()
	}
	return all
}
