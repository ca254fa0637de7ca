package radiusd

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReplyInfo(t *testing.T) {
	four := func(index int32) []byte {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: index, Spec_dst: [4]byte{192, 0, 2, 1}, Addr: [4]byte{192, 0, 2, 1}})
	}
	six := func(addr string, index uint32) []byte {
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: netip.MustParseAddr(addr).As16(), Ifindex: index})
	}
	other := unix.UnixRights(1) // any other message
	for _, tt := range []struct {
		name      string
		oob, want []byte
	}{
		{"nothing", nil, nil},
		{"IPv4: the address stays, the interface does not", four(7), four(0)},
		{"IPv6: the address stays, the interface does not", six("2001:db8::1", 7), six("2001:db8::1", 0)},
		{"link-local: both stay", six("fe80::1", 7), six("fe80::1", 7)},
		{"after another message", append(bytes.Clone(other), four(7)...), four(0)},
		{"before another message", append(four(7), other...), four(0)},
		{"only another message", bytes.Clone(other), nil},
		{"cut off", four(7)[:10], nil},
	} {
		if got := replyInfo(tt.oob); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.name, got, tt.want)
		}
	}
}
