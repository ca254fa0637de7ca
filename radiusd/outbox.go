package radiusd

import (
	"net"
	"runtime"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// outbox sends the replies of a moment in one system call. Many become ready at
// once, as the claims of a group reach the disk together, and a client that is
// woken for each of them costs the machine more than the sending does.
type outbox struct {
	conn batchConn // nil if replies are to be sent one by one

	mu      sync.Mutex
	waiting []ipv4.Message
	spare   []ipv4.Message // for waiting, with memory for addresses
	busy    bool           // somebody is to empty it
}

// batchConn is an [ipv4.PacketConn] or an [ipv6.PacketConn].
type batchConn interface {
	WriteBatch([]ipv4.Message, int) (int, error)
}

const (
	mostWaiting = 256 // replies; who comes then sends by himself
	mostBatches = 4   // that one job sends for others
)

func newBatchConn(udp *net.UDPConn) batchConn {
	switch local, _ := udp.LocalAddr().(*net.UDPAddr); {
	case local == nil:
		return nil
	case local.IP.To4() != nil:
		return ipv4.NewPacketConn(udp)
	default:
		return ipv6.NewPacketConn(udp)
	}
}

// put takes a reply. Of those who put, the first is to empty the box. Not taken,
// the reply has to be sent another way.
func (o *outbox) put(to peer, reply []byte) (first, taken bool) {
	// A socket for both versions has IPv4 addresses that a batch cannot. And what
	// sends batches knows which interface a zone is as of up to a minute ago.
	if addr := to.addr.Addr(); o.conn == nil || addr.Is4In6() || addr.Zone() != "" {
		return false, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == mostWaiting {
		return false, false
	}
	first, o.busy = !o.busy, true
	n := len(o.waiting)
	if n == cap(o.waiting) {
		o.waiting = append(o.waiting, ipv4.Message{})
	}
	o.waiting = o.waiting[:n+1]
	address(&o.waiting[n], to, reply)
	return first, true
}

// address fills in m, in the memory that it had before.
func address(m *ipv4.Message, to peer, reply []byte) {
	if m.Addr == nil {
		m.Buffers, m.Addr = make([][]byte, 1), new(net.UDPAddr)
	}
	m.Buffers[0], m.OOB = reply, to.info
	udp, addr := m.Addr.(*net.UDPAddr), to.addr.Addr()
	if udp.IP = udp.IP[:0]; addr.Is4() {
		ip := addr.As4()
		udp.IP = append(udp.IP, ip[:]...)
	} else {
		ip := addr.As16()
		udp.IP = append(udp.IP, ip[:]...)
	}
	udp.Port = int(to.addr.Port())
}

// take returns what waits. Where nothing does, the next who puts is the first.
func (o *outbox) take() []ipv4.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch := o.waiting
	o.waiting, o.spare = o.spare, nil
	o.busy = len(batch) > 0
	return batch
}

// done takes back the memory of a batch that was sent.
func (o *outbox) done(batch []ipv4.Message) {
	for i := range batch {
		batch[i].Buffers[0], batch[i].OOB = nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = batch[:0]
}

// leave is for who was to empty the box and cannot.
func (o *outbox) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = false
}

// post sends a reply, together with what others send at the same time. The caller
// has a part in s.inflight.
func (s *Server) post(to peer, reply []byte) {
	if s.crew.quiet() {
		s.send(to, reply)
		return
	}
	switch first, taken := to.socket.out.put(to, reply); {
	case !taken:
		s.send(to, reply)
	case first:
		runtime.Gosched() // whose claims were in the same group are about to put theirs
		s.empty(to.socket)
	}
}

// empty sends what waits in the box of a socket. Where more and more comes,
// somebody else goes on with it: a job must end.
func (s *Server) empty(socket *socket) {
	defer s.survive("panic while replies were sent, some of them not sent", nil)
	if s.sendSome(socket) {
		s.inflight.Go(func() { s.empty(socket) })
	}
}

// sendSome reports whether there may be more to send, which is for the caller then.
func (s *Server) sendSome(socket *socket) (more bool) {
	whole := false
	defer func() {
		if !whole { // a panic, and the next who puts is the first
			socket.out.leave()
		}
	}()
	for range mostBatches {
		batch := socket.out.take()
		if len(batch) == 0 {
			whole = true
			return false
		}
		s.sendAll(socket.out.conn, batch)
		socket.out.done(batch)
	}
	whole = true
	return true
}

func (s *Server) sendAll(conn batchConn, batch []ipv4.Message) {
	for len(batch) > 0 {
		n, err := conn.WriteBatch(batch, 0)
		if err != nil || n == 0 { // it is of the first
			s.cannotSend(batch[0].Addr.String(), err)
			n = 1
		}
		batch = batch[n:]
	}
}
