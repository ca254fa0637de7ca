package pam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"lockstep/internal/radius"
)

// servers asks the servers of a configuration, one after the other.
type servers struct {
	list  []Server
	first int // who is asked first: the one that has replied before
}

// ask asks the servers in order. Each gets an even share of the time that is
// left until ctx's deadline, so that one that is away leaves time for the rest.
//
// Who has sent a challenge is asked first with the answer to it; the others may
// have the key that opens its State, too.
func (s *servers) ask(ctx context.Context, r radius.AccessRequest) (*radius.Reply, error) {
	var silent []error
	for i := range s.list {
		n := (s.first + i) % len(s.list)
		reply, err := s.list[n].ask(ctx, r, len(s.list)-i)
		if err == nil {
			s.first = n
			return reply, nil
		}
		silent = append(silent, err)
	}
	return nil, errors.Join(silent...)
}

// ask asks at each address in turn, within one of so many shares of the time.
func (s Server) ask(ctx context.Context, r radius.AccessRequest, shares int) (*radius.Reply, error) {
	ctx, cancel := share(ctx, shares)
	defer cancel()
	addresses, err := s.addresses(ctx)
	if err != nil {
		return nil, err
	}
	var silent []error
	for i, address := range addresses {
		reply, err := s.exchange(ctx, address, r, len(addresses)-i)
		if err == nil {
			return reply, nil
		}
		silent = append(silent, err)
	}
	return nil, errors.Join(silent...)
}

// exchange sends again until its share of the time is over: what is sent is the
// same packet, which a server answers once however often it comes (RFC 5080,
// section 2.2.2).
func (s Server) exchange(ctx context.Context, address string, r radius.AccessRequest, shares int) (*radius.Reply, error) {
	const least, most = 500 * time.Millisecond, 3 * time.Second
	ctx, cancel := share(ctx, shares)
	defer cancel()
	c := radius.Client{Server: address, Secret: s.Secret, Timeout: most, RequireMessageAuthenticator: true}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		c.Timeout = max(least, min(most, left/3))
		c.Tries = int(left/c.Timeout) + 1
	}
	return c.Exchange(ctx, r)
}

// share returns ctx with an even share of the time until its deadline.
func share(ctx context.Context, shares int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
}

// addresses returns where the server is, port included. Every address of a name
// is a place where it may be.
func (s Server) addresses(ctx context.Context) ([]string, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.Address, err)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{s.Address}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.Address, err)
	}
	addresses := make([]string, len(found))
	for i, address := range found {
		addresses[i] = net.JoinHostPort(address.Unmap().String(), port)
	}
	return addresses, nil
}
