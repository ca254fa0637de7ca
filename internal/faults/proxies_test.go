package faults

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// A fault that the proxies do not bring about would be survived by anything.
func TestLink(t *testing.T) {
	t.Parallel()
	l := newLink(t, echo(t), 1, func(net.Conn) string { return "me" })
	answers := func(c net.Conn, within time.Duration) bool {
		c.Write([]byte("x"))
		c.SetReadDeadline(time.Now().Add(within))
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const long, moment = 10 * time.Second, 100 * time.Millisecond
	c := dial()
	if !answers(c, long) {
		t.Fatal("no answer through a link without a fault")
	}
	l.set("you", manner{cut: true})
	if !answers(c, long) {
		t.Error("what is done to others cuts this connection")
	}
	for _, m := range []manner{{hold: true}, {deaf: true}} {
		l.set("me", m)
		for _, c := range []net.Conn{c, dial()} {
			if answers(c, moment) {
				t.Errorf("%+v: an answer", m)
			}
		}
		l.set("me", manner{})
		if c = dial(); !answers(c, long) {
			t.Errorf("%+v: no answer after it was healed", m)
		}
	}
	l.set("me", manner{delay: moment})
	if began := time.Now(); !answers(c, long) || time.Since(began) < 2*moment {
		t.Error("not delayed in both directions")
	}
	l.set("me", manner{cut: true})
	c.SetReadDeadline(time.Now().Add(long))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a cut connection goes on")
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("a cut connection is not reset")
	}
	if c, err := net.Dial("tcp", l.addr()); err == nil {
		defer c.Close()
		if answers(c, moment) {
			t.Error("a new connection through a link that is cut")
		}
	}
}

// A caller that nobody knows could not be kept from anything.
func TestLinkRefusesStrangers(t *testing.T) {
	t.Parallel()
	l := newLink(t, echo(t), 1, func(net.Conn) string { return "" })
	c, err := net.Dial("tcp", l.addr())
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte("x"))
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 {
		t.Error("a stranger gets an answer")
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("a stranger's connection is left open")
	}
}

// What was sent while a link held it back arrives later, or the connection ends.
func TestLinkHealed(t *testing.T) {
	t.Parallel()
	l := newLink(t, echo(t), 1, nil)
	kept, ended := 0, 0
	for range 40 {
		c, err := net.Dial("tcp", l.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("a"))
		io.ReadFull(c, make([]byte, 1))
		l.set("", manner{hold: true})
		c.Write([]byte("b"))
		l.set("", manner{})
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err == nil && b[0] == 'b' {
			kept++
		} else {
			ended++
		}
	}
	if kept == 0 || ended == 0 {
		t.Errorf("%d connections went on and %d ended, want some of both", kept, ended)
	}
}

func TestAir(t *testing.T) {
	t.Parallel()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	from := net.IPv4(127, 0, 0, 2)
	a := newAir(t, server.LocalAddr().String(), from, 1)
	c, err := net.Dial("udp", a.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// come returns how many of n datagrams come in the end, and whether in order.
	come := func(n int, w weather) (got int, ordered bool) {
		a.set(w)
		for i := range n {
			c.Write([]byte{byte(i)})
		}
		ordered = true
		for b, last := make([]byte, 10), -1; ; got++ {
			server.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
			_, who, err := server.ReadFromUDP(b)
			if err != nil {
				return got, ordered
			}
			if !who.IP.Equal(from) {
				t.Fatalf("a datagram from %v, want %v", who.IP, from)
			}
			ordered, last = ordered && int(b[0]) > last, int(b[0])
		}
	}
	for _, tt := range []struct {
		name    string
		weather weather
		least   int
		most    int
		ordered bool
	}{
		{"fair", weather{}, 100, 100, true},
		{"all lost", weather{loss: 1}, 0, 0, true},
		{"some lost", weather{loss: 0.3}, 30, 95, true},
		{"all twice", weather{again: 1}, 200, 200, false},
		{"late", weather{delay: 100 * time.Millisecond}, 100, 100, false},
	} {
		if got, ordered := come(100, tt.weather); got < tt.least || got > tt.most || ordered != tt.ordered {
			t.Errorf("%s: %d of 100 came, in order: %v", tt.name, got, ordered)
		}
	}
}

// The suite has to know who is at the other end of a connection.
func TestSocketOf(t *testing.T) {
	t.Parallel()
	c, err := net.Dial("tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var socket string
	testenv.Eventually(t, "the socket to be found", func() bool {
		socket = socketOf(c.LocalAddr().(*net.TCPAddr)) // the kernel's list can leave one out while others come and go
		return socket != "" && holds(syscall.Getpid(), socket)
	})
	if holds(1, socket) {
		t.Error("another process has our socket")
	}
}

// echo returns the address of a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	return listener.Addr().String()
}
