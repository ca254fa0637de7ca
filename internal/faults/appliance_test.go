package faults

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/radius"
)

// How an appliance asks: what it sends again if nothing comes, and when it turns
// to the next server.
const (
	tryEvery = 500 * time.Millisecond
	tries    = 3
)

// spentFor is how long an Identifier is not used again. Servers keep answers for
// 30 s, by source and Identifier; for others, a new authenticator makes it a new
// request.
const spentFor = 12 * time.Second

const socketsPerServer = 48

// desk is the sockets of one appliance to one server.
type desk struct {
	secret  []byte
	sockets []*socket
}

type socket struct {
	conn *net.UDPConn
	mu   sync.Mutex
	out  [256]*request // by Identifier
}

// request is a packet that was sent and all that was heard of it.
type request struct {
	packet radius.Packet
	began  time.Time
	reply  chan reply // has room for one
	got    func(answer, bool)

	mu     sync.Mutex
	closed bool // nobody waits any more
}

type reply struct {
	answer answer
	state  []byte
	server int // set by who asks several
}

func newDesk(t testing.TB, to string, secret []byte) *desk {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{secret: secret}
	for range socketsPerServer {
		conn, err := net.DialUDP("udp", nil, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		s := &socket{conn: conn}
		d.sockets = append(d.sockets, s)
		go s.read(secret)
	}
	return d
}

// ask sends a request, again every tryEvery, and returns the first reply. got is
// called with each that comes, also long after ask has returned, and told
// whether somebody still waited for it.
func (d *desk) ask(ctx context.Context, n int, draw func(int) int, code radius.Code, password []byte, attributes []radius.Attribute, got func(answer, bool)) (reply, bool) {
	r, s := d.request(draw, code, password, attributes, got)
	if r == nil {
		return reply{}, false
	}
	defer r.close()
	tick := time.NewTicker(tryEvery)
	defer tick.Stop()
	for range n {
		s.conn.Write(r.packet)
		select {
		case answer := <-r.reply:
			return answer, true
		case <-tick.C:
		case <-ctx.Done():
			return reply{}, false
		}
	}
	return reply{}, false
}

// request enters a new packet at a socket with an Identifier that is free.
func (d *desk) request(draw func(int) int, code radius.Code, password []byte, attributes []radius.Attribute, got func(answer, bool)) (*request, *socket) {
	for range 1000 {
		packet, err := radius.NewRequest(code, d.secret, password, attributes...)
		if err != nil {
			panic(err)
		}
		s := d.sockets[draw(len(d.sockets))]
		r := &request{packet: packet, began: time.Now(), reply: make(chan reply, 1), got: got}
		if s.enter(r) {
			return r, s
		}
	}
	return nil, nil
}

func (s *socket) enter(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := r.packet.Identifier()
	if old := s.out[at]; old != nil && time.Since(old.began) < spentFor {
		return false
	}
	s.out[at] = r
	return true
}

func (s *socket) read(secret []byte) {
	buffer := make([]byte, radius.MaxLen)
	for {
		n, err := s.conn.Read(buffer)
		if n == 0 && err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // nobody listens, for now
		}
		packet, err := radius.Check(buffer[:n])
		if err != nil {
			continue
		}
		s.mu.Lock()
		r := s.out[packet.Identifier()]
		s.mu.Unlock()
		if r != nil && packet.VerifyReply(r.packet, secret, true) == nil {
			r.hear(packet)
		}
	}
}

func (r *request) hear(p radius.Packet) {
	a := map[radius.Code]answer{layeh.CodeAccessAccept: accepted, layeh.CodeAccessReject: rejected, layeh.CodeAccessChallenge: challenged}[p.Code()]
	state, _ := p.Lookup(rfc2865.State_Type)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got(a, !r.closed)
	select {
	case r.reply <- reply{answer: a, state: append([]byte(nil), state...)}:
	default: // the same again
	}
}

func (r *request) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// attributes are those of every login.
func attributes(user, source string, state []byte) []radius.Attribute {
	all := []radius.Attribute{
		{Type: rfc2865.UserName_Type, Value: []byte(user)},
		{Type: rfc2865.NASIdentifier_Type, Value: []byte("vpn")},
		{Type: rfc2865.CallingStationID_Type, Value: []byte(source)},
	}
	if state != nil {
		all = append(all, radius.Attribute{Type: rfc2865.State_Type, Value: state})
	}
	return all
}
