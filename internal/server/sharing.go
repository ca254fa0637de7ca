package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lockstep/internal/opaque"
	"lockstep/radiusd"
	"lockstep/store"
	"lockstep/store/etcd"
	"lockstep/verifier"
)

// common is a store that several servers share.
type common interface {
	Keys(ctx context.Context) (store.SharedKeys, error)
	Peers() []store.Peer
	Health(ctx context.Context) etcd.Health
}

// sharing takes in what the servers of a store share: the keys by which one
// finishes what another began, and each other's clocks.
type sharing struct {
	name     string // of this server
	store    common
	log      *slog.Logger
	radius   *radiusd.Server
	verifier *verifier.Verifier
	lost     bool // the last look was in vain; look alone uses it

	mu      sync.Mutex // guards the rest
	sealing []uint32   // the IDs in use; nil before the first look
	apart   map[string]bool
	twin    bool // another server has our name
}

// peerSlack is by how much the clocks of servers may differ: a step of most
// tokens. One step is what the devices' clocks are granted.
const peerSlack = 30 * time.Second

// keysTime is how long the keys may take. Where the cluster has just gone away,
// that is part of the time until Status-Server is not answered any more.
const keysTime = 750 * time.Millisecond

// look takes in what has changed. An error means that no challenge could be
// opened elsewhere. The log says when that begins and when it ends: nothing else
// would, while the cluster answers.
func (s *sharing) look(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.compare()
	err := s.take(ctx)
	if lost := err != nil; lost != s.lost {
		s.lost = lost
		if lost {
			s.log.Error("the keys that servers share cannot be used, nobody is let in", "err", err)
		} else {
			s.log.Info("the keys that servers share can be used again")
		}
	}
	return err
}

// take takes in the keys.
func (s *sharing) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	keys, err := s.store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("read the keys that servers share: %w", err)
	}
	var list []radiusd.StateKey
	var ids []uint32
	for _, k := range keys.Sealing {
		list, ids = append(list, radiusd.StateKey{ID: k.ID, Key: k.Key}), append(ids, k.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(ids, s.sealing) {
		return nil
	}
	if err := s.radius.SetStateKeys(list); err != nil {
		return fmt.Errorf("use the keys that servers share: %w", err)
	}
	if s.sealing == nil {
		s.verifier.SetClusterKey(opaque.Of(keys.Cluster.Reveal()))
	}
	s.sealing = ids
	return nil
}

// compare tells the verifier how the clocks of the other servers differ from this
// one's, and logs when one goes apart and when it is back.
func (s *sharing) compare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.apart == nil {
		s.apart = make(map[string]bool)
	}
	clocks := make(map[string]time.Duration)
	for _, p := range s.others() {
		clocks[p.Name] = p.Ahead
		apart := p.Ahead.Abs() > peerSlack
		switch {
		case apart && !s.apart[p.Name]:
			s.log.Warn("the clocks of two servers differ by more than a step, codes are refused at one of them", "server", p.Name, "ahead", p.Ahead.String(), "hint", peerAdvice)
		case !apart && s.apart[p.Name]:
			s.log.Info("the clock of the other server is like this one's again", "server", p.Name, "ahead", p.Ahead.String())
		}
		s.apart[p.Name] = apart
	}
	s.verifier.SetPeerClocks(clocks)
	if twin := s.hasTwin(); twin != s.twin {
		s.twin = twin
		if twin {
			s.log.Error(twinText, "server", s.name, "hint", twinAdvice)
		}
	}
}

// hasTwin reports whether another server that runs has our name, by which it takes
// what we accept for its own. One of before that was killed is not heard of again,
// and so has no clock to compare.
func (s *sharing) hasTwin() bool {
	return slices.ContainsFunc(s.store.Peers(), func(p store.Peer) bool { return p.Name == s.name && p.Ahead != 0 })
}

const (
	twinText   = "another server has the name of this one, a login that one of them accepted is refused when it is sent again to the other"
	twinAdvice = "give each machine a host name of its own, and restart"
)

// others returns the other servers by name, each once: one that was killed and is
// back has left an entry of before.
func (s *sharing) others() []store.Peer {
	byName := make(map[string]store.Peer)
	for _, p := range s.store.Peers() {
		if was, ok := byName[p.Name]; p.Name != s.name && (!ok || was.Seen.Before(p.Seen)) {
			byName[p.Name] = p
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b store.Peer) int { return strings.Compare(a.Name, b.Name) })
}

const peerAdvice = "compare both with a third (chronyc tracking, timedatectl); the one that is wrong has its own finding, as a rule"

// peerSilence is after how long nothing heard of a server is worth telling.
const peerSilence = time.Minute

// servers tells of the other servers of the store.
func (r *report) servers(s *sharing, now time.Time) {
	if s.hasTwin() {
		r.bad("server.twin", "server "+s.name, twinAdvice, "%s", twinText)
	}
	for _, p := range s.others() {
		subject := "server " + p.Name
		switch silent := now.Sub(p.Seen); {
		case silent > peerSilence:
			r.bad("server.heard", subject, "if it was stopped for good, this goes within the hour", "not heard of since %s", p.Seen.Local().Format(time.DateTime))
		case p.Ahead.Abs() > peerSlack:
			r.bad("clock.peers", subject, peerAdvice, "its clock differs from this server's: it is %s", verifier.Ahead(p.Ahead))
		default:
			r.ok("clock.peers", subject, "shares the store, and its clock is like this one's, to within %s", brief(p.Ahead.Abs().Round(time.Millisecond)))
		}
	}
}
