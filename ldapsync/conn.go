package ldapsync

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/wire"
)

// conn is one connection to one server. It must be used by one goroutine at a
// time: a server abandons a bind when the next comes on the same connection
// (RFC 4511, section 4.2.1), and go-ldap then waits for ever.
//
// go-ldap's Debug prints passwords and is never set.
type conn struct {
	server *server
	ldap   *ldap.Conn
	wire   *counted
	born   time.Time
	used   time.Time
	broken bool // must not be used again
}

// counted counts what was read, to tell a request that was not answered from one
// with an answer that made no sense.
type counted struct {
	net.Conn
	raw  net.Conn // below TLS; closing it ends whatever waits
	read atomic.Int64
}

func (w *counted) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.read.Add(int64(n))
	return n, err
}

// linkError says that a request got no answer that can be used: the connection
// could not be made, broke, or took too long.
type linkError struct {
	err      error
	answered bool // something came back, so the request may have been acted on
	timeout  bool
}

func (e *linkError) Error() string { return e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }

// dial connects to s, TLS included, within ctx and the timeout. The connection
// is anonymous; no bind is spent on it.
func (s *server) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return nil, &linkError{err: fmt.Errorf("connect to %s: %w", s.name, err), timeout: ctx.Err() != nil}
	}
	return c, nil
}

func (s *server) connect(ctx context.Context) (*conn, error) {
	raw, secured, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	w := &counted{Conn: secured, raw: raw}
	now := s.cfg.Now()
	c := &conn{server: s, wire: w, ldap: ldap.NewConn(w, s.url.Scheme == "ldaps"), born: now, used: now}
	// Our own timer acts first; this one is for waits inside go-ldap.
	c.ldap.SetTimeout(2 * s.cfg.Timeout)
	c.ldap.Start()
	if s.startsTLS() {
		start := func(l *ldap.Conn) error { return l.StartTLS(s.cfg.tlsFor(s.url)) }
		if err := c.do(ctx, s.cfg.Timeout, start); err != nil {
			c.close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	return c, nil
}

// open makes a connection, with TLS if its URL says so, and returns what lies below
// that, too.
func (s *server) open(ctx context.Context) (raw, secured net.Conn, err error) {
	network, addr := s.address()
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	raw, err = dialer.DialContext(ctx, network, addr)
	if err != nil || s.url.Scheme != "ldaps" {
		return raw, raw, err
	}
	t := tls.Client(raw, s.cfg.tlsFor(s.url))
	if err := t.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, err
	}
	return raw, t, nil
}

func (s *server) startsTLS() bool { return s.cfg.StartTLS && s.url.Scheme == "ldap" }

// wire makes a connection for the replica, bound as the service account.
func (s *server) wire(ctx context.Context) (*wire.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	c, err := s.speak(ctx, maxEntry)
	if err != nil {
		return nil, err
	}
	if s.cfg.BindDN != "" {
		err = c.Bind(ctx, s.cfg.BindDN, s.cfg.BindPassword)
	}
	if err != nil {
		c.Close()
		return nil, &linkError{err: fmt.Errorf("connect to %s: %w", s.name, err), answered: true}
	}
	return c, nil
}

// speak makes an anonymous connection, under TLS if it is to be, on which no message
// may have more octets than largest.
func (s *server) speak(ctx context.Context, largest int) (*wire.Conn, error) {
	_, secured, err := s.open(ctx)
	if err != nil {
		return nil, &linkError{err: fmt.Errorf("connect to %s: %w", s.name, err), timeout: ctx.Err() != nil}
	}
	c := wire.New(secured, wire.Options{Timeout: s.cfg.Timeout, MaxMessage: largest})
	if s.startsTLS() {
		err = c.StartTLS(ctx, s.cfg.tlsFor(s.url))
	}
	if err != nil {
		c.Close()
		return nil, &linkError{err: fmt.Errorf("connect to %s: %w", s.name, err), timeout: ctx.Err() != nil}
	}
	return c, nil
}

// maxEntry is the size of the largest entry that is read, in octets: nothing that
// is asked for takes more.
const maxEntry = 1 << 20

func (s *server) address() (network, addr string) {
	switch s.url.Scheme {
	case "ldapi":
		return "unix", s.url.Path
	case "ldaps":
		return "tcp", net.JoinHostPort(s.url.Hostname(), or(s.url.Port(), "636"))
	}
	return "tcp", net.JoinHostPort(s.url.Hostname(), or(s.url.Port(), "389"))
}

// do runs one request. It returns when ctx or the timeout ends, whatever the
// request is waiting for, a write or a TLS handshake included, because the
// socket is closed under it. An error names the server and wraps what it
// answered, an [*ldap.Error], or is a [*linkError]; after the second the
// connection is broken.
func (c *conn) do(ctx context.Context, timeout time.Duration, request func(*ldap.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before := c.wire.read.Load()
	stop := context.AfterFunc(ctx, func() { c.wire.raw.Close() })
	err := request(c.ldap)
	c.used = c.server.cfg.Now()
	expired := !stop()
	if expired {
		c.broken = true
	}
	if err == nil {
		return nil
	}
	if isAnswer(err) {
		if answer := (*ldap.Error)(nil); errors.As(err, &answer) && answer.Err != nil {
			answer.Err = errors.New(oneLine(answer.Err.Error()))
		}
		return fmt.Errorf("%s: %w", c.server.name, err)
	}
	c.broken = true
	if expired {
		return &linkError{err: fmt.Errorf("no answer from %s: %w", c.server.name, context.Cause(ctx)), timeout: true}
	}
	return &linkError{err: fmt.Errorf("%s: %w", c.server.name, err), answered: c.wire.read.Load() != before}
}

// oneLine takes from the text of an answer what some servers end theirs with: a line
// feed, or the NUL of a string in C.
func oneLine(text string) string { return strings.Trim(text, " \t\r\n\x00") }

// isAnswer tells a result code of the server from those that go-ldap makes up,
// which begin at 200.
func isAnswer(err error) bool {
	var result *ldap.Error
	return errors.As(err, &result) && (result.ResultCode < 200 || result.ResultCode > 299)
}

func (c *conn) at() *server { return c.server }

// usable implements link.
func (c *conn) usable(now time.Time) bool {
	return !c.broken && !c.ldap.IsClosing() && now.Sub(c.born) < maxLife && now.Sub(c.used) < maxIdle
}

// open implements link: go-ldap reads all the time, and has noticed.
func (c *conn) open(time.Time) bool { return !c.ldap.IsClosing() }

func (c *conn) close() {
	c.broken = true
	c.wire.raw.Close()
	c.ldap.Close()
}

// Servers and firewalls drop connections that are idle, many after minutes.
const (
	maxLife = 30 * time.Minute
	maxIdle = time.Minute
)

// server is one of the servers of a directory.
type server struct {
	cfg    *Config
	url    *url.URL
	name   string // the URL, for people
	health health

	// See binder.asks.
	followed atomic.Bool // it tells of changes at the moment
	policies atomic.Bool // it has once answered about a password's policy
}

func newServers(c *Config) ([]*server, error) {
	var all []*server
	for _, raw := range c.URLs {
		u, err := parseServerURL(raw)
		if err != nil {
			return nil, err
		}
		s := &server{cfg: c, url: u, name: strings.TrimRight(raw, "/")}
		if len(c.URLs) > 1 {
			s.health.told = s.tell
		}
		all = append(all, s)
	}
	return all, nil
}

// tell logs that s is away, or back if err is nil. Of an only server the log
// has what becomes of following it.
func (s *server) tell(err error) {
	if err != nil {
		s.cfg.Log.Warn("directory server is not used for now", "url", s.name, "err", err)
		return
	}
	s.cfg.Log.Info("directory server is used again", "url", s.name)
}
