package radiusd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBuffer is asked of the kernel: what it holds by default are some
// hundred requests, which is less than a building full of people after lunch.
const receiveBuffer = 4 << 20

// Listen opens a UDP socket for [Server.Serve]. An IPv6 socket takes no IPv4.
// The socket reports which of the host's addresses each request was sent to,
// so that the reply can come from there: clients discard others.
func Listen(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error) {
	addr = unmap(addr)
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	lc.Control = func(_, _ string, raw syscall.RawConn) error {
		var option error
		err := raw.Control(func(fd uintptr) { option = prepare(int(fd), network) })
		if err != nil {
			return err
		}
		return option
	}
	conn, err := lc.ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen for RADIUS: %w", err)
	}
	return conn, nil
}

func prepare(fd int, network string) error {
	// The plain option is limited by net.core.rmem_max, the forced one needs
	// CAP_NET_ADMIN. The server works with neither.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if network == "udp4" {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// oobLen has room for one IPV6_PKTINFO and for what else may come.
const oobLen = 128

// replyInfo turns the control messages that came with a request into those
// that make the reply leave from the address the request was sent to. It
// changes oob in place and returns a part of it, nil if the address is not
// there.
//
// The interface is cleared, or a reply could not be routed back another way
// than the request came; except for link-local addresses, which mean nothing
// without one.
func replyInfo(oob []byte) []byte {
	for rest := oob; len(rest) > 0; {
		header, data, remainder, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return nil
		}
		message := rest[:len(rest)-len(remainder)]
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4]) // ipi_ifindex
			return message
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if !netip.AddrFrom16([16]byte(data)).IsLinkLocalUnicast() {
				clear(data[16:20]) // ipi6_ifindex
			}
			return message
		}
		rest = remainder
	}
	return nil
}
