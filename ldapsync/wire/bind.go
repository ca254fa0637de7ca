package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"lockstep/internal/opaque"
)

// BindResponse is what a server has answered to a bind.
type BindResponse struct {
	Result
	Policy Policy
}

// LostError says that a bind got no answer that can be used. The connection is of
// no use any more.
type LostError struct {
	Err      error
	Answered bool // something came back, so the bind may have been judged; a notice of disconnection alone is no answer
	Timeout  bool // Err is what ended the context, or [os.ErrDeadlineExceeded]: the bind may be under way
}

// Error implements error.
func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *LostError) Unwrap() error { return e.Err }

// TryBind binds as dn once, with controls, and returns the answer whatever it is: a
// result other than success is no error. Other errors than a *[LostError] are of binds
// that were not sent.
//
// It is for connections over which many people are bound, one after the other, and
// costs the server one request and this side no goroutine. It ends with ctx or after
// [Options.Timeout]. The password is wiped from all memory of c before the answer is
// read; what TLS and the kernel have of it is theirs.
func (c *Conn) TryBind(ctx context.Context, dn string, password opaque.Bytes, controls []Control) (BindResponse, error) {
	switch {
	case c.err != nil:
		return BindResponse{}, c.err
	case c.search:
		return BindResponse{}, errors.New("bind: a search is under way")
	case dn == "" || password.Len() == 0:
		return BindResponse{}, errors.New("bind: a DN and a password must be given")
	case ctx.Err() != nil:
		return BindResponse{}, fmt.Errorf("bind: %w", context.Cause(ctx))
	}
	c.heard = false
	stop := context.AfterFunc(ctx, c.cut)
	r, err := c.bindBy(time.Now().Add(c.timeout), dn, password, controls)
	ended := !stop()
	if err != nil {
		return r, c.lost(ctx, ended, err)
	}
	if ended {
		c.err = context.Cause(ctx) // the socket has been closed all the same
	}
	return r, nil
}

// lost makes err the end of the connection.
func (c *Conn) lost(ctx context.Context, ended bool, err error) error {
	timeout := ended || errors.Is(err, os.ErrDeadlineExceeded)
	if ended {
		err = context.Cause(ctx)
	}
	c.err = fmt.Errorf("bind: %w", err)
	return &LostError{c.err, c.heard && !errors.Is(err, ErrDisconnected), timeout}
}

// bindBy is bind up to a deadline.
func (c *Conn) bindBy(deadline time.Time, dn string, password opaque.Bytes, controls []Control) (BindResponse, error) {
	// To set a deadline is dear, and most binds end long before it. So it is left as
	// it is while it leaves enough time, and set to the right moment should it come.
	if left := c.alarm.Sub(deadline.Add(-c.timeout)); left < c.timeout/2 {
		if err := c.wake(deadline); err != nil {
			return BindResponse{}, err
		}
	}
	if err := c.sendBind(dn, password, controls); err != nil {
		return BindResponse{}, err
	}
	r, err := c.bindResponse()
	for errors.Is(err, os.ErrDeadlineExceeded) && c.alarm.Before(deadline) {
		if err = c.wake(deadline); err == nil {
			r, err = c.bindResponse()
		}
	}
	return r, err
}

// bind asks and waits as it was told before.
func (c *Conn) bind(dn string, password opaque.Bytes, controls []Control) (BindResponse, error) {
	if err := c.sendBind(dn, password, controls); err != nil {
		return BindResponse{}, err
	}
	return c.bindResponse()
}

// maxKept is how large a buffer for requests may be that is kept, in octets.
const maxKept = 4 << 10

// sendBind writes the request from a buffer that it wipes.
func (c *Conn) sendBind(dn string, password opaque.Bytes, controls []Control) error {
	c.id++
	secret := password.Reveal()
	// The buffer must not move while it is filled, or a copy would stay behind.
	if size := bindSize(c.id, len(dn), len(secret), controls); cap(c.out) < size {
		c.out = make([]byte, 0, max(size, 256))
	}
	c.out = appendBind(c.out[:0], c.id, dn, secret, controls)
	c.hush(1)
	_, err := c.conn.Write(c.out)
	c.hush(-1)
	clear(c.out)
	if cap(c.out) > maxKept {
		c.out = nil
	}
	return err
}

// bindResponse reads the answer. What comes behind it unasked ends the connection.
func (c *Conn) bindResponse() (r BindResponse, err error) {
	e, err := c.receive()
	if err != nil {
		return r, err
	}
	if e.op != opBindResponse {
		return r, fmt.Errorf("answered with operation 0x%02x, want 0x%02x", e.op, opBindResponse)
	}
	d := decoder{e.content, &c.fault}
	r.Result = d.result()
	d.skip("bind response")
	r.Policy = policyOf(decoder{e.controls, &c.fault})
	if c.fault != nil {
		return BindResponse{}, c.fault
	}
	if c.input.pending() {
		c.err = errors.New("octets behind the answer to a bind")
	}
	return r, nil
}

// wake sets the deadline for a bind.
func (c *Conn) wake(deadline time.Time) error {
	c.alarm, c.armed = deadline, true
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.raw.SetDeadline(deadline)
}
