package radiusd

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/radius"
)

// TestAccessRequest is about one Access-Request each: whether the
// Authenticator is asked, and what the client gets.
func TestAccessRequest(t *testing.T) {
	const silence, accept, reject = radius.Code(0), layeh.CodeAccessAccept, layeh.CodeAccessReject
	request := layeh.CodeAccessRequest
	serviceType := func(n uint32) radius.Attribute {
		return radius.Attribute{Type: rfc2865.ServiceType_Type, Value: layeh.NewInteger(n)}
	}
	chapPassword := attr(rfc2865.CHAPPassword_Type, "\x01sixteen octets!!")
	eap := attr(79, "\x02\x01\x00\x09\x01alice")
	proxyState := attr(rfc2865.ProxyState_Type, "p")

	for _, tt := range []struct {
		name   string
		packet radius.Packet
		lax    bool // sent from the client that need not sign
		want   radius.Code
		typed  string // what the Authenticator is asked, if it is
		log    string
	}{
		{name: "signed", packet: login(1, "alice", "pass"), want: accept, typed: "pass"},
		{name: "C34 unsigned where it may be", packet: unsignedLogin(1, "alice", "pass"), lax: true, want: accept, typed: "pass"},
		{name: "C34 unsigned where it must not be", packet: unsignedLogin(1, "alice", "pass"), want: silence, log: "require_message_authenticator = false"},
		{name: "C35 unsigned with Proxy-State", packet: unsignedLogin(1, "alice", "pass", proxyState), lax: true, want: silence, log: "Proxy-State"},
		{name: "C35 signed with Proxy-State", packet: login(1, "alice", "pass", proxyState), lax: true, want: accept, typed: "pass"},
		{name: "C36 EAP, unsigned", packet: packet(request, 1, user("alice"), eap), lax: true, want: silence, log: "EAP-Message"},
		{name: "EAP, signed", packet: signed(request, 1, user("alice"), eap), want: reject, log: "set this client to PAP"},

		{name: "C12 unknown attribute and vendor, sub-attribute of length 0", packet: login(1, "alice", "pass", attr(200, "x"), vsa(9, 1, 0), vsa(311, 1, 0), vsa(311), attr(26, "x")), want: accept, typed: "pass"},
		{name: "C12 sub-attribute that overflows", packet: login(1, "alice", "pass", vsa(311, 11, 200, 1)), want: accept, typed: "pass"},
		{name: "C13 two User-Name", packet: login(1, "alice", "pass", user("alice")), want: silence},
		{name: "C13 two User-Password", packet: login(1, "alice", "pass", password("pass")), want: silence},
		{name: "C13 two State", packet: login(1, "alice", "pass", state("a"), state("a")), want: silence},
		{name: "C13 two empty State", packet: login(1, "alice", "pass", state(""), state("")), want: silence},
		{name: "C13 two Service-Type", packet: login(1, "alice", "pass", serviceType(1), serviceType(17)), want: silence},
		{name: "C14 User-Password and CHAP-Password", packet: login(1, "alice", "pass", chapPassword), want: silence},
		{name: "C15 neither password nor State", packet: signed(request, 1, user("alice")), want: reject, log: "neither User-Password nor State"},
		{name: "C16 EAP and User-Password", packet: login(1, "alice", "pass", eap), want: silence},
		{name: "C16 EAP and CHAP-Password", packet: signed(request, 1, user("alice"), chapPassword, eap), want: silence},
		{name: "Service-Type of 3 octets", packet: login(1, "alice", "pass", attr(rfc2865.ServiceType_Type, "abc")), want: silence},

		{name: "C23 wrong secret, unsigned", packet: packet(request, 1, user("alice"), attr(rfc2865.UserPassword_Type, "sixteen octets!!")), lax: true, want: reject, log: "shared secret of this client is probably wrong"},
		{name: "C23 control character, unsigned", packet: unsignedLogin(1, "alice", "pa\nss"), lax: true, want: reject, log: "shared secret"},
		{name: "control character, signed", packet: login(1, "alice", "pa\nss"), want: accept, typed: "pa\nss"},
		{name: "C62 Latin-1, unsigned", packet: unsignedLogin(1, "alice", "p\xe4ss"), lax: true, want: reject, log: "shared secret"},
		{name: "C62 Latin-1, signed", packet: login(1, "alice", "p\xe4ss"), want: accept, typed: "p\xe4ss"},
		{name: "C62 UTF-8, unsigned", packet: unsignedLogin(1, "alice", "pässe\u0301🔑"), lax: true, want: accept, typed: "pässe\u0301🔑"},
		{name: "C61 NUL inside, signed", packet: login(1, "alice", "pa\x00ss"), want: reject, log: "NUL"},
		{name: "C61 NUL inside, unsigned", packet: unsignedLogin(1, "alice", "pa\x00ss"), lax: true, want: reject, log: "shared secret"},
		{name: "C60 empty password", packet: login(1, "alice", ""), want: accept, typed: ""},
		{name: "C60 User-Password without a value", packet: signed(request, 1, user("alice"), attr(rfc2865.UserPassword_Type, "")), want: accept, typed: ""},
		{name: "User-Password without a value, unsigned", packet: packet(request, 1, user("alice"), attr(rfc2865.UserPassword_Type, "")), lax: true, want: reject, log: "shared secret"},
		{name: "User-Password without a value, unsigned, beside State", packet: packet(request, 1, user("alice"), attr(rfc2865.UserPassword_Type, ""), state("x")), lax: true, want: reject, log: "shared secret"},
		{name: "C60 empty password, unsigned", packet: unsignedLogin(1, "alice", ""), lax: true, want: accept, typed: ""},
		{name: "C60 one octet", packet: login(1, "alice", "p"), want: accept, typed: "p"},
		{name: "C60 128 octets", packet: login(1, "alice", strings.Repeat("p", 128)), want: accept, typed: strings.Repeat("p", 128)},
		{name: "C60 User-Password of 8 octets", packet: signed(request, 1, user("alice"), attr(rfc2865.UserPassword_Type, "8 octets")), want: silence},
		{name: "C60 User-Password of 144 octets", packet: login(1, "alice", strings.Repeat("p", 144)), want: silence},

		{name: "no User-Name", packet: signed(request, 1, password("pass")), want: reject, log: "no User-Name"},
		{name: "empty User-Name", packet: login(1, "", "pass"), want: reject, log: "no User-Name"},
		{name: "User-Name is not UTF-8", packet: login(1, "al\xffice", "pass"), want: reject, log: "not UTF-8"},
		{name: "User-Name with a line end", packet: login(1, "alice\nlevel=INFO msg=decision user=bob result=accept", "pass"), want: reject, log: "control characters"},
		{name: "User-Name with a NUL", packet: login(1, "alice\x00", "pass"), want: reject, log: "control characters"},

		{name: "C85 CHAP", packet: signed(request, 1, user("alice"), chapPassword), want: reject, log: "CHAP cannot be checked: set this client to PAP"},
		{name: "C86 MS-CHAP", packet: signed(request, 1, user("alice"), vsa(311, 11, 3, 'x'), vsa(311, 1, 3, 'x')), want: reject, log: "MS-CHAP cannot be checked: set this client to PAP"},
		{name: "C86 MS-CHAPv2", packet: signed(request, 1, user("alice"), vsa(311, 25, 3, 'x')), want: reject, log: "set this client to PAP"},
		{name: "C86 MS-CHAPv2, after another", packet: signed(request, 1, user("alice"), vsa(311, 7, 2, 25, 2)), want: reject, log: "set this client to PAP"},
		{name: "C87 Call-Check", packet: login(1, "alice", "pass", serviceType(10)), want: reject, log: "Service-Type"},
		{name: "C87 Authorize-Only", packet: login(1, "alice", "pass", serviceType(17)), want: reject, log: "Service-Type"},
		{name: "Service-Type of a login", packet: login(1, "alice", "pass", serviceType(8)), want: accept, typed: "pass"},
		{name: "C82 unknown State", packet: login(1, "alice", "pass", state("not ours")), want: reject, log: "the State is not ours"},
		{name: "C82 empty State", packet: login(1, "alice", "pass", state("")), want: reject, log: "the State is not ours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, always(Accept), func(t *testing.T, r *rig) {
				from := vpn
				if tt.lax {
					from = old
				}
				replies := append(r.send(from, tt.packet), r.later(2*time.Second)...)
				if tt.want == silence {
					r.silent(replies)
				} else {
					r.only(replies, tt.want)
				}
				wantAsks := 0
				if tt.want == accept {
					wantAsks = 1
				}
				if r.asks() != wantAsks {
					t.Fatalf("asked %d times, want %d", r.asks(), wantAsks)
				}
				if wantAsks == 1 && string(r.last().Typed.Reveal()) != tt.typed {
					t.Errorf("asked about %q, want %q", r.last().Typed.Reveal(), tt.typed)
				}
				r.wantLog(tt.log)
			})
		})
	}
}

func TestRequestOfTheAuthenticator(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		r.one(vpn, login(1, "alice", "pass", attr(rfc2865.NASIdentifier_Type, "gw"), attr(rfc2865.CallingStationID_Type, "10.0.0.9")), layeh.CodeAccessAccept)
		first := r.last()
		r.one(vpn, login(2, "alice", "pass"), layeh.CodeAccessAccept)
		if q := first; q.Client.Name != "vpn" || q.UserName != "alice" || q.NASID != "gw" || q.CallingStationID != "10.0.0.9" ||
			q.Challenged || q.Kept.Len() != 0 || !q.Received.Equal(time.Now()) {
			t.Errorf("asked %+v", q)
		}
		if first.Q == r.last().Q {
			t.Errorf("two requests have the number %d", first.Q)
		}
		r.wantLog("msg=decision", "q=1", "client=vpn", "src=192.0.2.1:50000", "id=1", "user=alice", "result=accept", "reason=always", "nas=gw", "calling=10.0.0.9", "took=0s")
	})
}

func TestUserNameInLog(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		name := "a\x1b[2J\u202e\nlevel=INFO msg=decision" + strings.Repeat("x", 210)
		r.send(vpn, login(1, name, "pass"))
		for line := range strings.Lines(r.log.String()) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return c < ' ' || c == '\u202e' }) {
				t.Errorf("log line %q holds what a terminal acts on", line)
			}
			if strings.HasPrefix(line, "level=INFO msg=decision") {
				t.Errorf("User-Name made a log line: %q", line)
			}
		}
	})
}

func TestClean(t *testing.T) {
	// Whatever the handler of the log does by itself.
	if got, want := clean("a\x1b[2J\u202e\n\xffä "), "a\ufffd[2J\ufffd\ufffd\ufffdä "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := clean(strings.Repeat("ä", 200)); len(got) > 256 {
		t.Errorf("%d octets of a long name, want 253 and what replaces half a character", len(got))
	}
}

// C11, C17
func TestCodes(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		codes := []radius.Code{0, 2, 3, 4, 5, 11, 13, 40, 43, 52, 255}
		for i, code := range codes {
			r.silent(r.send(vpn, signed(code, byte(i), user("alice"), password("pass"))))
		}
		r.silent(r.sendTo(r.acct, vpn, login(99, "alice", "pass")))
		if got := r.count("TotalUnknownTypes"); got != uint64(len(codes)+1) || r.asks() > 0 {
			t.Errorf("%d unknown types, %d asked; want %d and none", got, r.asks(), len(codes)+1)
		}
	})
}

func TestMalformedIsDropped(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		whole := login(1, "alice", "pass")
		for n := range whole {
			r.silent(r.send(vpn, whole[:n]))
		}
		if got := r.count("TotalMalformedAccessRequests"); got != uint64(len(whole)) {
			t.Errorf("%d malformed, want %d", got, len(whole))
		}
		r.one(vpn, append(slices.Clone(whole), "C05 padding"...), layeh.CodeAccessAccept)
	})
}

func TestReplyAttributes(t *testing.T) {
	long := strings.Repeat("ä", 200)
	for _, tt := range []struct {
		name    string
		answer  Answer
		want    radius.Code
		message string
		types   []radius.Type
	}{
		{"C88 accept", Answer{Outcome: Accept}, layeh.CodeAccessAccept, "", []radius.Type{80, 33}},
		{"C88 accept with text", Answer{Outcome: Accept, Message: "welcome"}, layeh.CodeAccessAccept, "welcome", []radius.Type{80, 18, 33}},
		{"C88 reject", Answer{Outcome: Reject, Reason: "secret reason"}, layeh.CodeAccessReject, "", []radius.Type{80, 33}},
		{"C88 reject with text", Answer{Outcome: Reject, Message: "no"}, layeh.CodeAccessReject, "no", []radius.Type{80, 18, 33}},
		{"C70 challenge", Answer{Outcome: Challenge}, layeh.CodeAccessChallenge, "Code: ", []radius.Type{80, 24, 18, 76, 33}},
		{"challenge with text", Answer{Outcome: Challenge, Message: "Next code: "}, layeh.CodeAccessChallenge, "Next code: ", []radius.Type{80, 24, 18, 76, 33}},
		{"long text is cut between characters", Answer{Outcome: Accept, Message: long}, layeh.CodeAccessAccept, long[:252], []radius.Type{80, 18, 33}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			auth := func(context.Context, *Request) (Answer, error) { return tt.answer, nil }
			inBubble(t, auth, func(t *testing.T, r *rig) {
				replies := append(r.send(vpn, login(1, "alice", "pass", attr(33, "p"))), r.later(time.Second)...)
				reply := r.only(replies, tt.want)
				if got, _ := reply.Lookup(rfc2865.ReplyMessage_Type); string(got) != tt.message {
					t.Errorf("Reply-Message is %q, want %q", got, tt.message)
				}
				var types []radius.Type
				for t := range reply.Attributes() {
					types = append(types, t)
				}
				if !slices.Equal(types, tt.types) {
					t.Errorf("attributes %v, want %v", types, tt.types)
				}
			})
		})
	}
}
