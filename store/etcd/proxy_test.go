package etcd

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a store and a node.
type proxy struct {
	url  string
	mute atomic.Bool // the store's requests arrive, but no answer gets back
	deaf atomic.Bool // the store's requests go nowhere

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "http://" + l.Addr().String()}
	var done sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		p.cut()
		done.Wait()
	})
	done.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			done.Go(func() { carry(far, near, &p.deaf) })
			done.Go(func() { carry(near, far, &p.mute) })
		}
	})
	return p
}

func carry(to, from net.Conn, lose *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if lose.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
