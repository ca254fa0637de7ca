package radiusd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/loglines"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// BenchmarkServer is the way of an accepted login through loopback UDP, with an
// Authenticator that says yes. The logins come from another process; processor
// time and allocations are the server's alone. Log lines go where they cost a
// system call, as those of a server do.
func BenchmarkServer(b *testing.B) {
	for _, outstanding := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("outstanding=%d", outstanding), func(b *testing.B) { benchmark(b, outstanding, true) })
	}
	b.Run("outstanding=64,nolog", func(b *testing.B) { benchmark(b, 64, false) })
}

func benchmark(b *testing.B, outstanding int, log bool) {
	s := &Server{}
	if log {
		s.Log = logToNull(b)
	}
	bound := serveUDP(b, s, always(Accept), "127.0.0.1:0")
	g := startLoad(b, load{Server: bound[0].String(), Logins: b.N, Outstanding: outstanding, Sockets: 4})
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	r := g.run(b)
	spent := processorTime(b) - before
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(spent.Nanoseconds())/1e3/float64(b.N), "cpu-µs/login")
	b.ReportMetric(float64(r.P50.Microseconds()), "p50-µs")
	b.ReportMetric(float64(r.P99.Microseconds()), "p99-µs")
	if r.Lost > 0 {
		b.Errorf("%d of %d had to be sent again", r.Lost, b.N)
	}
}

func logToNull(t testing.TB) *slog.Logger {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	lines := loglines.NewWriter(null)
	t.Cleanup(func() { lines.Close(); null.Close() })
	return slog.New(loglines.Handler(slog.NewTextHandler(lines, nil), lines))
}

// BenchmarkOverload asks for ten times what an Authenticator can decide, for
// some seconds, and compares what is accepted with what is at most. It takes as long
// whatever the number of iterations.
func BenchmarkOverload(b *testing.B) {
	auth := newNarrow(16, 10*time.Millisecond, 272)
	s := &Server{Log: logToNull(b)}
	bound := serveUDP(b, s, auth, "127.0.0.1:0")
	const seconds = 6
	g := startLoad(b, load{Server: bound[0].String(), Logins: 2 * auth.capacity(time.Second), Outstanding: 64, Sockets: 4})
	begun := time.Now()
	g.run(b)
	peak := float64(2*auth.capacity(time.Second)) / time.Since(begun).Seconds()
	g = startLoad(b, load{Server: bound[0].String(), Rate: 10 * auth.capacity(time.Second), Seconds: seconds, Sockets: 512})
	before := processorTime(b)
	r := g.run(b)
	spent := processorTime(b) - before
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(r.Accepted)/seconds/peak, "of-peak")
	b.ReportMetric(float64(r.Sent)/seconds, "datagrams/s")
	b.ReportMetric(float64(spent.Nanoseconds())/1e3/float64(r.Sent), "cpu-µs/datagram")
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MiB")
	if r.Other > 0 {
		b.Errorf("%d were answered otherwise", r.Other)
	}
}

// processorTime is what this process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLogin is what BenchmarkServer is without the network: what a login
// costs in this process. Users and sources are many, so that caches are as cold as
// in a building full of people.
func BenchmarkLogin(b *testing.B) {
	b.Run("log", func(b *testing.B) { benchmarkLogin(b, slog.New(slog.NewTextHandler(io.Discard, nil))) })
	b.Run("nolog", func(b *testing.B) { benchmarkLogin(b, nil) })
}

func benchmarkLogin(b *testing.B, log *slog.Logger) {
	const people, together = 1 << 14, 64
	const each = replyTTL / 50_000 // so many are in the duplicate cache
	var later atomic.Int64
	s := &Server{Log: log, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
	client := Client{Name: "vpn", Prefix: netip.MustParsePrefix("0.0.0.0/0"), Secret: opaque.Text(testSecret), Auth: always(Accept)}
	client.RequireMessageAuthenticator = true
	if err := errors.Join(s.SetClients([]Client{client}), s.start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Shutdown(context.Background()) })
	var replies sync.WaitGroup
	socket := newSocket(countingConn{newFakeConn(), &replies}, 1)
	packets := make([]radius.Packet, people)
	for i := range packets {
		packets[i] = login(byte(i), fmt.Sprintf("user%06d", i), "a password and 123456", attr(32, "vpn.example.org"), attr(31, "203.0.113.7"))
	}
	info := make([]byte, 28)
	n := 0
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if n%together == 0 {
			replies.Wait()
			replies.Add(together)
		}
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], uint32(n+1))
		later.Add(int64(each))
		s.receive(packets[n*7919%people], peer{socket: socket, addr: netip.AddrPortFrom(netip.AddrFrom4(addr), 50000), info: info}, authPort)
		n++
	}
	for left := n; left%together != 0; left++ {
		replies.Done()
	}
	replies.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1e3/float64(n), "cpu-µs/login")
	if got := s.Counters()["TotalAccessAccepts"]; got != uint64(n) {
		b.Errorf("%d accepted of %d", got, n)
	}
}

// countingConn counts replies, and throws them away.
type countingConn struct {
	*fakeConn
	replies *sync.WaitGroup
}

func (c countingConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.replies.Done()
	return len(b), nil
}
