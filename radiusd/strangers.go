package radiusd

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Stranger is an address that belongs to no client, and has sent something all
// the same. Source addresses can be forged.
type Stranger struct {
	Addr netip.Addr
	Seen time.Time // not longer than a minute before it was last
}

// Strangers returns up to most of those that were seen last, the latest first, and
// how many packets of all strangers were dropped since the start.
func (s *Server) Strangers(most int) (last []Stranger, packets uint64) {
	if s.start() != nil {
		return nil, 0
	}
	s.unknown.each(func(o occasion, at time.Time) { last = append(last, Stranger{o.addr, at}) })
	slices.SortFunc(last, func(a, b Stranger) int { return cmp.Or(b.Seen.Compare(a.Seen), a.Addr.Compare(b.Addr)) })
	return last[:min(most, len(last))], s.counters[dropUnknownClient].Load()
}

// each calls f for what has happened last, as far as it is remembered.
func (s *sometimes) each(f func(o occasion, at time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o, at := range s.last {
		f(o, at)
	}
}
