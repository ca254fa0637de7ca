package ldaptest

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Conn is one connection of a client, as its script sees it. The script is
// ended, as by [runtime.Goexit], when the client has gone.
type Conn struct {
	net.Conn        // for what the methods cannot do
	Secured  bool   // by StartTLS
	Last     string // the DN of the last bind that succeeded by Search
	server   *Server
	id       int64 // of the last request
}

// Next waits for the next request.
func (c *Conn) Next() *Request {
	p, err := ber.ReadPacket(c.Conn)
	if err != nil {
		runtime.Goexit()
	}
	r, err := parse(p)
	if err != nil {
		c.server.t.Errorf("ldaptest: request: %v", err)
		runtime.Goexit()
	}
	c.id = r.ID
	return r
}

// Search waits for a search. Until it comes, binds succeed and TLS is started
// when asked for.
func (c *Conn) Search() *Request {
	for {
		switch r := c.Next(); r.Kind {
		case Search:
			return r
		case Bind:
			c.Last = r.DN
			c.Send(BindResponse(0, ""))
		case StartTLS:
			c.StartTLS()
		case Unbind:
			runtime.Goexit()
		}
	}
}

// StartTLS agrees to the StartTLS that was the last request.
func (c *Conn) StartTLS() {
	c.Send(ExtendedResponse(0, ""))
	secured := tls.Server(c.Conn, c.server.tls)
	if secured.Handshake() != nil {
		runtime.Goexit()
	}
	c.Conn, c.Secured = secured, true
}

// Send sends messages as answers to the last request.
func (c *Conn) Send(messages ...Message) {
	var octets []byte
	for _, m := range messages {
		octets = append(octets, m.Octets(c.id)...)
	}
	if _, err := c.Write(octets); err != nil {
		runtime.Goexit()
	}
}

// Hold says nothing more until the client has gone. Requests are read and not
// answered.
func (c *Conn) Hold() { io.Copy(io.Discard, c.Conn) }
