package wire_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"lockstep/internal/opaque"
	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

func TestBind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer Message
		code   int // of the ResultError; -1 for another error
		after  bool
	}{
		{"right", BindResponse(0, ""), 0, true},
		{"wrong", BindResponse(49, ""), 49, true},
		{"referral", BindResponse(10, "x"), 10, true},
		{"other message ID", BindResponse(0, "").ID(7), -1, false},
		{"other operation", Done(0, ""), -1, false},
		{"notice of disconnection", Notice(52, "going down"), 52, false},
		{"cut short", Raw("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00"), -1, false},
		{"without a result", Raw("\x30\x05\x02\x01\x01\x61\x00"), -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan *Request, 1)
			c := connected(t, func(c *Conn) {
				got <- c.Next()
				c.Send(tt.answer)
				c.Close()
			})
			err := c.Bind(t.Context(), "cn=svc", opaque.Text("canary"))
			if r := <-got; r.DN != "cn=svc" || r.Password != "canary" {
				t.Errorf("bound as %q with %q", r.DN, r.Password)
			}
			var refused *wire.ResultError
			switch {
			case tt.code == 0 && err != nil, tt.code != 0 && err == nil:
				t.Errorf("bind: %v", err)
			case (tt.code > 0) != errors.As(err, &refused) || refused != nil && refused.Code != tt.code:
				t.Errorf("bind: %v, want code %d", err, tt.code)
			case err != nil && strings.Contains(err.Error(), "canary"):
				t.Errorf("password in %v", err)
			}
			if again := c.Search(t.Context(), wire.Search{Filter: "(a=b)"}); (again == nil) != tt.after {
				t.Errorf("search after that: %v", again)
			}
		})
	}
}

func TestAnEmptyPasswordIsNotSent(t *testing.T) {
	s := &stream{Reader: strings.NewReader("")}
	c := wire.New(s, wire.Options{})
	if err := c.Bind(t.Context(), "cn=svc", opaque.Bytes{}); err == nil {
		t.Error("no error for a DN without a password")
	}
	if err := c.Bind(t.Context(), "", opaque.Text("x")); err == nil {
		t.Error("no error for a password without a DN")
	}
	if s.written.Len() > 0 {
		t.Errorf("sent %x", s.written.Bytes())
	}
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	secured := make(chan bool, 1)
	s := Serve(t, func(c *Conn) {
		c.Search()
		secured <- c.Secured && c.Last == "cn=svc"
		c.Send(Entry("uid=alice"), Done(0, ""))
	})
	c := wire.New(s.Dial(), wire.Options{})
	defer c.Close()
	cfg := &tls.Config{RootCAs: s.CA, ServerName: "127.0.0.1"}
	if err := c.StartTLS(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(t.Context(), "cn=svc", opaque.Text("x")); err != nil {
		t.Fatal(err)
	}
	search(t, c)
	next(t, c, `entry "uid=alice"`)
	next(t, c, `done 0 ""`)
	if !<-secured {
		t.Error("bind or search arrived in clear")
	}
	if err := c.StartTLS(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("TLS in TLS: %v", err)
	}
}

func TestStartTLSThatFails(t *testing.T) {
	t.Parallel()
	agreed := string(ExtendedResponse(0, "").Octets(1))
	for _, tt := range []struct {
		name   string
		script func(*Conn)
		want   string
	}{
		{"refused", func(c *Conn) { c.Next(); c.Send(ExtendedResponse(52, "no certificate")) }, `result 52 (unavailable): "no certificate"`},
		{"answered with something else", func(c *Conn) { c.Next(); c.Send(BindResponse(0, "")) }, "operation 0x61"},
		{"answer for another extension", func(c *Conn) { c.Next(); c.Send(Notice(0, "").ID(1)) }, "answered as"},
		{"notice of disconnection", func(c *Conn) { c.Next(); c.Send(Notice(52, "")) }, "ends the connection"},
		{"injected answer in clear", func(c *Conn) { c.Next(); c.Send(Raw(agreed + string(BindResponse(0, "").Octets(2)))) }, "octets in clear"},
		{"one injected octet", func(c *Conn) { c.Next(); c.Send(Raw(agreed + "0")) }, "octets in clear"},
		{"closed", func(c *Conn) { c.Next() }, "closed by the server"},
		{"no TLS", func(c *Conn) {
			c.Next()
			c.Send(ExtendedResponse(0, ""))
			c.Read(make([]byte, 1))
			c.Send(Raw("no TLS at all"))
		}, "tls:"},
		{"certificate of nobody known", func(c *Conn) { c.Next(); c.StartTLS(); c.Hold() }, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connected(t, tt.script)
			err := c.StartTLS(t.Context(), &tls.Config{ServerName: "127.0.0.1"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
