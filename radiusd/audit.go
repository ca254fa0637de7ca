package radiusd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Decided is what came of a request, for [Server].Audit.
type Decided struct {
	Request *Request       // hostile; its Typed and Kept are not for keeping
	Src     netip.AddrPort // that it came from
	ID      uint8          // its Identifier
	Answer  Answer         // if Err is nil
	Err     error          // it could not be told: no reply is sent
	Took    time.Duration
}

// audit tells Audit what came of j. It returns err, or why there may be no reply
// although that is nil.
func (s *Server) audit(j *job, a Answer, err error) error {
	if quiet := silence(0); errors.As(err, &quiet) {
		return err // it is being decided elsewhere, or will be
	}
	e := s.Audit(j.ctx, Decided{Request: &j.request, Src: unmap(j.from.addr), ID: j.packet.Identifier(), Answer: a, Err: err, Took: s.now().Sub(j.received)})
	if err == nil && e != nil {
		return fmt.Errorf("record the decision: %w", e)
	}
	return err
}
