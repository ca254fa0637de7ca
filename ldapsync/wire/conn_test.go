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
		defer close(got)
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
	if r := <-got; r == nil || r.Kind != Unbind {
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
