package radiusd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

func TestRejectDelay(t *testing.T) { // C93
	t.Run("counts from the arrival, whatever was checked", func(t *testing.T) {
		for _, took := range []time.Duration{0, 300 * time.Millisecond, 999 * time.Millisecond} {
			inBubble(t, slow(took, Reject), func(t *testing.T, r *rig) {
				r.silent(append(r.send(vpn, login(1, "alice", "pass")), r.later(time.Second-1)...))
				r.only(r.later(1), layeh.CodeAccessReject)
			})
		}
	})
	t.Run("is over when the decision took longer", func(t *testing.T) {
		inBubble(t, slow(2*time.Second, Reject), func(t *testing.T, r *rig) {
			r.silent(append(r.send(vpn, login(1, "alice", "pass")), r.later(2*time.Second-1)...))
			r.only(r.later(1), layeh.CodeAccessReject)
		})
	})
	t.Run("holds no worker", func(t *testing.T) {
		inBubbleWith(t, &Server{Workers: 1}, always(Reject), func(t *testing.T, r *rig) {
			for i := range 100 {
				r.silent(r.send(vpn, login(byte(i), "alice", "pass")))
			}
			if got := r.later(time.Second); len(got) != 100 {
				t.Errorf("%d rejects after a second, want 100", len(got))
			}
		})
	})
	t.Run("is bounded", func(t *testing.T) {
		inBubbleWith(t, &Server{Delayed: 3}, always(Reject), func(t *testing.T, r *rig) {
			for i := range 5 {
				r.silent(r.send(vpn, login(byte(i), "alice", "pass")))
			}
			if got := r.later(time.Second); len(got) != 3 || r.count("DropDelayedFull") != 2 {
				t.Errorf("%d rejects, %d dropped; want 3, 2", len(got), r.count("DropDelayedFull"))
			}
			r.send(vpn, login(9, "alice", "pass"))
			r.only(r.later(time.Second), layeh.CodeAccessReject)
		})
	})
}

func TestNoDecisionNoReply(t *testing.T) {
	for _, tt := range []struct {
		name string
		auth authFunc
		log  string
	}{
		{"error", func(context.Context, *Request) (Answer, error) {
			return Answer{Outcome: Accept}, errors.New("store is away")
		}, "store is away"},
		{"no outcome", always(0), "no outcome"},
		{"unknown outcome", always(17), "no outcome"},
		{"too much to keep", func(context.Context, *Request) (Answer, error) {
			return Answer{Outcome: Challenge, Keep: opaque.Text(strings.Repeat("x", MaxKeep+1))}, nil
		}, "145 octets to keep, want at most 144"},
		{"C92 panic", func(context.Context, *Request) (Answer, error) { panic("hunter2") }, "panic with a string"},
		{"C92 panic of the runtime", func(_ context.Context, q *Request) (Answer, error) {
			return Answer{Outcome: Accept, Message: q.UserName[len(q.UserName)+1:]}, nil
		}, "slice bounds out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbleWith(t, &Server{Workers: 1}, tt.auth, func(t *testing.T, r *rig) {
				p := login(1, "alice", "pass")
				for range 3 {
					r.silent(append(r.send(vpn, p), r.later(time.Second)...))
				}
				if r.asks() != 3 {
					t.Errorf("asked %d times, want 3: what was not decided is not pending", r.asks())
				}
				r.wantLog("level=ERROR", "no reply sent", "user=alice", "client=vpn", tt.log)
				if strings.Contains(r.log.String(), "hunter2") {
					t.Error("the value of the panic is in the log")
				}
				r.setAuth(always(Accept))
				r.one(vpn, p, layeh.CodeAccessAccept)
			})
		})
	}
}

func TestDeadline(t *testing.T) { // C91
	hang := func(ctx context.Context, _ *Request) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}
	inBubbleWith(t, &Server{Workers: 1, Deadline: 3 * time.Second}, hang, func(t *testing.T, r *rig) {
		first, second := login(1, "alice", "pass"), login(2, "bob", "pass")
		r.silent(r.send(vpn, first))
		r.silent(r.send(vpn, second)) // waits for the only worker, in vain
		r.silent(r.later(3*time.Second + deadlineStep - 1))
		if r.logged("cannot decide") {
			t.Error("gave up before the deadline")
		}
		r.silent(r.later(1))
		r.wantLog("cannot decide", "user=alice", "deadline exceeded", "took=3.1s")
		if r.asks() != 1 || r.count("DropTooOld") != 1 {
			t.Errorf("asked %d times, %d too old; want 1, 1", r.asks(), r.count("DropTooOld"))
		}
		r.setAuth(always(Accept))
		r.one(vpn, first, layeh.CodeAccessAccept)
		r.one(vpn, second, layeh.CodeAccessAccept)
	})
}

// As many logins as a slow directory may hold do not stop one that needs none.
func TestSlowLoginsLeaveWorkers(t *testing.T) {
	inBubble(t, slow(4*time.Second, Accept), func(t *testing.T, r *rig) {
		for i := range 500 {
			from := netip.AddrPortFrom(vpn.Addr(), vpn.Port()+uint16(i/250))
			r.silent(r.send(from, login(byte(i%250), "slow", "pass")))
		}
		r.setAuth(always(Accept))
		r.one(vpn6, login(1, "alice", "pass"), layeh.CodeAccessAccept)
	})
}

func TestOverload(t *testing.T) { // C90
	inBubbleWith(t, &Server{Workers: 1, Queue: 4, Patience: time.Minute}, twoRounds, func(t *testing.T, r *rig) {
		s := r.challenge(vpn, 0, "alice")
		var order []string
		r.setAuth(func(_ context.Context, q *Request) (Answer, error) {
			time.Sleep(time.Second)
			order = append(order, q.UserName)
			return Answer{Outcome: Accept}, nil
		})
		var dropped radius.Packet
		for i := 1; i <= 8; i++ { // one is worked on, four wait, three are dropped
			dropped = login(byte(i), "new", "pass")
			r.silent(r.send(vpn, dropped))
		}
		r.silent(r.send(vpn, login(9, "alice", "123456", state(s))))
		replies := r.later(10 * time.Second)
		if got := strings.Join(order, " "); got != "new alice new new new new" || len(replies) != 6 || r.count("DropQueueFull") != 3 {
			t.Errorf("decided %q, %d replies, %d dropped; want the challenged one next, 6, 3", got, len(replies), r.count("DropQueueFull"))
		}
		r.wantLog("level=WARN", "too many requests waiting")
		r.send(vpn, dropped) // is new work when sent again
		r.only(r.later(time.Second), layeh.CodeAccessAccept)
	})
}

func TestUnknownClient(t *testing.T) { // C20
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		for i := range 5 {
			r.silent(r.send(nobody, login(byte(i), "alice", "pass")))
		}
		r.later(time.Minute)
		r.silent(r.send(nobody, login(9, "alice", "pass")))
		if got := strings.Count(r.log.String(), "unknown client"); got != 2 || r.count("TotalInvalidRequests") != 6 {
			t.Errorf("%d log lines, %d counted; want one a minute, 2, and 6", got, r.count("TotalInvalidRequests"))
		}
	})
}

func TestSometimesIsBounded(t *testing.T) {
	s := newSometimes(time.Minute, 10)
	now := time.Now()
	allowed := 0
	addr := nobody.Addr()
	for range 100 {
		addr = addr.Next()
		if s.now(occasion{addr: addr}, now) {
			allowed++
		}
	}
	if allowed != 10 || len(s.last) != 10 {
		t.Errorf("%d allowed, %d remembered; want 10", allowed, len(s.last))
	}
	if !s.now(occasion{addr: addr}, now.Add(time.Minute)) {
		t.Error("nothing is allowed after a minute")
	}
}

func TestClientTable(t *testing.T) { // C21, C22
	client := func(name, prefix string) Client {
		return Client{Name: name, Prefix: netip.MustParsePrefix(prefix), Secret: opaque.Text("s"), Auth: always(Accept)}
	}
	table, err := newClientTable([]Client{
		client("all", "0.0.0.0/0"), client("net", "192.0.2.0/24"), client("host", "192.0.2.7/32"), client("odd", "192.0.2.9/25"),
		client("all6", "::/0"), client("net6", "2001:db8::/32"), client("host6", "2001:db8::7/128"), client("local", "fe80::/10"),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.7": "host", "192.0.2.8": "odd", "192.0.2.200": "net", "198.51.100.1": "all",
		"::ffff:192.0.2.7": "host", "2001:db8::7": "host6", "2001:db8::8": "net6", "2001:db9::": "all6",
		"fe80::1%eth0": "local",
	} {
		if got := table.lookup(netip.MustParseAddr(addr)); got == nil || got.Name != want {
			t.Errorf("client of %s is %v, want %s", addr, got, want)
		}
	}
	if got := (*clientTable)(nil).lookup(vpn.Addr()); got != nil {
		t.Errorf("no table has the client %v", got)
	}
}

func TestSetClientsRefuses(t *testing.T) {
	good := Client{Name: "a", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Secret: opaque.Text("s"), Auth: always(Accept)}
	change := func(f func(*Client)) []Client {
		c := good
		f(&c)
		return []Client{c}
	}
	for want, clients := range map[string][]Client{
		"name is required":        change(func(c *Client) { c.Name = "" }),
		"not invalid Prefix":      change(func(c *Client) { c.Prefix = netip.Prefix{} }),
		"not ::ffff:192.0.2.0":    change(func(c *Client) { c.Prefix = netip.MustParsePrefix("::ffff:192.0.2.0/120") }),
		"secret is empty":         change(func(c *Client) { c.Secret = opaque.Bytes{} }), // C25
		"nothing to authenticate": change(func(c *Client) { c.Auth = nil }),
		"negative reject delay":   change(func(c *Client) { c.RejectDelay = -1 }),
		"have the same network":   append(change(func(c *Client) { c.Prefix = netip.MustParsePrefix("192.0.2.1/24") }), good),
	} {
		var s Server
		if err := s.SetClients([]Client{good}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetClients(clients); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if c := s.clients.Load().lookup(vpn.Addr()); c == nil || c.Name != "a" {
			t.Errorf("%s: the clients have changed", want)
		}
	}
}

func TestReload(t *testing.T) { // C26
	inBubble(t, slow(time.Second, Accept), func(t *testing.T, r *rig) {
		r.silent(r.send(vpn, login(1, "alice", "pass")))
		if err := r.SetClients(r.clients()[1:]); err != nil {
			t.Fatal(err)
		}
		r.silent(r.send(vpn, login(2, "alice", "pass")))
		r.only(r.later(time.Second), layeh.CodeAccessAccept)
		if err := r.SetClients(r.clients()); err != nil {
			t.Fatal(err)
		}
		r.send(vpn, login(3, "alice", "pass"))
		r.only(r.later(time.Second), layeh.CodeAccessAccept)
	})
}

func TestStatusServer(t *testing.T) { // C100
	ready := error(nil)
	server := &Server{Ready: func() error { return ready }}
	inBubbleWith(t, server, always(Accept), func(t *testing.T, r *rig) {
		status := func(i int) radius.Packet { return signed(layeh.CodeStatusServer, byte(i), attr(33, "p")) }
		r.one(vpn, status(1), layeh.CodeAccessAccept)
		r.only(r.sendTo(r.acct, vpn, status(1)), layeh.CodeAccountingResponse)
		r.silent(r.send(vpn, packet(layeh.CodeStatusServer, 2)))
		r.silent(r.send(old, packet(layeh.CodeStatusServer, 2))) // also where logins need none
		bad := status(3)
		bad[22] ^= 1
		r.silent(r.send(vpn, bad))
		ready = errors.New("directory is away")
		r.silent(r.send(vpn, status(4)))
		ready = nil
		r.one(vpn, status(4), layeh.CodeAccessAccept)
		if r.asks() != 0 || r.logged("msg=decision") {
			t.Error("Status-Server was treated as a login")
		}

		r.later(time.Minute)
		answered := 0
		for i := range 50 {
			answered += len(r.send(vpn, status(i)))
		}
		if answered != statusRate || r.count("DropStatusRate") != 50-statusRate {
			t.Errorf("%d of 50 answered at once, want %d", answered, statusRate)
		}
		r.later(time.Second)
		r.one(vpn, status(51), layeh.CodeAccessAccept)
	})
}

func accountingRequest(identifier byte, attributes ...radius.Attribute) []byte {
	p, err := (&layeh.Packet{Code: layeh.CodeAccountingRequest, Identifier: identifier, Secret: []byte(testSecret),
		Attributes: func() (as layeh.Attributes) {
			for _, a := range attributes {
				as.Add(a.Type, layeh.Attribute(a.Value))
			}
			return as
		}()}).Encode()
	if err != nil {
		panic(err)
	}
	return p
}

func TestAccounting(t *testing.T) { // C101
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		p := accountingRequest(1, user("alice"), attr(33, "b"), attr(33, "a"))
		for range 2 {
			reply := r.only(r.sendTo(r.acct, vpn, p), layeh.CodeAccountingResponse)
			if got := len(reply); got != 20+6 {
				t.Errorf("Accounting-Response has %d octets, want Proxy-State and no more", got)
			}
		}
		r.silent(r.sendTo(r.acct, nobody, p))
		r.silent(r.send(vpn, p)) // the wrong port
		padded := append(append([]byte{}, p...), 0, 0, 0, 0)
		r.only(r.sendTo(r.acct, vpn, padded), layeh.CodeAccountingResponse)
		p[5] ^= 1
		r.silent(r.sendTo(r.acct, vpn, p))
		r.wantLog("level=WARN", "accounting does not verify", "client=vpn")
		if r.count("TotalAcctRequests") != 4 || r.count("TotalAcctResponses") != 3 {
			t.Errorf("counted %d requests, %d responses; want 4, 3", r.count("TotalAcctRequests"), r.count("TotalAcctResponses"))
		}
	})
}

func TestServeRefusesABadStateKey(t *testing.T) {
	s := Server{StateKey: opaque.Text("short")}
	if err := s.Serve(newFakeConn()); err == nil || !strings.Contains(err.Error(), "want 32 octets, not 5") {
		t.Errorf("got %v", err)
	}
}

func TestServeReturnsWhenItsConnectionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Server
		t.Cleanup(func() { s.Shutdown(context.Background()) })
		conn := newFakeConn()
		conn.SetReadDeadline(time.Time{}) // every read fails from now on
		before := time.Now()
		if err := s.Serve(conn); err == nil {
			t.Error("no error")
		}
		if took := time.Since(before); took < time.Second/2 {
			t.Errorf("gave up after %v; a fault that passes should be survived", took)
		}
	})
}

// Every password, code, secret and State must stay out of the log at its most
// talkative.
func TestLogHoldsNoSecrets(t *testing.T) {
	inBubble(t, twoRounds, func(t *testing.T, r *rig) {
		s := r.challenge(vpn, 1, "alice")
		r.send(vpn, login(2, "alice", "654321", state(s)))
		r.later(time.Second)
		r.send(vpn, login(3, "alice", "123456", state(s)))
		r.setAuth(func(_ context.Context, q *Request) (Answer, error) { return Answer{}, fmt.Errorf("cannot check %v", q) })
		r.send(vpn, login(4, "alice", "pass-word"))
		r.setAuth(func(_ context.Context, q *Request) (Answer, error) { panic(string(q.Typed.Reveal())) })
		r.send(vpn, login(5, "alice", "pass-word"))
		r.send(old, unsignedLogin(6, "alice", "pass-\x01word"))
		r.send(vpn, packet(layeh.CodeAccessRequest, 7, user("alice"), password("pass-word")))
		r.later(time.Second)
		for _, leak := range []string{"pass-", "123456", "654321", testSecret, s, string(testKey.Reveal())} {
			if strings.Contains(r.log.String(), leak) {
				t.Errorf("the log holds %q:\n%s", leak, r.log)
			}
		}
	})
}
