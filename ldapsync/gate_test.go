package ldapsync

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// gate is a relay to a server. It can be shut, so that the server is away for who
// comes through it, and it counts what the server sends.
type gate struct {
	url     string
	octets  atomic.Int64 // from the server
	through atomic.Int64 // connections

	mu    sync.Mutex // guards what follows
	shut  bool
	conns []net.Conn
	at    int64 // octets after which to call
	call  func()
}

func gateTo(t testing.TB, url string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{url: "ldap://" + l.Addr().String()}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { g.relay(c, strings.TrimPrefix(url, "ldap://")) })
		}
	})
	t.Cleanup(func() { l.Close(); g.close(); wait.Wait() })
	return g
}

// close cuts all connections and lets no more through.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// after calls f, once, when the server has sent so many octets more.
func (g *gate) after(octets int64, f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.call = g.octets.Load()+octets, f
}

func (g *gate) keep(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.conns = append(g.conns, conns...)
	return true
}

func (g *gate) relay(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	if !g.keep(client, server) {
		return
	}
	g.through.Add(1)
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, counting{server, g})
}

type counting struct {
	io.Reader
	gate *gate
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	total := c.gate.octets.Add(int64(n))
	c.gate.mu.Lock()
	call := c.gate.call
	if call == nil || total < c.gate.at {
		call = func() {}
	} else {
		c.gate.call = nil
	}
	c.gate.mu.Unlock()
	call()
	return n, err
}
