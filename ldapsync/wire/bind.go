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
	Told   bool // the Policy was in a control, though that may say that all is well
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
// [Options.Timeout]. If ctx is cancelled before its deadline, that may be noticed 0.1 s
// late, and not at all if the answer comes first. The password is wiped from all memory of c before the answer is
// read; what TLS and the kernel have of it is theirs.
//
// Meanwhile, unless nil, is called when the bind has been sent, before the answer is
// waited for; not where the bind is so large that sending it may take long. The time
// that it takes is not the server's. What it returns, unless nil, is called if the answer
// does not come soon, within 0.1 s.
func (c *Conn) TryBind(ctx context.Context, dn string, password opaque.Bytes, controls []Control, meanwhile func() (late func())) (BindResponse, error) {
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
	r, ended, err := c.bindWithin(ctx, dn, password, controls, meanwhile)
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

// bindWithin is bind until ctx ends, which it says, or the timeout.
func (c *Conn) bindWithin(ctx context.Context, dn string, password opaque.Bytes, controls []Control, meanwhile func() (late func())) (r BindResponse, ended bool, err error) {
	began := time.Now()
	deadline := began.Add(c.timeout)
	if bindSize(c.id+1, len(dn), password.Len(), controls) > maxKept {
		return c.following(ctx, deadline, func() (BindResponse, error) { return c.bind(dn, password, controls) })
	}
	// To follow a context is dear: all requests of a moment have the same, and its
	// lock. Nor can so short a request get stuck on its way: the one before it has been
	// answered, so that the kernel has room for it.
	if err = c.glance(ctx, began); err == nil {
		err = c.sendBind(dn, password, controls)
	}
	if err != nil {
		return r, false, err
	}
	var late func()
	if meanwhile != nil {
		late = meanwhile()
		now := time.Now()
		deadline = now.Add(c.timeout)
		// What has come by now is the answer, also if ctx has ended: who cannot be told
		// is not the server's fault, and another server would judge the password again.
		if now.After(c.alarm.Add(-grace)) {
			if err = c.wake(now.Add(grace), deadline); err != nil {
				return r, false, err
			}
		}
	}
	if r, err = c.bindResponse(); errors.Is(err, os.ErrDeadlineExceeded) {
		if late != nil {
			late()
		}
		return c.following(ctx, deadline, c.bindResponse)
	}
	return r, false, err
}

// following calls request, which ends with ctx, and says if it has, or at deadline.
func (c *Conn) following(ctx context.Context, deadline time.Time, request func() (BindResponse, error)) (r BindResponse, ended bool, err error) {
	stop := context.AfterFunc(ctx, c.cut)
	if err = c.wake(deadline, deadline); err == nil {
		r, err = request()
	}
	return r, !stop(), err
}

// quick is how long an answer is waited for before the context is followed.
const quick = 100 * time.Millisecond

// grace is how long an answer that should be there is waited for all the same.
const grace = 10 * time.Millisecond

// glance sets the deadlines to wait for a quick answer, but no longer than ctx. That is
// dear, too, so they are left as they are while they leave half of the time.
func (c *Conn) glance(ctx context.Context, now time.Time) error {
	wait := min(quick, c.timeout)
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, end.Sub(now))
	}
	if left := c.alarm.Sub(now); wait/2 <= left && left <= wait {
		return nil
	}
	return c.wake(now.Add(wait), now.Add(c.timeout))
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
	r.Policy, r.Told = policyOf(decoder{e.controls, &c.fault})
	if c.fault != nil {
		return BindResponse{}, c.fault
	}
	if c.input.pending() {
		c.err = errors.New("octets behind the answer to a bind")
	}
	return r, nil
}

// wake sets the deadlines for a bind: for its answer, and for sending it.
func (c *Conn) wake(answer, send time.Time) error {
	c.alarm, c.armed = answer, true
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if err := c.raw.SetReadDeadline(answer); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(send)
}
