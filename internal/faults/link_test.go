package faults

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// manner is how a link treats connections. The zero manner passes all on.
type manner struct {
	cut   bool          // refuses, and resets what there is
	hold  bool          // accepts, and keeps back whatever is sent until it is healed
	deaf  bool          // keeps back the answers alone
	delay time.Duration // of each read, in both directions
}

// link is a TCP proxy between two parts. What it held back goes on when it is
// healed, as after a real partition, or the connection is reset: by lot.
type link struct {
	to       string
	who      func(net.Conn) string // the caller's name, "" where it is not known; nil where there is one only
	listener net.Listener

	mu      sync.Mutex // guards what follows
	random  *rand.Rand
	manners map[string]manner
	changed chan struct{} // closed at the next change
	conns   map[*linked]bool
	closed  bool
}

// linked is a connection through a link.
type linked struct {
	from string
	near net.Conn
	gone chan struct{}
	once sync.Once
}

func newLink(t testing.TB, to string, seed uint64, who func(net.Conn) string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{to: to, who: who, listener: listener, random: rand.New(rand.NewPCG(seed, 1)),
		manners: map[string]manner{}, changed: make(chan struct{}), conns: map[*linked]bool{}}
	go l.accept()
	t.Cleanup(l.close)
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

// set changes how callers of that name are treated from now on.
func (l *link) set(from string, m manner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.manners[from]
	l.manners[from] = m
	close(l.changed)
	l.changed = make(chan struct{})
	healed := (was.hold || was.deaf) && !m.hold && !m.deaf
	for c := range l.conns {
		if c.from == from && (m.cut || healed && l.random.IntN(2) == 0) {
			c.reset()
		}
	}
}

func (l *link) manner(from string) (manner, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.manners[from], l.changed
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.serve(near)
	}
}

func (l *link) serve(near net.Conn) {
	c := &linked{near: near, gone: make(chan struct{})}
	if l.who != nil {
		c.from = l.who(near)
	}
	defer c.end()
	// Who is not known would get through whatever is done to it.
	if l.who != nil && c.from == "" || !l.enter(c) {
		c.reset()
		return
	}
	defer l.leave(c)
	if !l.pass(c, false) {
		return
	}
	away, err := net.DialTimeout("tcp", l.to, 5*time.Second)
	if err != nil {
		return
	}
	defer away.Close()
	go func() {
		defer c.end()
		l.pump(c, away, near, true)
	}()
	l.pump(c, near, away, false)
}

func (l *link) enter(c *linked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.manners[c.from].cut {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) leave(c *linked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *link) pump(c *linked, from, to net.Conn, answers bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !l.pass(c, answers) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until something may go through, and returns false where the
// connection has ended before.
func (l *link) pass(c *linked, answers bool) bool {
	for {
		m, changed := l.manner(c.from)
		var delayed <-chan time.Time
		if !m.hold && !(m.deaf && answers) {
			if m.delay == 0 {
				return !c.isGone()
			}
			delayed, changed = time.After(m.delay), nil
		}
		select {
		case <-delayed:
			return !c.isGone()
		case <-changed:
		case <-c.gone:
			return false
		}
	}
}

// reset ends the connection as a router does that has forgotten it.
func (c *linked) reset() {
	if tcp, ok := c.near.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.end()
}

func (c *linked) end() {
	c.once.Do(func() {
		close(c.gone)
		c.near.Close()
	})
}

func (c *linked) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

func (l *link) close() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		c.reset()
	}
}
