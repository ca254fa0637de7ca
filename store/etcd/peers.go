package etcd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"lockstep/store"
)

// peers are the other servers, by what they write of themselves.
type peers struct {
	own string // our id, which is no peer

	mu   sync.Mutex      // guards byID
	byID map[string]peer // nil before the first restart
}

type peer struct {
	store.Peer
	rev     int64
	changed time.Duration // when its entry was seen to change
	clock   time.Time     // what its clock said then; zero if its entry was not new
}

// beacon is what a server writes of itself.
type beacon struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Clock   time.Time `json:"clock"` // when it was written, by its clock
}

const (
	// forgotten is how long an entry stays that nobody renews. Servers that
	// were killed leave them.
	forgotten = time.Hour

	// unheard is how long a server may exist that has not been heard. Those that are
	// there beat within it.
	unheard = time.Minute

	maxBeacon = 4096 // bytes; more is no beacon
	maxPeers  = 1000
)

func (s *Store) serverKey(id string) string { return s.opts.Prefix + "servers/" + id }

// Peers returns the other servers, by name; also those that have not been heard
// for up to an hour, see Seen. Ahead is only as good as the network is fast: a
// server whose messages take a second seems to be a second behind.
func (s *Store) Peers() []store.Peer {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	var all []store.Peer
	now, elapsed := s.opts.Now(), s.elapsed()
	for _, p := range s.peers.byID {
		all = append(all, p.at(now, elapsed))
	}
	slices.SortFunc(all, func(a, b store.Peer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Seen.Compare(b.Seen)) })
	return all
}

// Servers asks the quorum for the other servers, where Peers says what has been
// heard. Seen is by the clock of each, when it wrote of itself last: who writes
// again within a quarter of a minute is alive.
func (s *Store) Servers(ctx context.Context) ([]store.Peer, error) {
	reply, err := s.askServers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	var all []store.Peer
	for _, kv := range reply.Kvs {
		if string(kv.Key) != s.serverKey(s.id) {
			b := beaconOf(recordOf(kv).value)
			all = append(all, store.Peer{Name: b.Name, Version: b.Version, Seen: b.Clock})
		}
	}
	return all, nil
}

func (s *Store) askServers(ctx context.Context) (*pb.RangeResponse, error) {
	servers := &pb.RangeRequest{Key: []byte(s.serverKey("")), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.serverKey("")))}
	reply, _, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.RangeResponse, error) { return to.get(ctx, servers) })
	return reply, err
}

// at returns the peer as it is now. Both clocks have gone on for as long since it
// was heard, by a clock that nobody sets: where ours was set since, it shows.
func (p peer) at(now time.Time, elapsed time.Duration) store.Peer {
	if !p.clock.IsZero() {
		since := elapsed - p.changed
		p.Seen, p.Ahead = now.Add(-since), p.clock.Add(since).Sub(now.Round(0))
	}
	return p.Peer
}

// clocks compares ours with those of all other servers. What an entry that is still there has
// said holds also where its server has fallen silent: it may be cut off.
func (p *peers) clocks(now time.Time, elapsed time.Duration) clocks {
	p.mu.Lock()
	defer p.mu.Unlock()
	are := clocksAgree
	if p.byID == nil {
		are = clocksUnheard
	}
	for _, other := range p.byID {
		switch {
		case !other.clock.IsZero() && other.at(now, elapsed).Ahead.Abs() > clockSlack:
			return clocksDiffer
		case other.clock.IsZero() && elapsed-other.changed < unheard:
			are = clocksUnheard
		}
	}
	return are
}

// restart forgets the servers, for those whose entries are given.
func (p *peers) restart(entries map[string]record, elapsed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID = map[string]peer{}
	for id, is := range entries {
		p.take(id, is, elapsed, false)
	}
}

// learn takes the entry of a server. Its clock can be compared with ours only
// if it was written just now, which live says.
func (p *peers) learn(id string, is record, elapsed time.Duration, live bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(id, is, elapsed, live)
}

// take is learn with mu held.
func (p *peers) take(id string, is record, elapsed time.Duration, live bool) {
	if id == p.own {
		return
	}
	if is.rev == 0 {
		delete(p.byID, id)
		return
	}
	b := beaconOf(is.value)
	known, ok := p.byID[id]
	if !ok && len(p.byID) >= maxPeers {
		return
	}
	next := peer{Peer: store.Peer{Name: b.Name, Version: b.Version, Seen: b.Clock}, rev: is.rev, changed: elapsed}
	if live {
		next.clock = b.Clock
	} else if ok && known.rev == is.rev {
		next = known
	}
	p.byID[id] = next
}

func beaconOf(value []byte) (b beacon) {
	if len(value) > maxBeacon || json.Unmarshal(value, &b) != nil {
		return beacon{Name: "?"} // so that it is swept some day
	}
	return b
}

// beat tells the others that we are there, and what our clock says.
func (s *Store) beat() {
	ctx, cancel := context.WithTimeout(s.background, probeWait)
	defer cancel()
	s.noteWrite(s.announce(ctx))
}

func (s *Store) announce(ctx context.Context) error {
	_, _, err := ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.TxnResponse, error) {
		// Anew for each try, or those that come late would tell the wrong time.
		value, err := json.Marshal(beacon{Name: s.opts.Name, Version: s.opts.Version, Clock: s.opts.Now().UTC()})
		if err != nil {
			return nil, err
		}
		// Of the same shape as the writes of logins: etcd holds these to its quota
		// in another way than plain ones, and a beat must fail when they do.
		put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(s.serverKey(s.id)), Value: value}}}
		return to.txn(ctx, grouped(&pb.TxnRequest{Success: []*pb.RequestOp{put}}))
	})
	return err
}

// leave deletes our own entry.
func (s *Store) leave() {
	ctx, cancel := context.WithTimeout(s.background, time.Second)
	defer cancel()
	own := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(s.serverKey(s.id))}}}
	// If it fails another server does it in an hour.
	_, _, _ = ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.TxnResponse, error) {
		return to.txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{own}})
	})
}

// sweep deletes the entries of servers that are gone.
func (s *Store) sweep(now time.Duration) {
	s.peers.mu.Lock()
	old := map[string]int64{}
	for id, p := range s.peers.byID {
		if now-p.changed > forgotten {
			old[id] = p.rev
		}
	}
	s.peers.mu.Unlock()
	for id, rev := range old {
		ctx, cancel := context.WithTimeout(s.background, probeWait)
		s.writes.do(ctx, &request{key: s.serverKey(id), old: rev}) // unless it was renewed
		cancel()
	}
}
