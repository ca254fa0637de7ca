package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/opaque"
	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// connected is a Conn to a server with one script.
func connected(t *testing.T, script func(*Conn)) *wire.Conn {
	t.Helper()
	c := wire.New(Serve(t, script).Dial(), wire.Options{})
	t.Cleanup(func() { c.Close() })
	return c
}

func search(t *testing.T, c *wire.Conn) {
	t.Helper()
	if err := c.Search(t.Context(), wire.Search{Filter: "(a=*)"}); err != nil {
		t.Fatal(err)
	}
}

// next wants a message.
func next(t *testing.T, c *wire.Conn, want string) {
	t.Helper()
	m, err := c.Next(20 * time.Second)
	if err != nil {
		t.Fatalf("got error %v, want %q", err, want)
	}
	if got := show(m); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestSearchRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		search wire.Search
	}{
		{"the root", wire.Search{Filter: "(objectClass=*)", Attributes: []string{"+"}}},
		{"plain", wire.Search{Base: "dc=x", Scope: wire.ScopeSubtree, Filter: "(&(uid=a\\2ab)(!(x>=5)))", Attributes: []string{"uid", "1.1"}, SizeLimit: 1000}},
		{"first page", wire.Search{Filter: "(a=b)", Page: &wire.Page{Size: 500, Cookie: []byte{}}}},
		{"next page", wire.Search{Filter: "(a=b)", Page: &wire.Page{Size: 1, Cookie: []byte("p\x00")}}},
		{"sync once", wire.Search{Filter: "(a=b)", Sync: &wire.SyncRequest{}}},
		{"sync and stay", wire.Search{Filter: "(a=b)", Sync: &wire.SyncRequest{Persist: true, Cookie: []byte("rid=000"), ReloadHint: true}}},
		{"sync with an empty cookie", wire.Search{Filter: "(a=b)", Sync: &wire.SyncRequest{Persist: true, Cookie: []byte{}}}},
		{"other controls", wire.Search{Filter: "(a=b)", Controls: []wire.Control{{OID: "1.2.3", Critical: true}, {OID: "1.2.4", Value: []byte("v")}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan *Request, 1)
			c := connected(t, func(c *Conn) {
				got <- c.Search()
				c.Send(Done(0, ""))
			})
			if err := c.Search(t.Context(), tt.search); err != nil {
				t.Fatal(err)
			}
			next(t, c, `done 0 ""`)
			if r := <-got; !reflect.DeepEqual(r.Search, tt.search) {
				t.Errorf("arrived as %+v, want %+v", r.Search, tt.search)
			}
		})
	}
}

func TestWrongSearchesAreNotSent(t *testing.T) {
	s := &stream{Reader: strings.NewReader("")}
	c := wire.New(s, wire.Options{})
	for name, search := range map[string]wire.Search{
		"no filter":           {},
		"broken filter":       {Filter: "(a=b"},
		"negative size limit": {Filter: "(a=b)", SizeLimit: -1},
		"page of nothing":     {Filter: "(a=b)", Page: &wire.Page{}},
		"no scope":            {Filter: "(a=b)", Scope: 7},
	} {
		if err := c.Search(t.Context(), search); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if s.written.Len() > 0 {
		t.Errorf("sent %x", s.written.Bytes())
	}
	if _, err := c.Next(0); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Next without a search: %v", err)
	}
}

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
	if err := c.StartTLS(t.Context(), cfg); err == nil {
		t.Error("TLS in TLS")
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

func TestPages(t *testing.T) {
	t.Parallel()
	c := connected(t, func(c *Conn) {
		for i, cookie := range []string{"p1", "p2", ""} {
			r := c.Search()
			if want := []string{"", "p1", "p2"}[i]; string(r.Page.Cookie) != want {
				t.Errorf("page cookie %q, want %q", r.Page.Cookie, want)
			}
			c.Send(Entry(fmt.Sprint("uid=", i)), Done(0, "").Page(cookie))
		}
	})
	var cookie []byte
	for i := range 3 {
		if err := c.Search(t.Context(), wire.Search{Filter: "(a=*)", Page: &wire.Page{Size: 1, Cookie: cookie}}); err != nil {
			t.Fatal(err)
		}
		next(t, c, fmt.Sprintf("entry %q", fmt.Sprint("uid=", i)))
		m, err := c.Next(0)
		if err != nil || m.Kind != wire.Done {
			t.Fatal(m, err)
		}
		cookie = append(cookie[:0], m.PageCookie...)
	}
}

func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	c := connected(t, func(c *Conn) {
		c.Search()
		c.Send(Entry("x"))
		c.Hold()
	})
	search(t, c)
	next(t, c, `entry "x"`)
	if err := c.Bind(t.Context(), "cn=svc", opaque.Text("x")); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("bind within a search: %v", err)
	}
	if err := c.Search(t.Context(), wire.Search{Filter: "(a=b)"}); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("search within a search: %v", err)
	}
}

func TestTheServerEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		message Message
		want    error
	}{
		{"with a notice", Notice(52, "going down\r\n"), wire.ErrDisconnected},
		{"with a notice of success", Notice(0, ""), wire.ErrDisconnected},
		{"without", Message{}, io.EOF},
		{"within a message", Raw("\x30\x05\x02"), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connected(t, func(c *Conn) {
				c.Search()
				c.Send(Entry("x"), tt.message)
			})
			search(t, c)
			next(t, c, `entry "x"`)
			m, err := c.Next(20 * time.Second)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v, want %v", m, err, tt.want)
			}
			if refused := new(*wire.ResultError); errors.As(err, refused) != (tt.want == wire.ErrDisconnected) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWaitsEnd(t *testing.T) {
	for name, secure := range map[string]bool{"in clear": false, "under TLS": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := piped(t, secure)
				c := wire.New(client, wire.Options{})
				go io.Copy(io.Discard, server)
				search(t, c)
				whole := octets(Entry("uid=alice"))
				dripped := make(chan bool)
				go func() {
					defer close(dripped)
					for _, octet := range whole {
						<-time.After(7 * time.Second)
						server.Write([]byte{octet})
					}
				}()
				start := time.Now()
				_, err := c.Next(10 * time.Second)
				if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != 10*time.Second {
					t.Errorf("%v after %s", err, took)
				}
				// Nothing of the message is lost.
				if m, err := c.Next(0); err != nil || show(m) != `entry "uid=alice"` {
					t.Fatal(m, err)
				}
				<-dripped
				go c.Close()
				if _, err := c.Next(0); !errors.Is(err, net.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}

// piped are the two ends of a connection without buffers.
func piped(t *testing.T, secure bool) (client, server net.Conn) {
	t.Helper()
	client, server = net.Pipe()
	t.Cleanup(func() { server.Close() })
	if secure {
		cfg, _ := Certificate(t)
		a, b := tls.Client(client, &tls.Config{InsecureSkipVerify: true}), tls.Server(server, cfg)
		go b.Handshake()
		if err := a.Handshake(); err != nil {
			t.Fatal(err)
		}
		return a, b
	}
	return client, server
}

// A frozen server answers nothing, and maybe reads nothing.
func TestAFrozenServer(t *testing.T) {
	for name, request := range map[string]func(context.Context, *wire.Conn) error{
		"bind": func(ctx context.Context, c *wire.Conn) error { return c.Bind(ctx, "cn=svc", opaque.Text("x")) },
		"StartTLS": func(ctx context.Context, c *wire.Conn) error {
			return c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
		},
		"search": func(ctx context.Context, c *wire.Conn) error {
			if err := c.Search(ctx, wire.Search{Filter: "(a=b)"}); err != nil {
				return err
			}
			_, err := c.Next(3 * time.Second)
			return err
		},
	} {
		for _, reads := range []bool{false, true} {
			for _, closed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, reads %v, closed %v", name, reads, closed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { frozen(t, request, reads, closed) })
				})
			}
		}
	}
}

func frozen(t *testing.T, request func(context.Context, *wire.Conn) error, reads, closed bool) {
	client, server := net.Pipe()
	defer server.Close()
	if reads {
		go server.Read(make([]byte, 1000))
	}
	c := wire.New(client, wire.Options{Timeout: 3 * time.Second})
	limit := 3 * time.Second
	if closed {
		limit = 1100 * time.Millisecond
		time.AfterFunc(time.Second, func() { c.Close() })
	}
	start := time.Now()
	err := request(t.Context(), c)
	if took := time.Since(start); err == nil || took > limit || errors.Is(err, net.ErrClosed) != closed {
		t.Errorf("%v after %s, want an error within %s", err, took, limit)
	}
	c.Close()
}

func TestCancelledRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		go io.Copy(io.Discard, server)
		c := wire.New(client, wire.Options{})
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if err := c.Bind(ctx, "cn=svc", opaque.Text("x")); !errors.Is(err, gone) {
			t.Errorf("cancelled before: %v", err)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		start := time.Now()
		if err := c.Bind(ctx, "cn=svc", opaque.Text("x")); !errors.Is(err, gone) || time.Since(start) != time.Second {
			t.Errorf("cancelled within: %v after %s", err, time.Since(start))
		}
		if err := c.Search(t.Context(), wire.Search{Filter: "(a=b)"}); !errors.Is(err, gone) {
			t.Errorf("after that: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	got := make(chan *Request, 1)
	c := connected(t, func(c *Conn) {
		c.Search()
		got <- c.Next()
	})
	search(t, c)
	ended := make(chan error)
	go func() {
		_, err := c.Next(0)
		ended <- err
	}()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	if r := <-got; r.Kind != Unbind {
		t.Errorf("the server got %+v, want an unbind", r)
	}
	if err := c.Bind(t.Context(), "cn=svc", opaque.Text("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("bind: %v", err)
	}
}

func TestErrorsArePrintable(t *testing.T) {
	for _, tt := range []struct {
		err  wire.ResultError
		want string
	}{
		{wire.ResultError{Code: 49}, "result 49 (invalid credentials)"},
		{wire.ResultError{Code: 4096, Text: "cookie"}, `result 4096: "cookie"`},
		{wire.ResultError{Code: 200}, "result 200"},
		{wire.ResultError{Code: 49 + 1<<16}, "result 65585"},
		{wire.ResultError{Code: 80, Text: "a\r\nlevel=INFO \x1b[2J\u202e\xff"}, `result 80 (other): "a\r\nlevel=INFO \x1b[2J\u202e\xff"`},
		{wire.ResultError{Code: 1, Text: strings.Repeat("x", 201)}, `result 1 (operations error): "` + strings.Repeat("x", 200) + `"`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	if err := (wire.Result{}).Err(); err != nil {
		t.Error(err)
	}
	c := searching(t, bytes.NewReader(octets(Notice(52, "a\nb"))), wire.Options{})
	if _, err := c.Next(0); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
