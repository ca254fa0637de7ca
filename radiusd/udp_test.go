package radiusd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
)

// serveUDP starts a server on real sockets, one for each address, and returns
// theirs. The first is for authentication, and so are all but the one at
// accounting.
func serveUDP(t testing.TB, s *Server, auth Authenticator, addrs ...string) []netip.AddrPort {
	t.Helper()
	clients := []Client{
		{Name: "v4", Prefix: netip.MustParsePrefix("127.0.0.0/8")},
		{Name: "v6", Prefix: netip.MustParsePrefix("::1/128")},
	}
	for i := range clients {
		clients[i].Secret, clients[i].Auth, clients[i].Challenge = opaque.Text(testSecret), auth, true
		clients[i].RequireMessageAuthenticator = true
	}
	if err := s.SetClients(clients); err != nil {
		t.Fatal(err)
	}
	var bound []netip.AddrPort
	var serving sync.WaitGroup
	for _, addr := range addrs {
		serve := s.Serve
		addr, accounting := strings.CutPrefix(addr, "acct:")
		if accounting {
			serve = s.ServeAccounting
		}
		conn, err := Listen(context.Background(), netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		bound = append(bound, conn.LocalAddr().(*net.UDPAddr).AddrPort())
		serving.Go(func() {
			defer conn.Close()
			// A test that ends early may shut down before this goroutine runs.
			if err := serve(conn); err != nil && !errors.Is(err, ErrServerClosed) {
				t.Errorf("serve %s: %v", addr, err)
			}
		})
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return bound
}

func at(ip string, bound netip.AddrPort) string {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), bound.Port()).String()
}

// C94: a client that asks one of the host's addresses gets its reply from there.
// The client's socket is connected, so that the kernel discards any other.
func TestReplyComesFromTheAddressThatWasAsked(t *testing.T) {
	bound := serveUDP(t, &Server{}, always(Reject), "0.0.0.0:0", "[::]:0")
	for i, ip := range []string{"127.0.0.1", "127.0.0.7", "127.1.2.3", "::1"} {
		socket := bound[0]
		if ip == "::1" {
			socket = bound[1]
		}
		c := radius.Client{Server: at(ip, socket), Secret: opaque.Text(testSecret), Timeout: 3 * time.Second, Tries: 1, RequireMessageAuthenticator: true}
		got, err := c.Exchange(t.Context(), radius.AccessRequest{UserName: "alice", Password: opaque.Text("x")})
		if err != nil || got.Code != layeh.CodeAccessReject {
			t.Errorf("%d: %s: %v, %v; want Access-Reject", i, ip, got, err)
		}
	}
}

// The IPv6 socket does not take IPv4, or the port could not be had twice.
func TestListenTakesBothFamiliesOnOnePort(t *testing.T) {
	four, err := Listen(t.Context(), netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	port := four.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	six, err := Listen(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	six.Close()
	if _, err := Listen(t.Context(), netip.MustParseAddrPort("192.0.2.1:0")); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("an address that is not ours: %v", err)
	}
}

func TestRadclient(t *testing.T) {
	testenv.Tool(t, "radclient") // before there is a server to clean up
	auth := authFunc(func(ctx context.Context, r *Request) (Answer, error) {
		if r.UserName == "refused" {
			return Answer{Outcome: Reject, Message: "no"}, nil
		}
		if string(r.Typed.Reveal()) == "pass,123456" {
			return Answer{Outcome: Accept, Message: "welcome"}, nil
		}
		return twoRounds(ctx, r)
	})
	for _, ip := range []string{"127.0.0.1", "127.0.0.7", "::1"} {
		t.Run(ip, func(t *testing.T) {
			t.Parallel()
			any := "0.0.0.0:0"
			if strings.Contains(ip, ":") {
				any = "[::]:0"
			}
			bound := serveUDP(t, &Server{}, auth, any, "acct:"+any)
			server, acct := at(ip, bound[0]), at(ip, bound[1])
			ask := func(kind, server, attributes string, want string, options ...string) testenv.RadclientReply {
				t.Helper()
				got := testenv.Radclient(t, server, kind, testSecret, attributes, options...)
				if got.Code != want {
					t.Errorf("%s: got %q, want %q\n%s", attributes, got.Code, want, got.Output)
				}
				return got
			}
			const ma = ", Message-Authenticator = 0x00"
			got := ask("auth", server, `User-Name = "alice", User-Password = "pass,123456", Proxy-State = 0x0102, Proxy-State = 0x01`+ma, "Access-Accept")
			if fmt.Sprint(got.Attributes["Reply-Message"], got.Attributes["Proxy-State"]) != `["welcome"] [0x0102 0x01]` || len(got.Attributes["Message-Authenticator"]) != 1 {
				t.Errorf("attributes of the accept: %v", got.Attributes)
			}
			ask("auth", server, `User-Name = "refused", User-Password = "pass"`+ma, "Access-Reject")
			ask("auth", server, `User-Name = "alice", CHAP-Password = "pass"`+ma, "Access-Reject")
			ask("auth", server, `User-Name = "alice", User-Password = "pass,123456"`, "", "-t", "1")
			challenge := ask("auth", server, `User-Name = "alice", User-Password = "pass"`+ma, "Access-Challenge")
			if len(challenge.Attributes["State"]) != 1 || len(challenge.Attributes["Reply-Message"]) != 1 {
				t.Fatalf("attributes of the challenge: %v", challenge.Attributes)
			}
			ask("auth", server, `User-Name = "alice", User-Password = "123456", State = `+challenge.Attributes["State"][0]+ma, "Access-Accept")
			ask("status", server, `Message-Authenticator = 0x00`, "Access-Accept")
			ask("status", acct, `Message-Authenticator = 0x00`, "Accounting-Response")
			ask("acct", acct, `User-Name = "alice", Acct-Status-Type = Start, Acct-Session-Id = "1"`, "Accounting-Response")
			ask("acct", acct, `User-Name = "alice", Acct-Status-Type = Start, Acct-Session-Id = "1"`+ma, "Accounting-Response")
			if got := testenv.Radclient(t, server, "auth", "another secret", `User-Name = "alice", User-Password = "pass,123456"`+ma, "-t", "1"); got.Code != "" {
				t.Errorf("wrong secret: got %q", got.Code)
			}
		})
	}
}

// hostile makes packets that are random, or right ones with a few changes.
type hostile struct{ *mathrand.Rand }

func (h hostile) packet() []byte {
	if h.IntN(4) == 0 {
		b := make([]byte, h.IntN(200))
		for i := range b {
			b[i] = byte(h.Uint32())
		}
		return b
	}
	attributes := []radius.Attribute{user("alice"), password("pass"), attr(33, "p"), state("s"), vsa(311, 25, 3, 1), attr(79, "e"), attr(3, "sixteen octets!!!")}
	h.Shuffle(len(attributes), func(i, j int) { attributes[i], attributes[j] = attributes[j], attributes[i] })
	codes := []radius.Code{1, 1, 1, 4, 12, 2}
	b := []byte(signed(codes[h.IntN(len(codes))], byte(h.Uint32()), attributes[:h.IntN(len(attributes))]...))
	for range 1 + h.IntN(3) {
		switch h.IntN(4) {
		case 0:
			b = b[:h.IntN(len(b)+1)]
		case 1:
			b = append(b, byte(h.Uint32()))
		default:
			if len(b) > 0 {
				b[h.IntN(len(b))] = byte(h.Uint32())
			}
		}
	}
	return b
}

// C18: whatever comes, there is no panic, nothing malformed or unsigned is
// answered, and a right login is accepted afterwards.
func TestHostilePackets(t *testing.T) {
	t.Parallel()
	n := 100_000
	if testenv.All() {
		n = 1_000_000
	}
	var log testenv.Buffer
	s := &Server{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})), Workers: 4}
	var asked atomic.Int64
	auth := authFunc(func(context.Context, *Request) (Answer, error) {
		asked.Add(1)
		return Answer{Outcome: Accept}, nil
	})
	clients := []Client{{Name: "c", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Secret: opaque.Text(testSecret), Auth: auth, RequireMessageAuthenticator: true}}
	if err := s.SetClients(clients); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })

	seed := mathrand.Uint64()
	h := hostile{mathrand.New(mathrand.NewPCG(seed, 0))}
	conn := newFakeConn()
	from := peer{socket: newSocket(conn, 0), addr: vpn}
	wellSigned := 0
	buffer := make([]byte, radius.MaxLen)
	for range n {
		b := h.packet()
		if p, err := radius.Check(b); err == nil && p.VerifyMessageAuthenticator([]byte(testSecret)) == nil {
			wellSigned++ // the change was in the padding, or did not change anything
		}
		s.receive(buffer[:copy(buffer, b)], from, port(h.IntN(2)))
	}
	s.inflight.Wait()
	answered := 0
	for _, d := range conn.sent() {
		answered++
		if _, err := radius.Check(d.octets); err != nil {
			t.Errorf("seed %d: malformed reply %x", seed, d.octets)
		}
	}
	// An Accounting-Request needs no Message-Authenticator; none of these is
	// right by chance.
	if answered > wellSigned || int(asked.Load()) > wellSigned {
		t.Errorf("seed %d: %d answered and %d asked, of which %d were signed", seed, answered, asked.Load(), wellSigned)
	}
	if got := s.Counters(); got["DropPanic"] > 0 || got["TotalMalformedAccessRequests"] < uint64(n)/10 {
		t.Errorf("seed %d: counters %v\n%s", seed, got, &log)
	}
	s.receive(login(77, "alice", "pass"), from, authPort)
	s.inflight.Wait()
	if got := conn.sent(); len(got) != 1 || got[0].octets[0] != byte(layeh.CodeAccessAccept) {
		t.Errorf("a right login afterwards gets %d replies, want an Access-Accept", len(got))
	}
}

// FuzzServer gives datagrams to a server that would accept any login.
func FuzzServer(f *testing.F) {
	s := &Server{Workers: 1}
	var asked atomic.Int64
	auth := authFunc(func(context.Context, *Request) (Answer, error) {
		asked.Add(1)
		return Answer{Outcome: Accept}, nil
	})
	prefix := func(p string, require bool) Client {
		return Client{Name: p, Prefix: netip.MustParsePrefix(p), Secret: opaque.Text(testSecret), Auth: auth, RequireMessageAuthenticator: require}
	}
	if err := s.SetClients([]Client{prefix("192.0.2.0/24", true), prefix("198.51.100.0/24", false)}); err != nil {
		f.Fatal(err)
	}
	if err := s.start(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(login(1, "alice", "pass")), true)
	f.Add([]byte(unsignedLogin(2, "alice", "pass", vsa(311, 25, 2))), false)
	f.Add([]byte(signed(layeh.CodeStatusServer, 3)), true)
	f.Add(accountingRequest(4), true)
	f.Fuzz(func(t *testing.T, b []byte, strict bool) {
		conn := newFakeConn()
		from := peer{socket: newSocket(conn, 0), addr: old}
		if strict {
			from.addr = vpn
		}
		before := asked.Load()
		p, err := radius.Check(b)
		s.receive(bytes.Clone(b), from, authPort)
		s.receive(bytes.Clone(b), from, acctPort)
		s.inflight.Wait()
		replies := conn.sent()
		if err != nil && len(replies) > 0 {
			t.Fatalf("malformed %x has %d replies", b, len(replies))
		}
		if n := s.Counters()["DropPanic"]; n > 0 {
			t.Fatal("panic")
		}
		if err == nil && asked.Load() > before && (!p.Has(rfc2865.UserName_Type) || strict && p.VerifyMessageAuthenticator([]byte(testSecret)) != nil) {
			t.Fatalf("asked about %x", b)
		}
		for _, r := range replies {
			if fault := strictFault(radius.Packet(r.octets), p); fault != "" {
				t.Fatalf("reply %x to %x: %s", r.octets, b, fault)
			}
		}
	})
}
