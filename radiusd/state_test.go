package radiusd

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
)

// twoRounds challenges for a code, and accepts "123456" after "pass".
func twoRounds(_ context.Context, r *Request) (Answer, error) {
	switch {
	case !r.Challenged:
		return Answer{Outcome: Challenge, Keep: r.Typed}, nil
	case string(r.Kept.Reveal()) == "pass" && string(r.Typed.Reveal()) == "123456":
		return Answer{Outcome: Accept}, nil
	}
	return Answer{Outcome: Reject, Reason: "code wrong"}, nil
}

// challenge does the first round.
func (r *rig) challenge(from netip.AddrPort, identifier byte, name string) (stateOf string) {
	r.t.Helper()
	reply := r.one(from, login(identifier, name, "pass"), layeh.CodeAccessChallenge)
	value, _ := reply.Lookup(rfc2865.State_Type)
	return string(value)
}

// rejected wants a reject, in its time, with that reason in the log.
func (r *rig) rejected(from netip.AddrPort, datagram []byte, reason string) {
	r.t.Helper()
	before := r.asks()
	r.only(append(r.send(from, datagram), r.later(time.Second)...), layeh.CodeAccessReject)
	r.wantLog("result=reject", reason)
	if r.asks() != before {
		r.t.Error("the Authenticator was asked")
	}
}

func TestChallenge(t *testing.T) {
	const notOurs = "the State is not ours"
	for _, tt := range []struct {
		name string
		test func(r *rig)
	}{
		{"right code", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.one(vpn, login(2, "alice", "123456", state(s)), layeh.CodeAccessAccept)
		}},
		{"State alone, without a password, is an empty code", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.send(vpn, signed(layeh.CodeAccessRequest, 2, user("alice"), state(s)))
			r.only(r.later(time.Second), layeh.CodeAccessReject)
			r.wantLog(`reason="code wrong"`)
		}},
		{"another address of the same client", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.one(netip.AddrPortFrom(vpn.Addr().Next(), 1), login(2, "alice", "123456", state(s)), layeh.CodeAccessAccept)
		}},
		{"C71 another user", func(r *rig) {
			r.rejected(vpn, login(2, "bob", "123456", state(r.challenge(vpn, 1, "alice"))), notOurs)
		}},
		{"C79 the same user in capitals", func(r *rig) {
			r.rejected(vpn, login(2, "Alice", "123456", state(r.challenge(vpn, 1, "alice"))), notOurs)
		}},
		{"C72 another client", func(r *rig) {
			r.rejected(vpn6, login(2, "alice", "123456", state(r.challenge(vpn, 1, "alice"))), notOurs)
		}},
		{"C73 just in time", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.later(stateTTL - time.Second)
			r.one(vpn, login(2, "alice", "123456", state(s)), layeh.CodeAccessAccept)
		}},
		{"a challenge that waits for something", func(r *rig) {
			r.setAuth(func(ctx context.Context, q *Request) (Answer, error) {
				a, err := twoRounds(ctx, q)
				a.Wait = time.Hour
				return a, err
			})
			s := r.challenge(vpn, 1, "alice")
			r.later(stateTTL + MaxWait - time.Second)
			r.one(vpn, login(2, "alice", "123456", state(s)), layeh.CodeAccessAccept)
			s = r.challenge(vpn, 3, "alice")
			r.later(stateTTL + MaxWait)
			r.rejected(vpn, login(4, "alice", "123456", state(s)), "the State has expired")
		}},
		{"C73 expired", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.later(stateTTL)
			r.rejected(vpn, login(2, "alice", "123456", state(s)), "the State has expired")
		}},
		{"C74 used again after an accept", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.one(vpn, login(2, "alice", "123456", state(s)), layeh.CodeAccessAccept)
			r.rejected(vpn, login(3, "alice", "123456", state(s)), "the State was used before")
			r.later(30 * time.Second)
			r.rejected(vpn, login(4, "alice", "123456", state(s)), "the State was used before")
		}},
		{"C74 used again after a reject", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.send(vpn, login(2, "alice", "654321", state(s)))
			r.only(r.later(time.Second), layeh.CodeAccessReject)
			r.rejected(vpn, login(3, "alice", "123456", state(s)), "the State was used before")
		}},
		{"used again after an error", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.setAuth(func(context.Context, *Request) (Answer, error) { return Answer{}, errors.New("away") })
			r.silent(r.send(vpn, login(2, "alice", "123456", state(s))))
			r.setAuth(func(context.Context, *Request) (Answer, error) { panic("away") })
			r.silent(r.send(vpn, login(3, "alice", "123456", state(s))))
			r.setAuth(twoRounds)
			r.one(vpn, login(4, "alice", "123456", state(s)), layeh.CodeAccessAccept)
		}},
		{"C77 two at once: one goes on", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			r.setAuth(slow(time.Second, Accept))
			r.silent(r.send(vpn, login(2, "alice", "123456", state(s))))
			r.silent(r.send(vpn, login(3, "alice", "123456", state(s))))
			r.only(r.later(2*time.Second), layeh.CodeAccessAccept)
			if r.asks() != 2 || r.count("DropStateInUse") != 1 {
				r.t.Errorf("asked %d times, %d States in use; want 2, 1", r.asks(), r.count("DropStateInUse"))
			}
		}},
		{"C75 any octet altered", func(r *rig) {
			s := r.challenge(vpn, 1, "alice")
			for i := range len(s) {
				altered := []byte(s)
				altered[i] ^= 1
				if _, err := r.sealer.Load().open("vpn", "alice", altered, time.Now()); err == nil {
					r.t.Errorf("opens with octet %d altered", i)
				}
			}
			for _, altered := range []string{s + "A", s[:len(s)-1], "\n" + s, s + "\n", s[:40] + "\r\n" + s[40:], s + "=", s[1:]} {
				if _, err := r.sealer.Load().open("vpn", "alice", []byte(altered), time.Now()); err == nil {
					r.t.Errorf("opens as %q", altered)
				}
			}
			if _, err := r.sealer.Load().open("vpn", "alice", []byte(s), time.Now()); err != nil {
				r.t.Errorf("does not open unaltered: %v", err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { inBubble(t, twoRounds, func(_ *testing.T, r *rig) { tt.test(r) }) })
	}
}

func TestChallengeOfAClientThatCannot(t *testing.T) { // C81
	inBubble(t, always(Challenge), func(t *testing.T, r *rig) {
		r.silent(append(r.send(old, login(1, "alice", "pass")), r.later(2*time.Second)...))
		r.wantLog("level=ERROR", "cannot be challenged")
	})
}

func TestStateShape(t *testing.T) { // C70
	sealer, err := newStateRing([]StateKey{{1 << 31, testKey}})
	if err != nil {
		t.Fatal(err)
	}
	if MaxKeep < 16+128 {
		t.Errorf("MaxKeep is %d: no room for a time and a source beside the longest password", MaxKeep)
	}
	now := time.Now()
	length := 0
	for n := range MaxKeep + 1 {
		keep := strings.Repeat("\x00", n)
		s, err := sealer.seal("vpn", "alice", opaque.Text(keep), now.Add(stateTTL))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			length = len(s)
		}
		if len(s) != length || len(s) > 253 || strings.Trim(string(s), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("State that keeps %d octets is %q; want base64url, %d octets long", n, s, length)
		}
		got, err := sealer.open("vpn", "alice", s, now)
		if err != nil || string(got.keep.Reveal()) != keep {
			t.Errorf("State keeps %q, %v; want %q", got.keep.Reveal(), err, keep)
		}
	}
	if _, err := sealer.seal("vpn", "alice", opaque.Text(strings.Repeat("x", MaxKeep+1)), now); err == nil {
		t.Error("sealed more than MaxKeep")
	}
	s, _ := sealer.seal("ab", "c", opaque.Bytes{}, now.Add(stateTTL))
	if _, err := sealer.open("a", "bc", s, now); err == nil {
		t.Error("State of client ab and user c opens for client a and user bc")
	}
	for name, keys := range map[string][]StateKey{
		"a key of 16 octets": {{1, opaque.Of(make([]byte, 16))}},
		"no key":             {{1, opaque.Bytes{}}},
		"two with one ID":    {{1, testKey}, {2, testKey}, {1, testKey}},
	} {
		if _, err := newStateRing(keys); err == nil || strings.Contains(err.Error(), string(testKey.Reveal())) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// C78: any server that has the key can finish what another began.
func TestStateOfAnotherServer(t *testing.T) {
	another := opaque.Text("another key of thirty-two octets")
	ring := func(keys ...StateKey) stateRing {
		t.Helper()
		r, err := newStateRing(keys)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := ring(StateKey{5, testKey})
	two := ring(StateKey{6, another}, StateKey{5, testKey})
	now := time.Now()
	s, err := one.seal("vpn", "alice", opaque.Text("kept"), now.Add(stateTTL))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := two.open("vpn", "alice", s, now); err != nil || string(got.keep.Reveal()) != "kept" {
		t.Errorf("another server with the key: %v", err)
	}
	for name, stranger := range map[string]stateRing{
		"no keys":                    ring(),
		"another key":                ring(StateKey{6, another}),
		"another key of the same ID": ring(StateKey{5, another}),
		"the key with another ID":    ring(StateKey{6, testKey}),
	} {
		if _, err := stranger.open("vpn", "alice", s, now); err != errStateForeign {
			t.Errorf("another server with %s: %v", name, err)
		}
	}
	// The ID is bound, too: the key under another one does not open what has that
	// ID written over its own.
	b, err := base64.RawURLEncoding.DecodeString(string(s))
	if err != nil {
		t.Fatal(err)
	}
	b[3] = 6
	if _, err := ring(StateKey{6, testKey}).open("vpn", "alice", []byte(base64.RawURLEncoding.EncodeToString(b)), now); err != errStateForeign {
		t.Errorf("with another ID: %v", err)
	}
}

func TestStateSet(t *testing.T) {
	s := newStateSet(2)
	now := time.Now()
	a, b, c := stateID{1}, stateID{2}, stateID{3}
	for i, tt := range []struct {
		id   stateID
		at   time.Duration
		then func(stateID)
		want stateUse
	}{
		{a, 0, func(id stateID) { s.spend(id, now.Add(stateTTL)) }, stateFree},
		{b, 0, nil, stateFree},
		{b, 0, nil, stateTaken},
		{c, 0, nil, stateFull},
		{a, stateTTL - 1, nil, stateSpent},
		{b, stateTTL - 1, s.release, stateTaken},
		{c, stateTTL, nil, stateFree},
		{b, stateTTL, nil, stateFree},
	} {
		if got := s.take(tt.id, now.Add(tt.at)); got != tt.want {
			t.Errorf("%d: take(%v) = %v, want %v", i, tt.id, got, tt.want)
		}
		if tt.then != nil {
			tt.then(tt.id)
		}
	}
}
