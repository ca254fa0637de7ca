package radius

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
)

// answerer is a server that answers the nth datagram, from 0, as it is told.
type answerer func(n int, request Packet) (replies [][]byte)

func (a answerer) listen(t *testing.T) (address string, datagrams func() [][]byte) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var received [][]byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, MaxLen)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			received = append(received, bytes.Clone(buffer[:n]))
			for _, reply := range a(len(received)-1, Packet(received[len(received)-1])) {
				conn.WriteTo(reply, from)
			}
		}
	}()
	stop := func() [][]byte { conn.Close(); <-done; return received }
	t.Cleanup(func() { stop() })
	return conn.LocalAddr().String(), stop
}

func mustReply(code Code, request Packet, secret []byte, attributes ...Attribute) []byte {
	reply, _, err := NewReply(code, request, secret, attributes...)
	if err != nil {
		panic(err)
	}
	return reply
}

// unsignedReply has a Response Authenticator but no Message-Authenticator.
func unsignedReply(code Code, request Packet) []byte {
	authenticator := request.Authenticator()
	p := begin(code, request.Identifier(), authenticator, 128).finish()
	p.sum(p[4:4], &authenticator, rfcSecret)
	return p
}

func TestClientExchange(t *testing.T) {
	var message = []Attribute{
		{rfc2865.State_Type, []byte("st")},
		{rfc2865.ReplyMessage_Type, []byte("Code:")},
		{rfc2865.ReplyMessage_Type, []byte("now")},
	}
	server, _ := answerer(func(_ int, request Packet) [][]byte {
		hidden, _ := request.Lookup(rfc2865.UserPassword_Type)
		password, _ := RevealPassword(hidden, rfcSecret, request.Authenticator())
		user, _ := request.Lookup(rfc2865.UserName_Type)
		if string(password) != "pass" || string(user) != "alice" || !request.Has(rfc2865.NASIdentifier_Type) {
			return nil
		}
		return [][]byte{mustReply(layeh.CodeAccessChallenge, request, rfcSecret, message...)}
	}).listen(t)
	c := Client{Server: server, Secret: opaque.Of(rfcSecret), RequireMessageAuthenticator: true}
	got, err := c.Exchange(t.Context(), AccessRequest{UserName: "alice", Password: opaque.Text("pass")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Code != layeh.CodeAccessChallenge || string(got.State) != "st" || got.ReplyMessage != "Code:\nnow" || len(got.Attributes) != 4 {
		t.Errorf("got %+v", got)
	}
}

func TestClientSendsTheSameOctetsAgain(t *testing.T) {
	server, datagrams := answerer(func(n int, request Packet) [][]byte {
		if n < 2 {
			return nil
		}
		return [][]byte{mustReply(layeh.CodeAccessAccept, request, rfcSecret)}
	}).listen(t)
	c := Client{Server: server, Secret: opaque.Of(rfcSecret), Timeout: 50 * time.Millisecond, Tries: 20}
	if _, err := c.Exchange(t.Context(), AccessRequest{UserName: "alice"}); err != nil {
		t.Fatal(err)
	}
	got := datagrams()
	if len(got) < 3 || !bytes.Equal(got[0], got[1]) || !bytes.Equal(got[1], got[2]) {
		t.Errorf("%d datagrams, want at least 3, all the same", len(got))
	}
}

func TestClientIgnoresRepliesThatDoNotVerify(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  func(request Packet) []byte
		hint string
	}{
		{"wrong secret", func(r Packet) []byte { return mustReply(layeh.CodeAccessAccept, r, []byte("other")) }, "is the secret right?"},
		{"no packet", func(Packet) []byte { return []byte("hello") }, "is the secret right?"},
		{"other Identifier", func(r Packet) []byte {
			r = bytes.Clone(r)
			r[1]++
			return mustReply(layeh.CodeAccessAccept, r, rfcSecret)
		}, "is the secret right?"},
		{"a code that answers nothing asked", func(r Packet) []byte { return mustReply(layeh.CodeAccountingResponse, r, rfcSecret) }, "is the secret right?"},
		{"no Message-Authenticator", func(r Packet) []byte { return unsignedReply(layeh.CodeAccessAccept, r) }, "without a Message-Authenticator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, _ := answerer(func(_ int, request Packet) [][]byte { return [][]byte{tt.bad(request)} }).listen(t)
			c := Client{Server: server, Secret: opaque.Of(rfcSecret), Timeout: 100 * time.Millisecond, Tries: 1, RequireMessageAuthenticator: true}
			got, err := c.Exchange(t.Context(), AccessRequest{UserName: "alice"})
			if !errors.Is(err, ErrNoReply) || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("got %v, %v; want ErrNoReply with %q", got, err, tt.hint)
			}

			server, _ = answerer(func(_ int, request Packet) [][]byte {
				return [][]byte{tt.bad(request), mustReply(layeh.CodeAccessReject, request, rfcSecret)}
			}).listen(t)
			c.Server, c.Timeout = server, 5*time.Second
			got, err = c.Exchange(t.Context(), AccessRequest{UserName: "alice"})
			if err != nil || got.Code != layeh.CodeAccessReject {
				t.Errorf("then a right one: got %v, %v; want Access-Reject", got, err)
			}
		})
	}
}

func TestClientFaults(t *testing.T) {
	silent, _ := answerer(func(int, Packet) [][]byte { return nil }).listen(t)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.LocalAddr().String()
	conn.Close()
	secret := opaque.Of(rfcSecret)
	for _, tt := range []struct {
		name     string
		client   Client
		password string
		want     string
	}{
		{"silence", Client{Server: silent, Secret: secret, Timeout: 10 * time.Millisecond, Tries: 2}, "x", "no reply after 2 tries of 10ms: is the server running"},
		{"nobody listens", Client{Server: closed, Secret: secret}, "x", "nothing listens there"},
		{"no secret", Client{Server: silent}, "x", "the secret is empty"},
		{"no port", Client{Server: "127.0.0.1", Secret: secret}, "x", "missing port"},
		{"password too long", Client{Server: silent, Secret: secret}, strings.Repeat("p", 129), "more than 128 octets"},
	} {
		_, err := tt.client.Exchange(t.Context(), AccessRequest{UserName: "alice", Password: opaque.Text(tt.password)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server, _ := answerer(func(int, Packet) [][]byte { cancel(); return nil }).listen(t)
	c := Client{Server: server, Secret: opaque.Of(rfcSecret), Timeout: time.Minute}
	if _, err := c.Exchange(ctx, AccessRequest{UserName: "alice"}); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNoReply) {
		t.Errorf("got %v, want ErrNoReply and context.Canceled", err)
	}
}

func TestClientStatus(t *testing.T) {
	server, _ := answerer(func(_ int, request Packet) [][]byte {
		if request.Code() != layeh.CodeStatusServer || request.VerifyMessageAuthenticator(rfcSecret) != nil {
			return nil
		}
		return [][]byte{mustReply(layeh.CodeAccessAccept, request, rfcSecret)}
	}).listen(t)
	c := Client{Server: server, Secret: opaque.Of(rfcSecret)}
	if err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
