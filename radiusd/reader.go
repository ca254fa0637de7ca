package radiusd

import (
	"errors"
	"net"
	"slices"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

// port is what a connection is for.
type port int

const (
	authPort port = iota
	acctPort
)

// incoming is a packet from a client, not yet authenticated. It lives in the
// reader's buffers.
type incoming struct {
	packet   radius.Packet
	client   *knownClient
	from     peer
	received time.Time
}

const (
	readPause     = 10 * time.Millisecond
	mostReadFails = 100 // in a row, so about a second
)

func (s *Server) serve(conn net.PacketConn, p port) error {
	if err := s.start(); err != nil {
		return err
	}
	socket, err := s.addSocket(conn)
	if err != nil {
		return err
	}
	defer s.readers.Done()
	// What exceeds the buffer is padding, or makes the packet malformed.
	buffer, oob := make([]byte, radius.MaxLen), make([]byte, oobLen)
	for failed := 0; ; {
		n, from, err := socket.read(buffer, oob)
		switch {
		case err == nil:
			failed = 0
			socket.busy.Store(s.now().UnixNano())
			s.receive(buffer[:n], from, p)
			socket.busy.Store(0)
		case s.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed) || failed == mostReadFails:
			return err
		default:
			failed++
			s.counters.add(readErrors)
			s.warn(occasion{what: "cannot read"}, "err", err)
			select { // or an error that stays would take a whole processor
			case <-time.After(readPause):
			case <-s.base.Done():
			}
		}
	}
}

// receive does all that can be done without waiting. What must wait goes to
// the workers.
func (s *Server) receive(datagram []byte, from peer, p port) {
	defer s.survive("panic while a packet was read, packet dropped", nil)
	packet, err := radius.Check(datagram)
	if err != nil {
		s.seenMalformed(from)
		s.log.Debug("packet dropped", "src", from.addr.String(), "reason", err)
		return
	}
	in := incoming{packet, s.clients.Load().lookup(from.addr.Addr()), from, s.now()}
	if in.client == nil {
		s.counters.drop(dropUnknownClient)
		s.warnUnknown(in)
		return
	}
	in.client.stats.seen.Store(in.received.UnixNano())
	s.debugHeader(in)
	switch code := packet.Code(); {
	case code == layeh.CodeStatusServer:
		s.status(in, p)
	case code == layeh.CodeAccessRequest && p == authPort:
		s.accessRequest(in)
	case code == layeh.CodeAccountingRequest && p == acctPort:
		s.accounting(in)
	default:
		s.misdirected(in)
	}
}

// misdirected drops a packet of a kind that its port does not serve. To the
// client that looks like a server that is down, so the log says what it is.
func (s *Server) misdirected(in incoming) {
	s.drop(in.client, dropUnknownCode)
	what, hint := "packet of a kind that is not served, packet dropped",
		"this server takes Access-Request, Accounting-Request and Status-Server only"
	switch in.packet.Code() {
	case layeh.CodeAccessRequest:
		what, hint = "login at the accounting port, packet dropped",
			"at the client, set the authentication port to the one of this server, 1812 as a rule"
	case layeh.CodeAccountingRequest:
		what, hint = "accounting at the authentication port, packet dropped",
			"at the client, set the accounting port to the one of this server, 1813 as a rule, or switch accounting off"
	case layeh.CodeDisconnectRequest, layeh.CodeCoARequest:
		what, hint = "Disconnect or CoA, packet dropped",
			"at the client, switch dynamic authorization (RFC 5176) to this server off: it ends and changes no sessions"
	}
	s.warnClient(in, what, hint, "code", in.packet.Code().String())
}

func (s *Server) accessRequest(in incoming) {
	s.counters.add(accessRequests)
	in.client.stats.add(tallyRequests)
	a, err := parseAccess(in.packet)
	if err != nil {
		s.drop(in.client, dropMalformed)
		s.log.Debug("packet dropped", "client", in.client.Name, "src", in.from.addr.String(), "reason", err)
		return
	}
	if a.otherMethod() {
		in.client.stats.add(tallyCHAP)
	}
	key := s.dedupe.key(in.from, in.packet.Identifier())
	// Before it costs anything: this is what many times the load is made of.
	if s.crew.full() && a.state == nil && !s.dedupe.knows(key, in.packet.Authenticator()) {
		s.tooMany(in.client)
		return
	}
	// Before any state is touched: a forged packet must not displace a reply.
	signed, ok := s.authentic(in, a)
	if !ok {
		return
	}
	found, t, reply := s.dedupe.begin(key, in.packet.Authenticator(), in.received)
	switch found {
	case dupNew:
		s.enqueue(in, a, t, signed)
	case dupPending:
		s.drop(in.client, dropPending)
	case dupAnswered:
		s.counters.add(dupAccessRequests)
		in.client.stats.add(tallyDuplicates)
		s.send(in.from, reply)
	case dupFull:
		s.drop(in.client, dropCacheFull)
		s.warn(occasion{what: "too many requests to remember, packets dropped"})
	}
}

// authentic applies the rules for Message-Authenticator. signed says that the
// request had one; not ok, that it has been dropped.
func (s *Server) authentic(in incoming, a access) (signed, ok bool) {
	err := in.packet.VerifyMessageAuthenticator(in.client.Secret.Reveal())
	switch {
	case err == nil:
		return true, true
	case errors.Is(err, radius.ErrBadMessageAuthenticator):
		s.badMessageAuthenticator(in)
	case in.client.RequireMessageAuthenticator:
		s.noMessageAuthenticator(in, "switch Message-Authenticator on at the client; "+
			"or set require_message_authenticator = false for it here, which lets an attacker on the path forge logins")
	case a.proxyState:
		// The attack needs an attribute that the server repeats in its reply
		// (CVE-2024-3596).
		s.noMessageAuthenticator(in, "requests with Proxy-State need one: switch Message-Authenticator on at the client or proxy")
	case a.eap:
		s.noMessageAuthenticator(in, "requests with EAP-Message need one (RFC 3579, section 3.2); set this client to PAP")
	default:
		in.client.stats.add(tallyNoMessageAuthenticator)
		return false, true
	}
	return false, false
}

func (s *Server) badMessageAuthenticator(in incoming) {
	s.drop(in.client, dropBadMessageAuthenticator)
	s.warnClient(in, "Message-Authenticator does not verify, packet dropped",
		"the shared secret of this client is probably wrong, here or there")
}

func (s *Server) noMessageAuthenticator(in incoming, hint string) {
	in.client.stats.add(tallyNoMessageAuthenticator)
	s.drop(in.client, dropNoMessageAuthenticator)
	s.warnClient(in, "no Message-Authenticator, packet dropped", hint)
}

// enqueue hands a new request to the workers. A State that can be opened shows
// that a person has already waited once: such requests go first.
func (s *Server) enqueue(in incoming, a access, t ticket, signed bool) {
	j := &job{
		incoming: in,
		q:        s.q.Add(1),
		ctx:      s.deadlines.of(in.received),
		ticket:   t,
		signed:   signed,
	}
	// The reader's buffers are for the next packet.
	own := slices.Concat([]byte(in.packet), in.from.info)
	j.packet, j.from.info = own[:len(in.packet):len(in.packet)], own[len(in.packet):]
	j.access, _ = parseAccess(j.packet) // the reader has dropped what is wrong
	if a.state != nil {
		j.state, j.stateErr = s.sealer.Load().open(in.client.Name, string(a.userName), a.state, in.received)
		if j.stateErr == nil {
			j.class = challenged
		}
	}
	s.inflight.Add(1)
	if !s.crew.take(j) {
		s.inflight.Done()
		s.dedupe.forget(t)
		s.tooMany(in.client)
	}
}

func (s *Server) tooMany(c *knownClient) {
	s.drop(c, dropQueueFull)
	s.warn(occasion{what: "too many requests waiting, packets dropped"})
}
