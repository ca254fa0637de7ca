package wire

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Next returns the next message of the search. It waits at most stall, for ever
// if stall is 0. After a wait that took too long, of which the error wraps
// [os.ErrDeadlineExceeded], Next may be called again and nothing is lost.
//
// A search that the server refuses or cuts off ends like others, with a Done.
// An error means that the search has not ended and will not go on.
func (c *Conn) Next(stall time.Duration) (*Message, error) {
	if c.err != nil {
		return nil, c.err
	}
	if !c.search {
		return nil, errors.New("read message: no search is under way")
	}
	c.patience(stall)
	err := c.next()
	switch {
	case err == nil:
		return &c.message, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosed():
		return nil, fmt.Errorf("no message within %s: %w", stall, err)
	}
	return nil, c.keep(fmt.Errorf("read message: %w", err))
}

// next reads up to the first message that is known.
func (c *Conn) next() error {
	for {
		e, err := c.receive()
		if err != nil {
			return err
		}
		known := c.message.decode(e, &c.fault)
		if c.fault != nil {
			return c.fault
		}
		if known {
			c.search = c.message.Kind != Done
			return nil
		}
	}
}

// envelope is an LDAPMessage (RFC 4511, section 4.1.1).
type envelope struct {
	op       byte
	content  []byte
	controls []byte // nil if there are none
}

// receive reads the next message that answers the last request.
func (c *Conn) receive() (e envelope, err error) {
	message, err := c.input.message(c.read)
	if err != nil {
		return e, err
	}
	d := decoder{message, &c.fault}
	id := d.number(tagInteger, "message ID")
	e.op, e.content = d.any("operation")
	if d.at(constructed(0)) {
		e.controls = d.take(constructed(0), "controls")
	}
	d.skip("message")
	switch {
	case c.fault != nil:
		return e, c.fault
	case id == 0:
		return e, e.unsolicited()
	case id != c.id:
		return e, fmt.Errorf("message for request %d, want %d", id, c.id)
	}
	return e, nil
}
