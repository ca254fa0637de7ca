package radiusd

import (
	"errors"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

// statusRate is how many Status-Server requests of a client are answered in a
// second. Clients send one in some seconds.
const statusRate = 10

// status answers a Status-Server (RFC 5997). Silence means: ask another server
// (section 4.2).
func (s *Server) status(in incoming, p port) {
	s.counters.add(statusRequests)
	err := in.packet.VerifyMessageAuthenticator(in.client.Secret.Reveal())
	switch {
	case errors.Is(err, radius.ErrNoMessageAuthenticator):
		s.noMessageAuthenticator(in, "Status-Server needs one (RFC 5997, section 3)")
	case err != nil:
		s.badMessageAuthenticator(in)
	case !in.client.status.allow(statusRate, in.received):
		s.drop(in.client, dropStatusRate)
	case s.Ready != nil && s.Ready() != nil:
		s.drop(in.client, dropNotReady)
	case p == acctPort:
		s.acknowledge(in, layeh.CodeAccountingResponse)
	default:
		s.acknowledge(in, layeh.CodeAccessAccept)
	}
}

// accounting acknowledges an Accounting-Request (RFC 2866). Nothing is kept, so
// a retransmission may be acknowledged again.
func (s *Server) accounting(in incoming) {
	s.counters.add(acctRequests)
	if !in.packet.VerifyAccounting(in.client.Secret.Reveal()) {
		s.drop(in.client, dropBadAccountingAuthenticator)
		s.warnClient(in, "accounting does not verify, packet dropped",
			"the shared secret of this client is probably wrong, here or there")
		return
	}
	err := in.packet.VerifyMessageAuthenticator(in.client.Secret.Reveal())
	if errors.Is(err, radius.ErrBadMessageAuthenticator) {
		s.badMessageAuthenticator(in)
		return
	}
	s.counters.add(acctResponses)
	s.acknowledge(in, layeh.CodeAccountingResponse)
}

func (s *Server) acknowledge(in incoming, code radius.Code) {
	reply, _, err := radius.NewReply(code, in.packet, in.client.Secret.Reveal())
	if err != nil {
		s.drop(in.client, dropMalformed) // its Proxy-State leaves no room
		return
	}
	s.send(in.from, reply)
}
