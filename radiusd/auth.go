package radiusd

import (
	"context"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// Authenticator decides about logins. It is called by several goroutines at
// once.
type Authenticator interface {
	// Authenticate answers r. An error means that it could not tell; no reply
	// is sent then. It must return soon after ctx has ended, which is when
	// nobody waits for the answer any more; until it returns it occupies one of
	// the server's workers. ctx does not end when it returns: other requests
	// have the same.
	//
	// The server sends fewer at once while answers take long or are errors. An
	// Authenticator that can do no more should return an error soon.
	Authenticate(ctx context.Context, r *Request) (Answer, error)
}

// Request is one login to decide.
type Request struct {
	Q        uint64  // the number of the request, unique in this process, for log lines
	Client   *Client // who asks
	UserName string  // valid UTF-8 without control characters, 1 to 253 octets; otherwise hostile

	// Typed is the User-Password: up to 128 octets without NUL, perhaps none.
	// From a client that sends no Message-Authenticator it is valid UTF-8
	// without control characters too.
	Typed opaque.Bytes

	// Challenged is set where Typed answers an Access-Challenge of this server,
	// or of one with the same StateKey, to the same client and user. Kept is
	// then what that Answer had as Keep.
	Challenged bool
	Kept       opaque.Bytes

	// CallingStationID and NASID are the attributes as the client sent them:
	// hostile, and empty where absent.
	CallingStationID string
	NASID            string

	Received time.Time
}

// Outcome is the decision on a login. The zero Outcome is none, and is treated
// as an error.
type Outcome int

// The outcomes.
const (
	Accept Outcome = iota + 1
	Reject
	Challenge // ask for more; only for a Client that may be challenged
)

// String returns the outcome as it stands in log lines.
func (o Outcome) String() string {
	switch o {
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	case Challenge:
		return "challenge"
	}
	return "none"
}

// MaxKeep is the most octets that [Answer].Keep may have: the longest
// User-Password and 16 more.
const MaxKeep = radius.MaxPassword + 16

// MaxWait is the most that [Answer].Wait counts.
const MaxWait = 4 * time.Minute

// Answer is the decision on a login and what goes with it.
type Answer struct {
	Outcome Outcome

	// Message is shown to the person who logs in; it is cut at 253 octets.
	// Empty means none, or "Code: " for a Challenge: clients ignore a
	// challenge without text.
	Message string

	// Attributes go into an Access-Accept, in their order, and into no other
	// reply. All of them or there is no reply at all: what an appliance is not
	// told may be what restricts the session. None may be of a type that the
	// server sets itself (State, Proxy-State, Message-Authenticator), or there is
	// no reply either. With 3000 octets of them there is room for what proxies add.
	Attributes []radius.Attribute

	// Keep, up to MaxKeep octets, comes back as Kept with the answer to a
	// Challenge. It travels encrypted and padded inside State.
	Keep opaque.Bytes

	// Late makes a Challenge leave no earlier than a Reject would, because what
	// was looked at for it can take longer than for others.
	Late bool

	// Wait, up to MaxWait, is added to the minute for which a Challenge may be
	// answered: the person has to wait for something first.
	Wait time.Duration

	// User, Reason and Rule are for the log line. User is the name that the
	// login was decided for; empty means the User-Name as it came. Rule is the
	// name of the rule that matched; empty means none.
	User   string
	Reason string
	Rule   string
}
