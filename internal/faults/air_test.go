package faults

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// weather is what happens to datagrams, in both directions alike. The zero
// weather is fair.
type weather struct {
	loss, again float64       // chances that one is lost, or comes twice
	delay       time.Duration // the longest; each waits for a time of its own, so they overtake one another
}

// air is a UDP proxy between appliances and a server. Each socket of an appliance
// has one of its own there, with the address from that the server knows the
// appliance by.
type air struct {
	to    *net.UDPAddr
	from  net.IP
	front *net.UDPConn

	mu      sync.Mutex // guards what follows
	random  *rand.Rand
	weather weather
	backs   map[netip.AddrPort]*net.UDPConn
}

func newAir(t testing.TB, to string, from net.IP, seed uint64) *air {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	front.SetReadBuffer(1 << 20)
	a := &air{to: addr, from: from, front: front, random: rand.New(rand.NewPCG(seed, 2)), backs: map[netip.AddrPort]*net.UDPConn{}}
	go a.forth()
	t.Cleanup(a.close)
	return a
}

func (a *air) addr() string { return a.front.LocalAddr().String() }

func (a *air) set(w weather) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.weather = w
}

func (a *air) forth() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := a.front.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if back := a.back(from); back != nil {
			a.carry(buffer[:n], func(b []byte) { back.Write(b) })
		}
	}
}

func (a *air) back(from netip.AddrPort) *net.UDPConn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if back := a.backs[from]; back != nil {
		return back
	}
	back, err := net.DialUDP("udp", &net.UDPAddr{IP: a.from}, a.to)
	if err != nil {
		return nil
	}
	a.backs[from] = back
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := back.Read(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil { // or nobody listens, for now
				a.carry(buffer[:n], func(b []byte) { a.front.WriteToUDPAddrPort(b, from) })
			}
		}
	}()
	return back
}

// carry sends a datagram as the weather has it.
func (a *air) carry(datagram []byte, send func([]byte)) {
	for _, delay := range a.draw() {
		if delay == 0 {
			send(datagram)
			continue
		}
		kept := append([]byte(nil), datagram...)
		time.AfterFunc(delay, func() { send(kept) })
	}
}

// draw returns how long each copy of a datagram takes.
func (a *air) draw() (copies []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 1
	if a.random.Float64() < a.weather.again {
		n = 2
	}
	for range n {
		if a.random.Float64() < a.weather.loss {
			continue
		}
		delay := time.Duration(0)
		if a.weather.delay > 0 {
			delay = time.Duration(a.random.Int64N(int64(a.weather.delay)))
		}
		copies = append(copies, delay)
	}
	return copies
}

func (a *air) close() {
	a.front.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, back := range a.backs {
		back.Close()
	}
}
