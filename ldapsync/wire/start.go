package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"

	"lockstep/internal/opaque"
)

const oidStartTLS = "1.3.6.1.4.1.1466.20037"

// StartTLS puts the connection under TLS (RFC 4511, section 4.14). cfg must
// name the server, as for [tls.Client].
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config) error {
	return c.within(ctx, "StartTLS", func() error {
		if c.conn != c.raw {
			return errors.New("TLS is there already")
		}
		c.hush(1)
		if err := c.askForTLS(); err != nil {
			return err
		}
		// Whoever can write to the connection in clear could have his messages
		// taken for the server's.
		if c.input.pending() {
			return errors.New("octets in clear behind the response")
		}
		secured := tls.Client(c.raw, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		c.conn = secured
		c.mu.Unlock()
		c.hush(-1)
		return nil
	})
}

func (c *Conn) askForTLS() error {
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 23, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oidStartTLS, ""))
	d, err := c.ask(request, opExtendedResponse)
	if err != nil {
		return err
	}
	r, name := d.extended()
	if c.fault != nil {
		return c.fault
	}
	if name != "" && name != oidStartTLS {
		return fmt.Errorf("answered as %.40q", name)
	}
	return r.Err()
}

// Bind authenticates as dn with a simple bind, or as nobody if both dn and
// password are empty. A refusal wraps a *[ResultError] and leaves the
// connection open, with nobody bound.
func (c *Conn) Bind(ctx context.Context, dn string, password opaque.Bytes) error {
	if (dn == "") != (password.Len() == 0) {
		return errors.New("bind: a DN and a password, or neither, must be given")
	}
	return c.within(ctx, "bind", func() error {
		r, err := c.bind(dn, password, nil)
		if err != nil {
			return err
		}
		return r.Err()
	})
}

// ask sends a request and returns the content of its one response.
func (c *Conn) ask(request *ber.Packet, response byte) (decoder, error) {
	if err := c.send(request, nil); err != nil {
		return decoder{}, err
	}
	e, err := c.receive()
	if err == nil && e.op != response {
		err = fmt.Errorf("answered with operation 0x%02x, want 0x%02x", e.op, response)
	}
	return decoder{e.content, &c.fault}, err
}
