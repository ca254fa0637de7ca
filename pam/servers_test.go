package pam

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/radiusd"
)

const testSecret = "a secret of more than twelve octets"

type authFunc func(context.Context, *radiusd.Request) (radiusd.Answer, error)

func (f authFunc) Authenticate(ctx context.Context, r *radiusd.Request) (radiusd.Answer, error) {
	return f(ctx, r)
}

func always(o radiusd.Outcome) authFunc {
	return func(context.Context, *radiusd.Request) (radiusd.Answer, error) {
		return radiusd.Answer{Outcome: o}, nil
	}
}

// serve starts a real RADIUS server and returns its address.
func serve(t testing.TB, auth authFunc) string {
	t.Helper()
	conn := listen(t)
	s := &radiusd.Server{Workers: 4}
	err := s.SetClients([]radiusd.Client{{Name: "host", Prefix: netip.MustParsePrefix("127.0.0.0/8"), Secret: opaque.Text(testSecret),
		RequireMessageAuthenticator: true, Challenge: true, RejectDelay: 20 * time.Millisecond, Auth: auth}})
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(conn)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
	})
	return conn.LocalAddr().String()
}

func listen(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// udp is a server that answers what a function returns, and remembers what it got.
type udp struct {
	net.PacketConn
	mu  sync.Mutex // guards got
	got [][]byte
}

func fakeServer(t *testing.T, reply func(request []byte) []byte) *udp {
	u := &udp{PacketConn: listen(t)}
	go func() {
		for b := make([]byte, radius.MaxLen); ; {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.mu.Lock()
			u.got = append(u.got, bytes.Clone(b[:n]))
			u.mu.Unlock()
			if r := reply(b[:n]); r != nil {
				u.WriteTo(r, from)
			}
		}
	}()
	return u
}

func silent([]byte) []byte { return nil }

func (u *udp) packets() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.got
}

func closedPort(t *testing.T) string {
	conn := listen(t)
	defer conn.Close()
	return conn.LocalAddr().String()
}

func serversAt(addresses ...string) *servers {
	s := &servers{}
	for _, a := range addresses {
		s.list = append(s.list, Server{Address: a, Secret: opaque.Text(testSecret)})
	}
	return s
}

func ask(t *testing.T, s *servers, within time.Duration) (*radius.Reply, time.Duration, error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	reply, err := s.ask(ctx, radius.AccessRequest{UserName: "alice", Password: opaque.Text("secret")})
	if (reply == nil) == (err == nil) {
		t.Errorf("ask = %v, %v", reply, err)
	}
	return reply, time.Since(began), err
}

func TestTheNextServerIsAskedWhereOneIsSilent(t *testing.T) {
	t.Parallel()
	away, there := fakeServer(t, silent), serve(t, always(radiusd.Accept))
	s := serversAt(away.LocalAddr().String(), there)
	reply, took, err := ask(t, s, 3*time.Second)
	if err != nil || reply.Code != layeh.CodeAccessAccept || took < time.Second {
		t.Fatalf("ask = %v, %v after %v", reply, err, took)
	}
	sent := away.packets()
	if len(sent) < 2 {
		t.Errorf("%d packets to the server that is away, want retransmissions", len(sent))
	}
	for _, packet := range sent {
		if !bytes.Equal(packet, sent[0]) {
			t.Error("a retransmission is another packet, and would be taken for a replay")
		}
	}
	// Who has replied is asked first from now on: it holds the challenge.
	if _, took, err := ask(t, s, 3*time.Second); err != nil || took > time.Second || len(away.packets()) != len(sent) {
		t.Errorf("asked again: %v after %v, %d packets to the server that is away", err, took, len(away.packets())-len(sent))
	}
}

// A server that is slow and gets the request three times decides once.
func TestASlowAnswerIsNoReplay(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	slow := serve(t, func(ctx context.Context, _ *radiusd.Request) (radiusd.Answer, error) {
		if asked.Add(1) > 1 {
			return radiusd.Answer{Outcome: radiusd.Reject, Reason: "replayed"}, nil
		}
		select {
		case <-time.After(1800 * time.Millisecond):
		case <-ctx.Done():
		}
		return radiusd.Answer{Outcome: radiusd.Accept}, nil
	})
	reply, _, err := ask(t, serversAt(slow), 2400*time.Millisecond) // tries of 800 ms
	if err != nil || reply.Code != layeh.CodeAccessAccept || asked.Load() != 1 {
		t.Errorf("ask = %+v, %v; asked %d times", reply, err, asked.Load())
	}
}

func TestAPortWhereNothingListensCostsNoTime(t *testing.T) {
	t.Parallel()
	s := serversAt(closedPort(t), serve(t, always(radiusd.Reject)))
	if reply, took, err := ask(t, s, 10*time.Second); err != nil || reply.Code != layeh.CodeAccessReject || took > 3*time.Second {
		t.Errorf("ask = %v, %v after %v", reply, err, took)
	}
}

func TestAllSilent(t *testing.T) {
	t.Parallel()
	const within = time.Second
	s := serversAt(fakeServer(t, silent).LocalAddr().String(), closedPort(t), fakeServer(t, silent).LocalAddr().String())
	_, took, err := ask(t, s, within)
	if !errors.Is(err, radius.ErrNoReply) || outcomeOf(err) != Unavailable || took > within+500*time.Millisecond {
		t.Errorf("ask: %v after %v", err, took)
	}
	for _, server := range s.list {
		if !strings.Contains(err.Error(), server.Address) {
			t.Errorf("the error does not say what %s did:\n%v", server.Address, err)
		}
	}
}

func TestRepliesThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	unsigned := func(secret string) func([]byte) []byte {
		return func(request []byte) []byte {
			p, err := layeh.Parse(request, []byte(secret))
			if err != nil {
				t.Error(err)
				return nil
			}
			reply, err := p.Response(layeh.CodeAccessAccept).Encode()
			if err != nil {
				t.Error(err)
			}
			return reply
		}
	}
	signed := func(secret string) func([]byte) []byte {
		return func(request []byte) []byte {
			reply, _, err := radius.NewReply(layeh.CodeAccessAccept, request, []byte(secret))
			if err != nil {
				t.Error(err)
			}
			return reply
		}
	}
	for _, tt := range []struct {
		name  string
		reply func([]byte) []byte
		want  bool
	}{
		{"the right secret", signed(testSecret), true},
		{"another secret", signed("another secret"), false},
		{"no Message-Authenticator", unsigned(testSecret), false},
		{"garbage", func([]byte) []byte { return []byte("garbage") }, false},
		{"the request itself", func(b []byte) []byte { return b }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reply, _, err := ask(t, serversAt(fakeServer(t, tt.reply).LocalAddr().String()), 300*time.Millisecond)
			if (err == nil) != tt.want || err != nil && outcomeOf(err) != Unavailable {
				t.Errorf("ask = %v, %v", reply, err)
			}
		})
	}
}

// Every address of a name is a place where the server may be.
func TestServerByName(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(serve(t, always(radiusd.Accept)))
	if err != nil {
		t.Fatal(err)
	}
	if reply, _, err := ask(t, serversAt("localhost:"+port), 5*time.Second); err != nil || reply.Code != layeh.CodeAccessAccept {
		t.Errorf("ask = %v, %v", reply, err)
	}
	if _, _, err := ask(t, serversAt("no-such-host.invalid:"+port), time.Second); outcomeOf(err) != Unavailable {
		t.Errorf("a name that is none: %v", err)
	}
	if _, _, err := ask(t, serversAt("127.0.0.1:"+strconv.Itoa(1<<16)), time.Second); outcomeOf(err) != Unavailable {
		t.Errorf("a port that is none: %v", err)
	}
}
