package main

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

// fake answers requests with what reply makes of them; nil is silence.
func fake(t *testing.T, reply func(n int64, p radius.Packet) []byte) (addr string, most *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	most = &atomic.Int64{}
	go func() {
		buffer := make([]byte, radius.MaxLen)
		var n int64
		for {
			got, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if p, err := radius.Check(buffer[:got]); err == nil {
				n++
				most.Store(n)
				if b := reply(n, p); b != nil {
					conn.WriteTo(b, from)
				}
			}
		}
	}()
	return conn.LocalAddr().String(), most
}

func answer(code layeh.Code, p radius.Packet, secret string) []byte {
	b, _, _ := radius.NewReply(code, p, []byte(secret))
	return b
}

func TestLoadCountsWhatComesBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		reply func(n int64, p radius.Packet) []byte
		want  outcome
	}{
		{"all as wanted", func(_ int64, p radius.Packet) []byte { return answer(layeh.CodeAccessAccept, p, sharedSecret) },
			outcome{Logins: 50}},
		{"some refused", func(n int64, p radius.Packet) []byte {
			if n%10 == 0 {
				return answer(layeh.CodeAccessReject, p, sharedSecret)
			}
			return answer(layeh.CodeAccessAccept, p, sharedSecret)
		}, outcome{Logins: 50, Wrong: 5}},
		{"a request lost", func(n int64, p radius.Packet) []byte {
			if n == 7 {
				return nil
			}
			return answer(layeh.CodeAccessAccept, p, sharedSecret)
		}, outcome{Logins: 50, Timeouts: 1}},
		{"a forged reply, then silence", func(n int64, p radius.Packet) []byte {
			if n == 7 {
				return answer(layeh.CodeAccessAccept, p, "another secret")
			}
			return answer(layeh.CodeAccessAccept, p, sharedSecret)
		}, outcome{Logins: 50, Bad: 1, Timeouts: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := fake(t, tt.reply)
			got, err := load(job{Server: addr, Outstanding: 8, Want: layeh.CodeAccessAccept,
				Logins: []span{{Count: 30, People: 100, Step: 1}, {Count: 20, People: 100, Step: 2}}})
			if err != nil {
				t.Fatal(err)
			}
			if got.P50 <= 0 || got.P99 < got.P50 || got.Max < got.P99 || got.Took <= 0 || got.CPU <= 0 {
				t.Errorf("times: %+v", got)
			}
			if got.Timeouts > 0 && got.Max < float64(patience.Microseconds()) {
				t.Errorf("a login that took %v has a latency of %v us", patience, got.Max)
			}
			got.Took, got.CPU, got.P50, got.P95, got.P99, got.Max = 0, 0, 0, 0, 0, 0
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// A server that waits until so many requests are there gets them, and no more.
func TestLoadKeepsExactlyKOutstanding(t *testing.T) {
	t.Parallel()
	const k = 8
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan error, 1)
	go func() {
		_, err := load(job{Server: conn.LocalAddr().String(), Outstanding: k, Want: layeh.CodeAccessAccept,
			Logins: []span{{Count: 5 * k, People: 100, Step: 1}}})
		done <- err
	}()
	buffer := make([]byte, radius.MaxLen)
	for range 5 {
		replies := map[net.Addr][]byte{}
		for range k {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				t.Fatal(err)
			}
			p, err := radius.Check(buffer[:n])
			if err != nil {
				t.Fatal(err)
			}
			replies[from] = answer(layeh.CodeAccessAccept, p, sharedSecret)
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := conn.ReadFrom(buffer); err == nil {
			t.Fatalf("more than %d outstanding", k)
		}
		conn.SetReadDeadline(time.Time{})
		for from, reply := range replies {
			conn.WriteTo(reply, from)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPacketsOfEachKind(t *testing.T) {
	digits, err := code(scattered(3, 10), 42)
	if err != nil {
		t.Fatal(err)
	}
	name := userName(scattered(3, 10))
	for _, tt := range []struct {
		kind                 kind
		name, password, from string
	}{
		{right, name, userPassword + digits, "desk of " + name},
		{again, name, userPassword + digits, "elsewhere"},
		{wrongCode, name, userPassword + string('0'+(digits[0]-'0'+5)%10) + digits[1:], "desk of " + name},
		{wrongPassword, name, userPassword + "?" + digits, "desk of " + name},
		{stranger, "x" + name, userPassword + digits, "desk of " + name},
	} {
		p, err := span{First: 3, Count: 1, People: 10, Step: 42, Kind: tt.kind}.packet(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.VerifyMessageAuthenticator([]byte(sharedSecret)); err != nil {
			t.Error(err)
		}
		user, _ := p.Lookup(1)
		hidden, _ := p.Lookup(2)
		from, _ := p.Lookup(31)
		password, err := radius.RevealPassword(hidden, []byte(sharedSecret), p.Authenticator())
		if err != nil || string(user) != tt.name || string(password) != tt.password || string(from) != tt.from {
			t.Errorf("kind %d: %q, %q, %q, %v", tt.kind, user, password, from, err)
		}
	}
}
