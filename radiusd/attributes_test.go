package radiusd

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

func answering(a Answer) authFunc {
	return func(context.Context, *Request) (Answer, error) { return a, nil }
}

// types returns the types of a reply's attributes, in order.
func types(p radius.Packet) (all []radius.Type) {
	for t := range p.Attributes() {
		all = append(all, t)
	}
	return all
}

func TestAttributesOfAnAnswer(t *testing.T) {
	given := []radius.Attribute{attr(25, "admins"), vsa(9, append([]byte{1, 19}, "shell:priv-lvl=15"...)...), attr(11, "b"), attr(11, "a")}
	for _, tt := range []struct {
		name   string
		answer Answer
		want   radius.Code
		types  []radius.Type
	}{
		{"an accept has them in order, after Message-Authenticator and before Proxy-State", Answer{Outcome: Accept, Attributes: given}, layeh.CodeAccessAccept, []radius.Type{80, 25, 26, 11, 11, 33, 33}},
		{"an accept with text has that after them", Answer{Outcome: Accept, Attributes: given, Message: "welcome"}, layeh.CodeAccessAccept, []radius.Type{80, 25, 26, 11, 11, 18, 33, 33}},
		{"a reject has none", Answer{Outcome: Reject, Attributes: given, Message: "no"}, layeh.CodeAccessReject, []radius.Type{80, 18, 33, 33}},
		{"a challenge has none", Answer{Outcome: Challenge, Attributes: given}, layeh.CodeAccessChallenge, []radius.Type{80, 24, 18, 76, 33, 33}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, answering(tt.answer), func(t *testing.T, r *rig) {
				p := login(1, "alice", "pass", attr(33, "p"), attr(33, "q"))
				reply := r.only(append(r.send(vpn, p), r.later(time.Second)...), tt.want)
				if got := types(reply); !slices.Equal(got, tt.types) {
					t.Errorf("attributes %v, want %v", got, tt.types)
				}
				if tt.want != layeh.CodeAccessAccept {
					return
				}
				if value, _ := reply.Lookup(26); string(value) != "\x00\x00\x00\x09\x01\x13shell:priv-lvl=15" {
					t.Errorf("vendor attribute %q", value)
				}
				if again := r.only(r.send(vpn, p), tt.want); !bytes.Equal(again, reply) || r.asks() != 1 {
					t.Errorf("a retransmission got other octets, or was asked about: %d", r.asks())
				}
			})
		})
	}
}

// What an appliance is not told may be what restricts a session: rather no
// reply than one with some of the attributes.
func TestAttributesThatDoNotFit(t *testing.T) {
	full := attr(33, strings.Repeat("p", 253))
	proxies := []radius.Attribute{full, full, full, full, attr(33, "a")}
	rest := radius.MaxLen - 20 - 18 - 4*255 - 3
	var most []radius.Attribute // as many octets as there is room for
	for ; rest > 255; rest -= 255 {
		most = append(most, attr(11, strings.Repeat("f", 253)))
	}
	most = append(most, attr(11, strings.Repeat("f", rest-2)))
	over := append(slices.Clone(most[:len(most)-1]), attr(11, strings.Repeat("f", rest-1)))
	for _, tt := range []struct {
		name   string
		answer Answer
		want   bool
	}{
		{"what fits exactly", Answer{Outcome: Accept, Attributes: most}, true},
		{"the text is left out first", Answer{Outcome: Accept, Attributes: most, Message: "welcome"}, true},
		{"one octet more", Answer{Outcome: Accept, Attributes: over, Rule: "admins"}, false},
		{"a value of 254 octets", Answer{Outcome: Accept, Attributes: []radius.Attribute{attr(11, strings.Repeat("f", 254))}, Rule: "admins"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, answering(tt.answer), func(t *testing.T, r *rig) {
				replies := append(r.send(vpn, login(1, "alice", "pass", proxies...)), r.later(time.Second)...)
				if !tt.want {
					r.silent(replies)
					r.wantLog("level=ERROR", "no reply sent", "user=alice")
					return
				}
				got := types(r.only(replies, layeh.CodeAccessAccept))
				if n := len(got); n != 1+len(most)+len(proxies) || slices.Contains(got, 18) {
					t.Errorf("%d attributes, want %d and no text", n, 1+len(most)+len(proxies))
				}
			})
		})
	}
}

func TestTheServersOwnAttributesAreNotTaken(t *testing.T) {
	for _, bad := range []radius.Attribute{attr(80, strings.Repeat("x", 16)), attr(24, "s"), attr(33, "p"), attr(0, "x"), attr(256+80, "x"), attr(-1, "x")} {
		inBubble(t, answering(Answer{Outcome: Accept, Attributes: []radius.Attribute{attr(25, "a"), bad}}), func(t *testing.T, r *rig) {
			r.silent(append(r.send(vpn, login(1, "alice", "pass")), r.later(time.Second)...))
			r.wantLog("level=ERROR", "sets itself")
		})
	}
}

func TestRuleInLog(t *testing.T) {
	for _, outcome := range []Outcome{Accept, Reject} {
		inBubble(t, answering(Answer{Outcome: outcome, Rule: "ad\nmins"}), func(t *testing.T, r *rig) {
			r.send(vpn, login(1, "alice", "pass"))
			r.wantLog("msg=decision", "result="+outcome.String(), "rule=\"ad\ufffdmins\"")
		})
	}
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		r.send(vpn, login(1, "alice", "pass"))
		if r.logged("rule=") {
			t.Error("a rule where there was none")
		}
	})
}
