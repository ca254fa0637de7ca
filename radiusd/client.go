package radiusd

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// Client is a RADIUS client (an appliance), or a network of them that share a
// secret. It is known by its source address alone (RFC 2865, section 3).
type Client struct {
	Name   string       // for log lines; State is bound to it. Those of a cluster may share one
	Prefix netip.Prefix // IPv4 or IPv6, not IPv4 in IPv6
	Secret opaque.Bytes // not empty

	// RequireMessageAuthenticator drops requests without one. Where it is not
	// set, an attacker on the path can make such requests, and the server can
	// tell a wrong secret from a wrong password only by its look.
	RequireMessageAuthenticator bool

	// Challenge says that the client can show an Access-Challenge.
	Challenge bool

	// RejectDelay is the time from a request to its Access-Reject. Guessing is
	// slower for it, and the time says nothing about what was checked.
	RejectDelay time.Duration

	Auth Authenticator
}

func (c *Client) check() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("client %v: a name is required", c.Prefix)
	case !c.Prefix.IsValid() || c.Prefix.Addr().Is4In6():
		return fmt.Errorf("client %q: want an IPv4 or IPv6 network, not %v", c.Name, c.Prefix)
	case c.Secret.Len() == 0:
		return fmt.Errorf("client %q: the secret is empty", c.Name) // RFC 2865, section 3
	case c.RejectDelay < 0:
		return fmt.Errorf("client %q: negative reject delay", c.Name)
	case c.Auth == nil:
		return fmt.Errorf("client %q: nothing to authenticate with", c.Name)
	}
	return nil
}

// clientTable finds clients by address. It does not change once built.
type clientTable struct {
	v4, v6 []int // prefix lengths in use, longest first
	byNet  map[netip.Prefix]*knownClient
	stats  []*clientStats // in configuration order, one a name
	byName map[string]*clientStats
}

// knownClient is a client with what the server keeps about it until the next
// SetClients.
type knownClient struct {
	Client
	status bucket
	stats  *clientStats // of the name, and kept beyond SetClients
}

// CheckClients returns what SetClients would say.
func CheckClients(clients []Client) error {
	_, err := newClientTable(clients, nil)
	return err
}

// newClientTable goes on counting for the clients whose names were in the table
// before; nil for none.
func newClientTable(clients []Client, before *clientTable) (*clientTable, error) {
	t := &clientTable{byNet: make(map[netip.Prefix]*knownClient), byName: make(map[string]*clientStats)}
	for _, c := range clients {
		if err := c.check(); err != nil {
			return nil, err
		}
		network := c.Prefix.Masked()
		if other := t.byNet[network]; other != nil {
			return nil, fmt.Errorf("clients %q and %q have the same network, %v", other.Name, c.Name, network)
		}
		t.byNet[network] = &knownClient{Client: c, stats: t.statsOf(c.Name, before)}
		lengths := &t.v6
		if network.Addr().Is4() {
			lengths = &t.v4
		}
		*lengths = append(*lengths, network.Bits())
	}
	for _, lengths := range []*[]int{&t.v4, &t.v6} {
		slices.Sort(*lengths)
		slices.Reverse(*lengths)
		*lengths = slices.Compact(*lengths)
	}
	return t, nil
}

// statsOf returns the counters of a name.
func (t *clientTable) statsOf(name string, before *clientTable) *clientStats {
	if stats := t.byName[name]; stats != nil {
		return stats
	}
	stats := &clientStats{name: name}
	if before != nil && before.byName[name] != nil {
		stats = before.byName[name]
	}
	t.byName[name] = stats
	t.stats = append(t.stats, stats)
	return stats
}

// lookup returns the client with the longest prefix that holds addr, or nil.
func (t *clientTable) lookup(addr netip.Addr) *knownClient {
	if t == nil {
		return nil
	}
	addr = addr.Unmap()
	lengths := t.v6
	if addr.Is4() {
		lengths = t.v4
	}
	for _, bits := range lengths {
		network, _ := addr.Prefix(bits) // without addr's zone
		if c := t.byNet[network]; c != nil {
			return c
		}
	}
	return nil
}
