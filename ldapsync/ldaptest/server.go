package ldaptest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Server is a scripted server.
type Server struct {
	Addr string         // host:port on loopback
	URL  string         // ldap://Addr
	CA   *x509.CertPool // for StartTLS, as 127.0.0.1

	t        testing.TB
	listener net.Listener
	tls      *tls.Config
	scripts  []func(*Conn)
	accepted atomic.Int64
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	closed bool
}

// Serve starts a server on a free port of loopback. The first connection goes
// to the first script, and so on; the last script gets all that come later. A
// connection is closed when its script returns or the client has gone, and at
// the end of t.
func Serve(t testing.TB, scripts ...func(*Conn)) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, listener: l, scripts: scripts, Addr: l.Addr().String(), URL: "ldap://" + l.Addr().String()}
	s.tls, s.CA = Certificate(t)
	t.Cleanup(s.stop)
	s.running.Go(s.accept)
	return s
}

// Accepted returns how many connections there have been.
func (s *Server) Accepted() int { return int(s.accepted.Load()) }

// Dial connects to s. The connection is closed at the end of the test.
func (s *Server) Dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *Server) stop() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		script := s.scripts[min(int(s.accepted.Add(1)), len(s.scripts))-1]
		if s.keep(c) {
			s.running.Go(func() {
				defer c.Close()
				script(&Conn{Conn: c, server: s})
			})
		}
	}
}

// keep has c closed at the end, which may be now.
func (s *Server) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns = append(s.conns, c)
	return true
}
