package radiusd

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// socket reads and writes datagrams with the address they were sent to, where
// the connection knows it.
type socket struct {
	net.PacketConn
	udp *net.UDPConn // nil if PacketConn is none
	id  uint32       // tells sockets apart in the duplicate cache
	out outbox       // replies to be sent together

	busy atomic.Int64 // when the reader took the packet that it has in hand, in Unix ns; 0 for none
}

func newSocket(conn net.PacketConn, id uint32) *socket {
	udp, _ := conn.(*net.UDPConn)
	s := &socket{PacketConn: conn, udp: udp, id: id}
	if udp != nil {
		s.out.conn = newBatchConn(udp)
	}
	return s
}

// peer is where a datagram came from, and so where its reply goes.
type peer struct {
	socket *socket
	addr   netip.AddrPort // as the socket gave it
	info   []byte         // control messages that set the source of the reply
}

// read returns the number of octets read, and who sent them. The peer is valid
// until the next read with the same oob.
func (s *socket) read(buffer, oob []byte) (int, peer, error) {
	if s.udp != nil {
		n, oobn, _, addr, err := s.udp.ReadMsgUDPAddrPort(buffer, oob)
		if err != nil {
			return 0, peer{}, err
		}
		return n, peer{socket: s, addr: addr, info: replyInfo(oob[:oobn])}, nil
	}
	n, from, err := s.ReadFrom(buffer)
	if err != nil {
		return 0, peer{}, err
	}
	p := peer{socket: s}
	if udp, ok := from.(*net.UDPAddr); ok {
		p.addr = udp.AddrPort()
	}
	return n, p, nil
}

func (p peer) write(b []byte) error {
	var err error
	if p.socket.udp != nil {
		_, _, err = p.socket.udp.WriteMsgUDPAddrPort(b, p.info, p.addr)
	} else {
		_, err = p.socket.WriteTo(b, net.UDPAddrFromAddrPort(p.addr))
	}
	return err
}
