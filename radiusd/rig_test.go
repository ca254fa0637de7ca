package radiusd

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
)

const testSecret = "a secret of more than twelve octets"

var (
	vpn     = netip.MustParseAddrPort("192.0.2.1:50000")    // requires Message-Authenticator, can be challenged
	old     = netip.MustParseAddrPort("198.51.100.1:50000") // does not, cannot
	vpn6    = netip.MustParseAddrPort("[2001:db8::1]:50000")
	nobody  = netip.MustParseAddrPort("203.0.113.1:50000")
	testKey = opaque.Text("0123456789abcdef0123456789abcdef")
)

// authFunc is an Authenticator.
type authFunc func(context.Context, *Request) (Answer, error)

func (f authFunc) Authenticate(ctx context.Context, r *Request) (Answer, error) { return f(ctx, r) }

func always(o Outcome) authFunc {
	return func(context.Context, *Request) (Answer, error) { return Answer{Outcome: o, Reason: "always"}, nil }
}

// rig is a server on a fake connection inside a synctest bubble, and the
// strictest clients. Every reply is checked on arrival.
type rig struct {
	t *testing.T
	*Server
	conn, acct *fakeConn
	log, json  *testenv.Buffer // the same lines as text and as JSON

	mu    sync.Mutex
	calls []*Request
	auth  authFunc
	asked map[netip.AddrPort]map[byte][]radius.Packet // what each source has sent, by Identifier
}

// inBubble runs test with a rig.
func inBubble(t *testing.T, auth authFunc, test func(t *testing.T, r *rig)) {
	t.Helper()
	inBubbleWith(t, &Server{}, auth, test)
}

func inBubbleWith(t *testing.T, server *Server, auth authFunc, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, Server: server, auth: auth, log: &testenv.Buffer{}, json: &testenv.Buffer{}, asked: map[netip.AddrPort]map[byte][]radius.Packet{}}
		all := &slog.HandlerOptions{Level: slog.LevelDebug}
		server.Log = slog.New(slog.NewMultiHandler(slog.NewTextHandler(r.log, all), slog.NewJSONHandler(r.json, all)))
		server.StateKey = testKey
		if err := server.SetClients(r.clients()); err != nil {
			t.Fatal(err)
		}
		r.conn, r.acct = newFakeConn(), newFakeConn()
		go server.Serve(r.conn)
		go server.ServeAccounting(r.acct)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			server.Shutdown(ctx)
		})
		test(t, r)
	})
}

func (r *rig) clients() []Client {
	base := Client{Secret: opaque.Text(testSecret), RejectDelay: time.Second, Auth: authFunc(r.authenticate)}
	strict, lax, six := base, base, base
	strict.Name, strict.Prefix, strict.RequireMessageAuthenticator, strict.Challenge = "vpn", netip.MustParsePrefix("192.0.2.0/24"), true, true
	lax.Name, lax.Prefix = "old", netip.MustParsePrefix("198.51.100.0/24")
	six.Name, six.Prefix, six.Challenge = "six", netip.MustParsePrefix("2001:db8::/32"), true
	return []Client{strict, lax, six}
}

func (r *rig) authenticate(ctx context.Context, q *Request) (Answer, error) {
	r.mu.Lock()
	r.calls = append(r.calls, q)
	auth := r.auth
	r.mu.Unlock()
	return auth(ctx, q)
}

func (r *rig) setAuth(auth authFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = auth
}

// asks returns how often the Authenticator has been asked.
func (r *rig) asks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.calls)
}

func (r *rig) last() *Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[len(r.calls)-1]
}

func (r *rig) count(name string) uint64 {
	n, ok := r.Counters()[name]
	if !ok {
		r.t.Errorf("no counter %q", name)
	}
	return n
}

// send sends a datagram, and returns the replies that have come when the server
// has nothing more to do but wait.
func (r *rig) send(from netip.AddrPort, datagram []byte) []radius.Packet {
	r.t.Helper()
	return r.sendTo(r.conn, from, datagram)
}

func (r *rig) sendTo(conn *fakeConn, from netip.AddrPort, datagram []byte) []radius.Packet {
	r.t.Helper()
	if p, err := radius.Check(datagram); err == nil {
		if r.asked[from] == nil {
			r.asked[from] = map[byte][]radius.Packet{}
		}
		r.asked[from][p.Identifier()] = append(r.asked[from][p.Identifier()], p)
	}
	conn.in <- fakeDatagram{bytes.Clone(datagram), net.UDPAddrFromAddrPort(from)}
	return r.repliesOn(conn)
}

// replies returns the replies that have come since it was last called.
func (r *rig) replies() []radius.Packet {
	r.t.Helper()
	return r.repliesOn(r.conn)
}

func (r *rig) repliesOn(conn *fakeConn) (replies []radius.Packet) {
	r.t.Helper()
	synctest.Wait()
	for _, d := range conn.sent() {
		to := d.addr.(*net.UDPAddr).AddrPort()
		replies = append(replies, r.checkStrict(to, d.octets))
	}
	return replies
}

// one sends a datagram and wants one reply with that code: at once, but for a
// challenge, which has its time.
func (r *rig) one(from netip.AddrPort, datagram []byte, want radius.Code) radius.Packet {
	r.t.Helper()
	if want == layeh.CodeAccessChallenge {
		r.silent(r.send(from, datagram))
		r.silent(r.later(challengeDelay - 1))
		return r.only(r.later(1), want)
	}
	return r.only(r.send(from, datagram), want)
}

func (r *rig) only(replies []radius.Packet, want radius.Code) radius.Packet {
	r.t.Helper()
	if len(replies) != 1 || replies[0].Code() != want {
		r.t.Fatalf("got replies %x, want one %v\n%s", replies, want, r.log)
	}
	return replies[0]
}

func (r *rig) silent(replies []radius.Packet) {
	r.t.Helper()
	if len(replies) > 0 {
		r.t.Errorf("got replies %x, want none\n%s", replies, r.log)
	}
}

// later lets time pass and returns the replies of that time.
func (r *rig) later(d time.Duration) []radius.Packet {
	r.t.Helper()
	time.Sleep(d)
	return r.replies()
}

// logged reports whether there is a log line with all of the parts.
func (r *rig) logged(parts ...string) bool {
	for line := range strings.Lines(r.log.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

func (r *rig) wantLog(parts ...string) {
	r.t.Helper()
	if !r.logged(parts...) {
		r.t.Errorf("no log line with %q in\n%s", parts, r.log)
	}
}

// checkStrict looks at a reply as the strictest clients do, with arithmetic of
// its own: it answers a request of this source, a Message-Authenticator comes
// first, both authenticators are right, and Proxy-State is that of the request.
func (r *rig) checkStrict(to netip.AddrPort, reply []byte) radius.Packet {
	r.t.Helper()
	p, err := radius.Check(reply)
	if err != nil || len(p) != len(reply) {
		r.t.Fatalf("reply %x: %v", reply, err)
	}
	for _, request := range r.asked[to][p.Identifier()] {
		if strictFault(p, request) == "" {
			return p
		}
	}
	for _, request := range r.asked[to][p.Identifier()] {
		r.t.Errorf("reply %x to %v: %s", reply, to, strictFault(p, request))
	}
	return p
}

func strictFault(reply, request radius.Packet) string {
	forAuthenticator := bytes.Clone(reply)
	copy(forAuthenticator[4:20], request[4:20])
	if want := md5.Sum(append(forAuthenticator, testSecret...)); !bytes.Equal(want[:], reply[4:20]) {
		return "Response Authenticator is wrong"
	}
	if request.Code() != layeh.CodeAccountingRequest {
		if len(reply) < 38 || reply[20] != 80 || reply[21] != 18 {
			return "Message-Authenticator is not the first attribute"
		}
		forMAC := bytes.Clone(reply)
		copy(forMAC[4:20], request[4:20])
		clear(forMAC[22:38])
		if !bytes.Equal(hmacMD5(forMAC), reply[22:38]) {
			return "Message-Authenticator is wrong"
		}
	}
	if !bytes.Equal(proxyStates(reply), proxyStates(request)) {
		return "Proxy-State is not that of the request"
	}
	return ""
}

func hmacMD5(b []byte) []byte {
	h := hmac.New(md5.New, []byte(testSecret))
	h.Write(b)
	return h.Sum(nil)
}

// proxyStates returns all Proxy-State attributes, with their headers, in order.
func proxyStates(p radius.Packet) (all []byte) {
	for t, v := range p.Attributes() {
		if t == rfc2865.ProxyState_Type {
			all = append(append(all, byte(len(v))), v...)
		}
	}
	return all
}

// The attributes of requests.
func attr(t radius.Type, value string) radius.Attribute {
	return radius.Attribute{Type: t, Value: []byte(value)}
}

func user(name string) radius.Attribute   { return attr(rfc2865.UserName_Type, name) }
func state(value string) radius.Attribute { return attr(rfc2865.State_Type, value) }

// passwordType marks a User-Password that packet has yet to hide.
const passwordType radius.Type = 1000

func password(p string) radius.Attribute { return attr(passwordType, p) }

func vsa(vendor uint32, octets ...byte) radius.Attribute {
	return radius.Attribute{Type: rfc2865.VendorSpecific_Type, Value: append(layeh.NewInteger(vendor), octets...)}
}

// packet builds a request with a fresh Request Authenticator.
func packet(code radius.Code, identifier byte, attributes ...radius.Attribute) radius.Packet {
	b := make([]byte, 20, 256)
	b[0], b[1] = byte(code), identifier
	rand.Read(b[4:20])
	for _, a := range attributes {
		if a.Type == passwordType {
			a = radius.Attribute{Type: rfc2865.UserPassword_Type, Value: hide(a.Value, [16]byte(b[4:20]))}
		}
		b = append(append(b, byte(a.Type), byte(2+len(a.Value))), a.Value...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// hide hides also what no password may hold.
func hide(password []byte, authenticator [16]byte) []byte {
	value := make([]byte, max(1, (len(password)+15)/16)*16)
	copy(value, password)
	previous := authenticator[:]
	for i := 0; i < len(value); i += 16 {
		pad := md5.Sum(append([]byte(testSecret), previous...))
		for k := range pad {
			value[i+k] ^= pad[k]
		}
		previous = value[i : i+16]
	}
	return value
}

// signed is packet with a right Message-Authenticator, first.
func signed(code radius.Code, identifier byte, attributes ...radius.Attribute) radius.Packet {
	zero := radius.Attribute{Type: 80, Value: make([]byte, 16)}
	p := packet(code, identifier, append([]radius.Attribute{zero}, attributes...)...)
	copy(p[22:38], hmacMD5(p))
	return p
}

// login is a signed Access-Request.
func login(identifier byte, name, pass string, more ...radius.Attribute) radius.Packet {
	return signed(layeh.CodeAccessRequest, identifier, append([]radius.Attribute{user(name), password(pass)}, more...)...)
}

// unsignedLogin has no Message-Authenticator.
func unsignedLogin(identifier byte, name, pass string, more ...radius.Attribute) radius.Packet {
	return packet(layeh.CodeAccessRequest, identifier, append([]radius.Attribute{user(name), password(pass)}, more...)...)
}

// fakeConn is a net.PacketConn of channels.
type fakeConn struct {
	in   chan fakeDatagram
	stop chan struct{} // closed when a deadline has passed, or with the connection
	once sync.Once

	mu     sync.Mutex
	out    []fakeDatagram
	closed bool
}

type fakeDatagram struct {
	octets []byte
	addr   net.Addr
}

func newFakeConn() *fakeConn {
	return &fakeConn{in: make(chan fakeDatagram, 1<<12), stop: make(chan struct{})}
}

func (c *fakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-c.stop:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case d := <-c.in:
		return copy(b, d.octets), d.addr, nil
	case <-c.stop:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (c *fakeConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.out = append(c.out, fakeDatagram{bytes.Clone(b), addr})
	return len(b), nil
}

// refuseWrites makes every further write fail.
func (c *fakeConn) refuseWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *fakeConn) sent() []fakeDatagram {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.out
	c.out = nil
	return out
}

func (c *fakeConn) Close() error {
	c.SetReadDeadline(time.Time{})
	c.refuseWrites()
	return nil
}

func (c *fakeConn) SetReadDeadline(time.Time) error {
	c.once.Do(func() { close(c.stop) })
	return nil
}

func (c *fakeConn) SetDeadline(time.Time) error      { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }
func (c *fakeConn) LocalAddr() net.Addr              { return &net.UDPAddr{} }
