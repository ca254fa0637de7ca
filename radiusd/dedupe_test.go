package radiusd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

// slow is an Authenticator that takes its time.
func slow(d time.Duration, o Outcome) authFunc {
	return func(context.Context, *Request) (Answer, error) {
		time.Sleep(d)
		return Answer{Outcome: o}, nil
	}
}

func TestDuplicates(t *testing.T) {
	t.Run("C50 while pending: dropped, decided once", func(t *testing.T) {
		inBubble(t, slow(time.Second, Accept), func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			for range 3 {
				r.silent(r.send(vpn, p))
			}
			r.only(r.later(time.Second), layeh.CodeAccessAccept)
			if r.asks() != 1 || r.count("TotalDupAccessRequests") != 2 {
				t.Errorf("asked %d times, %d duplicates; want 1, 2", r.asks(), r.count("TotalDupAccessRequests"))
			}
		})
	})
	for _, o := range []Outcome{Accept, Reject, Challenge} {
		t.Run("C51, C57 after the reply: identical octets, "+o.String(), func(t *testing.T) {
			inBubble(t, always(o), func(t *testing.T, r *rig) {
				p := login(1, "alice", "pass")
				first := append(r.send(vpn, p), r.later(time.Second)...)
				if len(first) != 1 {
					t.Fatalf("%d replies, want 1", len(first))
				}
				r.later(replyTTL - 2*time.Second)
				again := r.send(vpn, p)
				if len(again) != 1 || !bytes.Equal(again[0], first[0]) || r.asks() != 1 {
					t.Errorf("again %x, want %x; asked %d times", again, first, r.asks())
				}
			})
		})
	}
	t.Run("C52 same Identifier, new Authenticator, while pending: the new one is decided, the old reply is not sent", func(t *testing.T) {
		inBubble(t, slow(time.Second, Accept), func(t *testing.T, r *rig) {
			older, newer := login(1, "alice", "pass"), login(1, "alice", "pass")
			r.silent(r.send(vpn, older))
			r.silent(r.later(time.Second / 2))
			r.silent(r.send(vpn, newer))
			replies := append(r.later(time.Second/2), r.later(time.Second)...)
			reply := r.only(replies, layeh.CodeAccessAccept)
			if reply.VerifyReply(newer, []byte(testSecret), true) != nil || r.asks() != 2 {
				t.Errorf("the reply is not for the new request, or asked %d times, want 2", r.asks())
			}
			if r.count("DropSuperseded") != 1 {
				t.Errorf("%d superseded, want 1", r.count("DropSuperseded"))
			}
		})
	})
	t.Run("C52 same Identifier, new Authenticator, in the queue: the old one is not decided", func(t *testing.T) {
		inBubbleWith(t, &Server{Workers: 1, Patience: 5 * time.Second}, slow(time.Second, Accept), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			r.silent(r.send(vpn, login(2, "old", "pass")))
			r.silent(r.send(vpn, login(2, "new", "pass")))
			if got := r.later(5 * time.Second); len(got) != 2 || r.asks() != 2 || r.last().UserName != "new" {
				t.Errorf("%d replies, asked %d times, last about %q; want 2, 2, new", len(got), r.asks(), r.last().UserName)
			}
		})
	})
	t.Run("C53 the Identifier is used again at once", func(t *testing.T) {
		inBubble(t, always(Accept), func(t *testing.T, r *rig) {
			for range 5 {
				r.one(vpn, login(1, "alice", "pass"), layeh.CodeAccessAccept)
			}
			if r.asks() != 5 {
				t.Errorf("asked %d times, want 5", r.asks())
			}
		})
	})
	t.Run("C54 after its time a request is new", func(t *testing.T) {
		inBubble(t, always(Accept), func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			r.one(vpn, p, layeh.CodeAccessAccept)
			r.later(replyTTL)
			r.one(vpn, p, layeh.CodeAccessAccept)
			if r.asks() != 2 {
				t.Errorf("asked %d times, want 2", r.asks())
			}
		})
	})
	t.Run("C55 another source port is another request", func(t *testing.T) {
		inBubble(t, always(Accept), func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			r.one(vpn, p, layeh.CodeAccessAccept)
			r.one(netip.AddrPortFrom(vpn.Addr(), vpn.Port()+1), p, layeh.CodeAccessAccept)
			if r.asks() != 2 {
				t.Errorf("asked %d times, want 2", r.asks())
			}
		})
	})
	t.Run("C56 while a reject waits: dropped", func(t *testing.T) {
		inBubble(t, always(Reject), func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			r.silent(r.send(vpn, p))
			r.silent(r.later(500 * time.Millisecond))
			r.silent(r.send(vpn, p))
			r.only(r.later(time.Second), layeh.CodeAccessReject)
			if r.asks() != 1 {
				t.Errorf("asked %d times, want 1", r.asks())
			}
		})
	})
	t.Run("C52 while a reject waits: it is not sent", func(t *testing.T) {
		inBubble(t, always(Reject), func(t *testing.T, r *rig) {
			r.silent(r.send(vpn, login(1, "alice", "pass")))
			r.setAuth(always(Accept))
			r.one(vpn, login(1, "alice", "pass"), layeh.CodeAccessAccept)
			r.silent(r.later(2 * time.Second))
		})
	})
	t.Run("C38 a Message-Authenticator that does not verify leaves the reply in the cache", func(t *testing.T) {
		inBubble(t, always(Accept), func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			r.one(vpn, p, layeh.CodeAccessAccept)
			forged := login(1, "alice", "other")
			forged[25] ^= 1
			r.silent(r.send(vpn, forged))
			r.one(vpn, p, layeh.CodeAccessAccept)
			if r.asks() != 1 || r.count("TotalBadAuthenticators") != 1 {
				t.Errorf("asked %d times, %d bad authenticators; want 1, 1", r.asks(), r.count("TotalBadAuthenticators"))
			}
			r.wantLog("level=WARN", "client=vpn", "shared secret of this client is probably wrong")
		})
	})
	t.Run("what could not be decided is new work when sent again", func(t *testing.T) {
		fails := func(context.Context, *Request) (Answer, error) { return Answer{}, errors.New("directory is away") }
		inBubble(t, fails, func(t *testing.T, r *rig) {
			p := login(1, "alice", "pass")
			r.silent(r.send(vpn, p))
			r.wantLog("level=ERROR", "cannot decide, no reply sent", "q=1", "user=alice", "directory is away")
			r.setAuth(always(Accept))
			r.one(vpn, p, layeh.CodeAccessAccept)
		})
	})
}

func TestDuplicateCacheIsFull(t *testing.T) { // C59
	inBubbleWith(t, &Server{Duplicates: dedupeShards}, slow(time.Second, Accept), func(t *testing.T, r *rig) {
		const sent = 200
		for i := range sent {
			r.silent(r.send(vpn, login(byte(i), "alice", "pass")))
		}
		decided := len(r.later(5 * time.Second))
		if decided < 1 || decided > dedupeShards || r.count("DropCacheFull") != uint64(sent-decided) {
			t.Errorf("%d decided and %d dropped of %d; want up to %d decided and the rest dropped",
				decided, r.count("DropCacheFull"), sent, dedupeShards)
		}
		r.wantLog("too many requests to remember")
		for i := range 3 {
			r.later(replyMinTTL) // two of them may share a shard, which has room for one
			r.send(vpn, login(byte(i), "alice", "pass"))
			r.only(r.later(time.Second), layeh.CodeAccessAccept)
		}
	})
}

func TestDedupeForgets(t *testing.T) {
	now := time.Now()
	d := newDedupe(1<<16, now)
	key := func(i int) requestKey {
		return d.key(peer{socket: newSocket(nil, 0), addr: netip.AddrPortFrom(vpn.Addr(), uint16(i))}, byte(i))
	}
	for i := range 1000 {
		for range 3 { // each replaces the one before
			found, e, _ := d.begin(key(i), [16]byte([]byte(fmt.Sprintf("%016d", time.Now().UnixNano()%1e16))), now)
			if found == dupNew {
				d.finish(e, radius.Packet{1}, now)
			}
		}
	}
	for i := range 1000 { // touch all shards
		if found, e, _ := d.begin(key(5000+i), [16]byte{}, now.Add(replyTTL)); found == dupNew {
			d.forget(e)
		}
	}
	for i := range d.shards {
		if s := &d.shards[i]; len(s.places) != 0 || len(s.free) != len(s.entries)-1 || s.oldest != 0 || s.newest != 0 {
			t.Errorf("shard %d still holds %d entries, with %d places of %d free, answered from %d to %d",
				i, len(s.places), len(s.free), len(s.entries)-1, s.oldest, s.newest)
		}
	}
}

func TestTicketsOfWhatHasBeenRemovedAreGoodForNothing(t *testing.T) {
	now := time.Now()
	d := newDedupe(1<<16, now)
	key := d.key(peer{socket: newSocket(nil, 0), addr: vpn}, 1)
	_, older, _ := d.begin(key, [16]byte{1}, now)
	_, newer, _ := d.begin(key, [16]byte{2}, now.Add(time.Second)) // in the same place
	if older.place != newer.place {
		t.Fatalf("places %d and %d, want the same", older.place, newer.place)
	}
	if _, ok := d.wanted(older); ok {
		t.Error("the older request is wanted")
	}
	if d.finish(older, radius.Packet{1}, now) {
		t.Error("the reply to the older request is taken for that to the newer")
	}
	d.forget(older)
	if asked, ok := d.wanted(newer); !ok || !asked.Equal(now.Add(time.Second)) {
		t.Errorf("the newer request was asked at %v, wanted %t", asked, ok)
	}
	if !d.finish(newer, radius.Packet{2}, now) {
		t.Error("the reply to the newer request is not wanted")
	}
	if found, _, reply := d.begin(key, [16]byte{2}, now); found != dupAnswered || reply[0] != 2 {
		t.Errorf("found %d with the reply %x", found, reply)
	}
}

func TestRequestsAreToldApart(t *testing.T) {
	d := newDedupe(1<<16, time.Now())
	first, second := newSocket(nil, 0), newSocket(nil, 1)
	from := func(s *socket, addr string) peer { return peer{socket: s, addr: netip.MustParseAddrPort(addr)} }
	keys := map[requestKey]int{}
	for i, key := range []requestKey{
		d.key(from(first, "192.0.2.1:50000"), 1),
		d.key(from(first, "192.0.2.1:50000"), 2),
		d.key(from(second, "192.0.2.1:50000"), 1),
		d.key(from(first, "192.0.2.1:50001"), 1),
		d.key(from(first, "192.0.2.2:50000"), 1),
		d.key(from(first, "[fe80::1]:50000"), 1),
		d.key(from(first, "[fe80::1%eth0]:50000"), 1),
		d.key(from(first, "[fe80::1%eth1]:50000"), 1),
		d.key(from(first, "[::192.0.2.1]:50000"), 1),
	} {
		if other, ok := keys[key]; ok {
			t.Errorf("%d and %d are taken for the same", other, i)
		}
		keys[key] = i
	}
	if d.key(from(first, "[::ffff:192.0.2.1]:50000"), 1) != d.key(from(first, "192.0.2.1:50000"), 1) {
		t.Error("IPv4 in IPv6 is not taken for IPv4")
	}
}
