package radiusd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"lockstep/internal/radius"
)

// job is a new Access-Request on its way to a decision. It has memory of its
// own.
type job struct {
	incoming
	q      uint64
	class  class
	access access // of packet
	ctx    context.Context
	ticket ticket
	signed bool // it had a Message-Authenticator, which was right

	request Request // from when it is decided

	state    openState // valid if there is a State and stateErr is nil
	stateErr error
}

// silence is an error that means: no reply, for a reason that is nobody's
// fault. The counter says which.
type silence counter

func (s silence) Error() string { return counterNames[s] }

// work decides a request, from now on, and sees to it that its entry in the
// duplicate cache does not stay pending.
func (s *Server) work(j *job, now time.Time) (r result) {
	answered := false
	defer s.inflight.Done()
	defer func() {
		if !answered {
			s.dedupe.forget(j.ticket) // a retransmission is new work
		}
	}()
	defer s.survive("panic while deciding, no reply sent", j)

	if s.stopped() {
		s.drop(j.client, dropShutdown)
		return dropped
	}
	asked, wanted := s.dedupe.wanted(j.ticket)
	if !wanted {
		s.drop(j.client, dropSuperseded) // before it could spend a code in vain
		return dropped
	}
	if now.Sub(asked) >= s.crew.patience {
		s.drop(j.client, dropTooOld)
		s.warn(occasion{what: "requests waited too long, packets dropped"})
		return dropped
	}
	r = failed // also after a panic
	a, err := s.decide(j.ctx, j)
	var reply radius.Packet
	if err == nil {
		reply, err = s.reply(j, a)
	}
	if s.Audit != nil {
		err = s.audit(j, a, err)
	}
	now = s.now()
	took := now.Sub(j.received)
	var quiet silence
	switch {
	case err == nil:
		r = decided
		answered = s.answer(j, a, reply, now) // before the log: somebody waits for it
		s.logDecision(j, a, took)
	case errors.As(err, &quiet):
		r = dropped
		s.drop(j.client, counter(quiet))
		s.log.LogAttrs(j.ctx, slog.LevelDebug, "packet dropped", append(j.facts(nil, a.User), slog.Any("reason", quiet))...)
	default:
		s.drop(j.client, dropCannotDecide)
		s.log.LogAttrs(j.ctx, slog.LevelError, "cannot decide, no reply sent",
			append(j.facts(nil, a.User), slog.Any("err", err), slog.String("took", took.String()))...)
	}
	return r
}

// decide returns the Authenticator's answer, or its own where there is nothing
// to ask. An error means that no reply may be sent.
func (s *Server) decide(ctx context.Context, j *job) (Answer, error) {
	refusal := s.request(j)
	if refusal != "" && j.stateErr != nil && s.Ready != nil {
		// It may be of another server, whose key has not been heard of yet.
		if err := s.Ready(); err != nil {
			return Answer{}, fmt.Errorf("%s, and it cannot be told whose it is: %w", refusal, err)
		}
	}
	if refusal != "" {
		return Answer{Outcome: Reject, Reason: refusal}, nil
	}
	r := &j.request
	if !r.Challenged {
		return authenticate(ctx, r)
	}
	switch s.states.take(j.state.id, s.now()) {
	case stateSpent:
		return Answer{Outcome: Reject, Reason: "the State was used before"}, nil
	case stateTaken:
		return Answer{}, silence(dropStateInUse)
	case stateFull:
		return Answer{}, silence(dropStateFull)
	}
	decided := false
	defer func() {
		if decided {
			s.states.spend(j.state.id, j.state.expires)
		} else {
			s.states.release(j.state.id) // also after a panic
		}
	}()
	a, err := authenticate(ctx, r)
	decided = err == nil
	return a, err
}

// authenticate asks, and takes as an error what is no answer.
func authenticate(ctx context.Context, r *Request) (Answer, error) {
	a, err := r.Client.Auth.Authenticate(ctx, r)
	switch {
	case err != nil:
		return a, err
	case a.Outcome != Accept && a.Outcome != Reject && a.Outcome != Challenge:
		return a, errors.New("the authenticator gave no outcome")
	case a.Outcome == Challenge && !r.Client.Challenge:
		return a, errors.New("the authenticator wants to challenge a client that cannot be challenged")
	case slices.ContainsFunc(a.Attributes, ownAttribute):
		return a, errors.New("the authenticator gave an attribute that the server sets itself")
	}
	return a, nil
}

// reply builds the packet for an answer. It carries what RFC 2865, section
// 5.44, allows for its code.
func (s *Server) reply(j *job, a Answer) (radius.Packet, error) {
	var attributes []radius.Attribute
	code := codes[a.Outcome]
	switch a.Outcome {
	case Accept:
		// Before Reply-Message, which is what may be left out.
		attributes = slices.Clip(a.Attributes)
	case Challenge:
		user, _ := j.packet.Lookup(rfc2865.UserName_Type)
		state, err := s.sealer.Load().seal(j.client.Name, string(user), a.Keep, s.now().Add(stateTTL+min(max(0, a.Wait), MaxWait)))
		if err != nil {
			return nil, err
		}
		if a.Message == "" {
			a.Message = "Code: "
		}
		attributes = append(attributes, radius.Attribute{Type: rfc2865.State_Type, Value: state})
	}
	if a.Message != "" {
		attributes = append(attributes, radius.Attribute{Type: rfc2865.ReplyMessage_Type, Value: cut(a.Message)})
	}
	if a.Outcome == Challenge {
		// A code may be seen as it is typed; it is over by the time that
		// somebody has read it.
		echo := layeh.NewInteger(uint32(rfc2869.Prompt_Value_Echo))
		attributes = append(attributes, radius.Attribute{Type: rfc2869.Prompt_Type, Value: echo})
	}
	reply, left, err := radius.NewReply(code, j.packet, j.client.Secret.Reveal(), attributes...)
	switch sent := len(attributes) - left; {
	case err != nil:
	case a.Outcome == Challenge && sent < 2:
		err = errors.New("no room for State beside Proxy-State")
	case a.Outcome == Accept && sent < len(a.Attributes):
		err = fmt.Errorf("no room for the attributes of rule %q beside Proxy-State", clean(a.Rule))
	}
	return reply, err
}

// ownAttribute recognises what only the server may put into a reply, and what
// is no type at all.
func ownAttribute(a radius.Attribute) bool {
	switch a.Type {
	case rfc2865.State_Type, rfc2865.ProxyState_Type, rfc2869.MessageAuthenticator_Type:
		return true
	}
	return a.Type < 1 || a.Type > 255
}

var codes = [...]radius.Code{
	Accept:    layeh.CodeAccessAccept,
	Reject:    layeh.CodeAccessReject,
	Challenge: layeh.CodeAccessChallenge,
}

// challengeDelay is the time from a request to its Access-Challenge. It covers
// what is done for some names and not for others, such as writing down that a
// login of an account has failed.
const challengeDelay = 100 * time.Millisecond

// leavesAfter is the time from a request to its reply, where the reply must not
// show what was looked at.
func (j *job) leavesAfter(a Answer) time.Duration {
	switch {
	case a.Outcome == Reject:
		return j.client.RejectDelay
	case a.Outcome == Challenge && a.Late:
		return max(j.client.RejectDelay, challengeDelay)
	case a.Outcome == Challenge:
		return challengeDelay
	}
	return 0
}

// answer sends a reply when its time has come. It reports whether it has taken
// over the request's entry.
func (s *Server) answer(j *job, a Answer, reply radius.Packet, now time.Time) bool {
	wait := j.leavesAfter(a) - now.Sub(j.received)
	if wait <= 0 {
		s.deliver(j, a.Outcome, reply, now)
		return true
	}
	if s.delayed.Add(1) > s.mostDelayed() {
		s.delayed.Add(-1)
		s.drop(j.client, dropDelayedFull)
		s.warn(occasion{what: "too many replies waiting for their time, replies dropped"})
		return false
	}
	s.inflight.Add(1)
	time.AfterFunc(wait, func() {
		defer s.inflight.Done()
		defer s.delayed.Add(-1)
		s.deliver(j, a.Outcome, reply, s.now())
	})
	return true
}

func (s *Server) deliver(j *job, outcome Outcome, reply radius.Packet, now time.Time) {
	if s.stopped() { // and the socket is closed
		s.dedupe.forget(j.ticket)
		s.drop(j.client, dropShutdown)
		return
	}
	// Before it is sent: the client may use the Identifier again at once.
	if !s.dedupe.finish(j.ticket, reply, now) {
		s.drop(j.client, dropSuperseded)
		return
	}
	switch outcome {
	case Accept:
		s.counters.add(accessAccepts)
		j.client.stats.add(tallyAccepts)
	case Reject:
		s.counters.add(accessRejects)
		j.client.stats.add(tallyRejects)
	case Challenge:
		s.counters.add(accessChallenges)
		j.client.stats.add(tallyChallenges)
	}
	s.post(j.from, reply)
}

func (s *Server) send(to peer, reply radius.Packet) {
	if err := to.write(reply); err != nil {
		s.cannotSend(to.addr.String(), err)
	}
}

func (s *Server) cannotSend(to string, err error) {
	s.counters.add(sendErrors)
	s.warn(occasion{what: "cannot send a reply"}, "src", to, "err", err)
}
