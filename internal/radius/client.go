package radius

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
)

// ErrNoReply is wrapped by errors that mean that no reply came that verifies:
// the question was not answered, and another server may be asked.
var ErrNoReply = errors.New("no reply")

// Client asks one RADIUS server over UDP. It may be used by several goroutines
// at once; each exchange has a socket of its own, so that Identifiers do not
// run out.
type Client struct {
	Server  string        // host:port
	Secret  opaque.Bytes  // not empty
	Timeout time.Duration // of one try; default 3 s
	Tries   int           // default 3

	// RequireMessageAuthenticator refuses replies without one, as an attacker
	// on the path can forge those (CVE-2024-3596).
	RequireMessageAuthenticator bool
}

// AccessRequest is what is asked. Empty fields are not sent, except the
// password.
type AccessRequest struct {
	UserName         string
	Password         opaque.Bytes // up to 128 octets without NUL
	State            []byte       // of the challenge that Password answers
	NASIdentifier    string       // default "lockstep"
	CallingStationID string       // from where the user comes
	ServiceType      uint32       // RFC 2865, section 5.6
	Attributes       []Attribute  // any others
}

// Reply is a reply that has been verified.
type Reply struct {
	Code         Code   // Access-Accept, Access-Reject or Access-Challenge
	ReplyMessage string // the texts, joined by line ends; for a person, and hostile if the server is
	State        []byte // to be sent back with the answer to a challenge
	Attributes   layeh.Attributes
}

// Exchange sends a request, again after each time-out and with the same
// octets, and returns the first reply that verifies. Replies that do not are
// ignored, since anybody can send them. Errors wrap [ErrNoReply] where nothing
// else is wrong than that, and ctx's error where ctx has ended.
func (c *Client) Exchange(ctx context.Context, r AccessRequest) (*Reply, error) {
	password := r.Password.Reveal()
	if password == nil {
		password = []byte{}
	}
	request, err := NewRequest(layeh.CodeAccessRequest, c.Secret.Reveal(), password, r.attributes()...)
	if err != nil {
		return nil, fmt.Errorf("build Access-Request: %w", err)
	}
	reply, err := c.exchange(ctx, request)
	if err != nil {
		return nil, err
	}
	return newReply(reply)
}

// Status asks with a Status-Server whether the server is ready (RFC 5997). Nil
// means that it is.
func (c *Client) Status(ctx context.Context) error {
	request, err := NewRequest(layeh.CodeStatusServer, c.Secret.Reveal(), nil,
		Attribute{rfc2865.NASIdentifier_Type, []byte(defaultNASIdentifier)})
	if err != nil {
		return fmt.Errorf("build Status-Server: %w", err)
	}
	_, err = c.exchange(ctx, request)
	return err
}

const defaultNASIdentifier = "lockstep"

func (r AccessRequest) attributes() []Attribute {
	var as []Attribute
	add := func(t Type, value []byte) {
		if len(value) > 0 {
			as = append(as, Attribute{t, value})
		}
	}
	nas := r.NASIdentifier
	if nas == "" {
		nas = defaultNASIdentifier // RFC 2865, section 4.1, wants one
	}
	add(rfc2865.UserName_Type, []byte(r.UserName))
	add(rfc2865.NASIdentifier_Type, []byte(nas))
	add(rfc2865.CallingStationID_Type, []byte(r.CallingStationID))
	if r.ServiceType != 0 {
		add(rfc2865.ServiceType_Type, layeh.NewInteger(r.ServiceType))
	}
	add(rfc2865.State_Type, r.State)
	return append(as, r.Attributes...)
}

func newReply(reply Packet) (*Reply, error) {
	attributes, err := layeh.ParseAttributes(reply[HeaderLen:])
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	var texts []string
	for t, v := range reply.Attributes() {
		if t == rfc2865.ReplyMessage_Type {
			texts = append(texts, string(v))
		}
	}
	state, _ := reply.Lookup(rfc2865.State_Type)
	return &Reply{
		Code:         reply.Code(),
		ReplyMessage: strings.Join(texts, "\n"),
		State:        slices.Clone(state),
		Attributes:   attributes,
	}, nil
}

func (c *Client) exchange(ctx context.Context, request Packet) (Packet, error) {
	if c.Secret.Len() == 0 {
		return nil, errors.New("ask RADIUS server: the secret is empty")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", c.Server)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()

	x := exchange{Client: c, conn: conn, request: request}
	for range c.tries() {
		if _, err := conn.Write(request); err != nil {
			return nil, x.failed(ctx, err)
		}
		reply, err := x.read(ctx)
		if err == nil {
			return reply, nil
		}
		if !errors.Is(err, errTryOver) {
			return nil, x.failed(ctx, err)
		}
	}
	return nil, x.silence()
}

func (c *Client) tries() int {
	if c.Tries > 0 {
		return c.Tries
	}
	return 3
}

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 3 * time.Second
}

// exchange is one request on its way.
type exchange struct {
	*Client
	conn    net.Conn
	request Packet
	ignored int   // replies that did not verify
	why     error // for the last of them
}

var errTryOver = errors.New("try over")

// read returns the first reply that verifies, or errTryOver.
func (x *exchange) read(ctx context.Context) (Packet, error) {
	// The socket's deadline is the real clock's, whatever clock the caller has.
	x.conn.SetReadDeadline(time.Now().Add(x.timeout()))
	if ctx.Err() != nil {
		return nil, ctx.Err() // or the line above has undone its deadline
	}
	buffer := make([]byte, MaxLen)
	for {
		n, err := x.conn.Read(buffer)
		if err != nil {
			var timeout net.Error
			if ctx.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
				err = errTryOver
			}
			return nil, err
		}
		reply, err := Check(buffer[:n])
		if err == nil {
			err = reply.VerifyReply(x.request, x.Secret.Reveal(), x.RequireMessageAuthenticator)
		}
		if err == nil {
			return reply, nil
		}
		x.ignored, x.why = x.ignored+1, err
	}
}

func (x *exchange) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask %s: %w: %w", x.Server, ErrNoReply, context.Cause(ctx))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("ask %s: %w: nothing listens there; is the server running?", x.Server, ErrNoReply)
	}
	return fmt.Errorf("ask %s: %w: %w", x.Server, ErrNoReply, err)
}

func (x *exchange) silence() error {
	hint := "is the server running and able to decide, is this host one of its clients, and is the secret right?"
	if x.ignored > 0 {
		hint = fmt.Sprintf("%d replies came but did not verify (%v): is the secret right?", x.ignored, x.why)
	}
	if errors.Is(x.why, ErrNoMessageAuthenticator) {
		hint = fmt.Sprintf("%d replies came without a Message-Authenticator: update the server, or do not require it", x.ignored)
	}
	return fmt.Errorf("ask %s: %w after %d tries of %v: %s", x.Server, ErrNoReply, x.tries(), x.timeout(), hint)
}
