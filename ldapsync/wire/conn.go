package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options are the limits of a [Conn].
type Options struct {
	MaxMessage int           // octets of one message; 0 is 1 MiB
	Timeout    time.Duration // for writing a request and, of StartTLS and Bind, for the answer; 0 is 5 s
}

// Conn is one connection to a server. One goroutine uses it; only Close may be
// called by others.
//
// An error is for good, and every later call returns it, but for three kinds: a
// result other than success, a [Conn.Next] that waited too long, and a request
// that was wrong and not sent.
type Conn struct {
	raw     net.Conn // below TLS; closing it ends whatever waits
	timeout time.Duration
	input   input
	id      int  // of the last request
	search  bool // is what the last request was, and it has not ended
	err     error
	message Message
	fault   error // of the decoders. A local one would be an allocation a message

	stall time.Duration
	armed bool      // the deadline for stall is set
	alarm time.Time // the deadline for the answer to a [Conn.TryBind], zero if there is none
	heard bool      // octets came since the last TryBind began
	out   []byte    // the request of a bind, wiped; kept for the next
	cut   func()    // ends whatever waits

	mu     sync.Mutex // guards what Close shares with the one goroutine
	conn   net.Conn   // written with mu held
	quiet  int        // above 0: Close must not write, as a request or TLS is under way
	closed bool
}

// New speaks LDAP on c, over TLS if c is a [*tls.Conn].
func New(c net.Conn, o Options) *Conn {
	if o.MaxMessage == 0 {
		o.MaxMessage = 1 << 20
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	conn := &Conn{raw: c, conn: c, timeout: o.Timeout, input: input{max: o.MaxMessage}}
	// Closing a tls.Conn waits for up to five seconds.
	if t, ok := c.(*tls.Conn); ok {
		conn.raw = t.NetConn()
	}
	conn.cut = func() { conn.raw.Close() }
	return conn
}

// unbind has the highest ID there is, as Close does not know which are in use.
const unbind = "\x30\x08\x02\x04\x7f\xff\xff\xff\x42\x00"

// goodbye is how long Close may try to send it.
const goodbye = 100 * time.Millisecond

// Close ends the connection and what waits for it, which then returns an error
// that wraps [net.ErrClosed]. The server is told, if that is possible at once.
// Any goroutine may call it, and more than once.
func (c *Conn) Close() error {
	c.mu.Lock()
	conn, silent := c.conn, c.quiet > 0 || c.closed
	c.closed = true
	if !silent {
		// Also ends a handshake within a read, which has the connection locked.
		c.raw.SetDeadline(time.Now().Add(goodbye))
	}
	c.mu.Unlock()
	if !silent {
		conn.Write([]byte(unbind))
	}
	if err := c.raw.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// hush keeps Close from writing into something else, until as many calls with
// -1 as with 1.
func (c *Conn) hush(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet += by
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// patience sets how long all reading from now on may wait; 0 is for ever.
func (c *Conn) patience(stall time.Duration) {
	c.stall, c.armed = stall, false
	if !c.alarm.IsZero() {
		c.alarm = time.Time{}
		c.raw.SetWriteDeadline(c.alarm)
	}
}

// read sets the deadline only once it is needed: most messages are in the
// buffer already.
func (c *Conn) read(b []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	n, err := c.conn.Read(b)
	c.heard = c.heard || n > 0
	return n, err
}

func (c *Conn) arm() error {
	if c.armed {
		return nil
	}
	c.armed = true
	var deadline time.Time
	if c.stall > 0 {
		deadline = time.Now().Add(c.stall)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed // which has set a deadline of its own
	}
	return c.raw.SetReadDeadline(deadline)
}

// within runs a request, which ends when ctx or the timeout does, whatever it
// is waiting for, because the socket is closed under it.
func (c *Conn) within(ctx context.Context, what string, request func() error) error {
	switch {
	case c.err != nil:
		return c.err
	case c.search:
		return fmt.Errorf("%s: a search is under way", what)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	late := fmt.Errorf("not done within %s: %w", c.timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, late)
	defer cancel()
	stop := context.AfterFunc(ctx, c.cut)
	c.patience(0)
	err := request()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	return c.keep(fmt.Errorf("%s: %w", what, err))
}

// keep remembers err, unless it leaves the connection as good as it was.
func (c *Conn) keep(err error) error {
	if c.isClosed() && !errors.Is(err, net.ErrClosed) {
		err = fmt.Errorf("%w (%v)", net.ErrClosed, err)
	}
	var refused *ResultError
	if !errors.As(err, &refused) || errors.Is(err, ErrDisconnected) {
		c.err = err
	}
	return err
}
