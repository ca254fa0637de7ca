package radiusd

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// stats returns what is known of a client, less its name and when it was seen.
func (r *rig) stats(name string) ClientStats {
	for _, s := range r.Clients() {
		if s.Name == name {
			s.Name, s.LastSeen = "", time.Time{}
			return s
		}
	}
	r.t.Errorf("no client %q", name)
	return ClientStats{}
}

func TestWhatIsCountedForAClient(t *testing.T) {
	wrong := func(id byte) radius.Packet {
		p := login(id, "alice", "x")
		p[22]++ // of Message-Authenticator
		return p
	}
	for _, tt := range []struct {
		name string
		auth authFunc
		from netip.AddrPort
		send []radius.Packet
		want ClientStats
	}{
		{"an accept", always(Accept), vpn, []radius.Packet{login(1, "alice", "x")}, ClientStats{Requests: 1, Accepts: 1}},
		{"a reject", always(Reject), vpn, []radius.Packet{login(1, "alice", "x")}, ClientStats{Requests: 1, Rejects: 1}},
		{"a challenge", always(Challenge), vpn, []radius.Packet{login(1, "alice", "x")}, ClientStats{Requests: 1, Challenges: 1}},
		{"nobody can tell", func(context.Context, *Request) (Answer, error) { return Answer{}, errors.New("away") }, vpn,
			[]radius.Packet{login(1, "alice", "x")}, ClientStats{Requests: 1, Dropped: 1, Unanswered: 1}},
		{"a panic", func(context.Context, *Request) (Answer, error) { panic("x") }, vpn,
			[]radius.Packet{login(1, "alice", "x")}, ClientStats{Requests: 1, Dropped: 1, Unanswered: 1}},
		{"a wrong secret", always(Accept), vpn, []radius.Packet{wrong(1)}, ClientStats{Requests: 1, BadAuthenticators: 1}},
		{"no Message-Authenticator where it is required", always(Accept), vpn, []radius.Packet{unsignedLogin(1, "alice", "x")},
			ClientStats{Requests: 1, NoMessageAuthenticator: 1, Dropped: 1}},
		{"no Message-Authenticator where it is not", always(Accept), old, []radius.Packet{unsignedLogin(1, "alice", "x")},
			ClientStats{Requests: 1, NoMessageAuthenticator: 1, Accepts: 1}},
		{"a wrong secret that shows in the password alone", always(Accept), old, []radius.Packet{unsignedLogin(1, "alice", "\x01\xff")},
			ClientStats{Requests: 1, NoMessageAuthenticator: 1, BadAuthenticators: 1, Rejects: 1}},
		{"CHAP", always(Accept), vpn, []radius.Packet{signed(layeh.CodeAccessRequest, 1, user("alice"), attr(rfc2865.CHAPPassword_Type, "12345678901234567"))},
			ClientStats{Requests: 1, CHAP: 1, Rejects: 1}},
		{"two user names", always(Accept), vpn, []radius.Packet{login(1, "alice", "x", user("bob"))}, ClientStats{Requests: 1, Malformed: 1}},
		{"no RADIUS at all", always(Accept), vpn, []radius.Packet{radius.Packet("abc")}, ClientStats{Malformed: 1}},
		{"accounting at the wrong port", always(Accept), vpn, []radius.Packet{signed(layeh.CodeAccountingRequest, 1)}, ClientStats{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.auth, func(t *testing.T, r *rig) {
				for _, p := range tt.send {
					r.send(tt.from, p)
				}
				r.later(2 * time.Second)
				name := map[netip.AddrPort]string{vpn: "vpn", old: "old"}[tt.from]
				if got := r.stats(name); got != tt.want {
					t.Errorf("got %+v\nwant %+v", got, tt.want)
				}
				if got := r.stats("six"); got != (ClientStats{}) {
					t.Errorf("another client has %+v", got)
				}
			})
		})
	}
}

func TestDuplicatesOfAClient(t *testing.T) {
	inBubble(t, always(Reject), func(t *testing.T, r *rig) {
		p := login(1, "alice", "x")
		r.send(vpn, p)
		r.send(vpn, p) // pending
		r.later(2 * time.Second)
		r.send(vpn, p) // answered
		want := ClientStats{Requests: 3, Duplicates: 2, Rejects: 1}
		if got := r.stats("vpn"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestClientsInOrderAndLastSeen(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		r.later(time.Hour)
		r.send(old, unsignedLogin(1, "alice", "x"))
		r.send(nobody, login(1, "alice", "x"))
		seen, all := time.Now(), r.Clients()
		r.later(time.Hour)
		for i, want := range []ClientStats{{Name: "vpn"}, {Name: "old", LastSeen: seen}, {Name: "six"}} {
			if len(all) != 3 || all[i].Name != want.Name || !all[i].LastSeen.Equal(want.LastSeen) {
				t.Errorf("client %d of %+v, want %+v", i, all, want)
			}
		}
	})
	if got := new(Server).Clients(); got != nil {
		t.Errorf("no clients are %v", got)
	}
}

// What was counted stays at a reload, by the name, and is that of all who have it.
func TestCountsSurviveSetClients(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		r.send(vpn, login(1, "alice", "x"))
		renamed := r.clients()
		renamed[0].Secret = opaque.Text("another secret of enough octets")
		renamed[1].Name, renamed[2].Name = "new", "vpn"
		if err := r.SetClients(renamed); err != nil {
			t.Fatal(err)
		}
		r.send(vpn6, login(1, "alice", "x"))
		if all := r.Clients(); len(all) != 2 || all[0].Name != "vpn" || all[1].Name != "new" {
			t.Errorf("clients are %+v", all)
		}
		want := ClientStats{Requests: 2, Accepts: 2}
		if got := r.stats("vpn"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestBusy(t *testing.T) {
	stop := make(chan struct{})
	wait := func(context.Context, *Request) (Answer, error) { <-stop; return Answer{Outcome: Reject}, nil }
	inBubbleWith(t, &Server{Workers: 2, Queue: 3, Patience: time.Minute}, wait, func(t *testing.T, r *rig) {
		stop = make(chan struct{}) // of the bubble
		for id := range byte(4) {
			r.send(vpn, login(id, "alice", "x"))
		}
		if got, want := r.Busy(), (Busy{Deciding: 2, Limit: 2, Waiting: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		close(stop)
		r.replies()
		if got, want := r.Busy(), (Busy{Limit: 2, Delayed: 4}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		r.later(2 * time.Second)
		if got, want := r.Busy(), (Busy{Limit: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
