package config

import "net/netip"

// Metrics says where Prometheus may ask.
type Metrics struct {
	Listen netip.AddrPort // TCP; invalid for nowhere
}

func readMetrics(t *table) (c Metrics) {
	text := t.text("listen", "")
	if text == "" {
		return c
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil || addr.Port() == 0 {
		t.fault("listen", `want an address and a port from 1 to 65535, such as "127.0.0.1:9813", or "" for none`)
		return c
	}
	c.Listen = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	return c
}

// exposed reports whether others than this machine can ask.
func (c Metrics) exposed() bool { return c.Listen.IsValid() && !c.Listen.Addr().IsLoopback() }
