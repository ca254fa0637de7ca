package radiusd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// narrow is an Authenticator in front of a directory that does some binds at
// once, each of which takes as long. Who waits for one waits in turn. A login
// with "pass" is challenged, without a bind.
type narrow struct {
	binds   chan struct{}
	each    time.Duration
	callers chan struct{} // who finds it full is not answered
}

func newNarrow(atOnce int, each time.Duration, callers int) *narrow {
	return &narrow{binds: make(chan struct{}, atOnce), each: each, callers: make(chan struct{}, callers)}
}

// capacity is how many logins it decides in some time.
func (n *narrow) capacity(in time.Duration) int { return cap(n.binds) * int(in/n.each) }

func (n *narrow) Authenticate(ctx context.Context, r *Request) (Answer, error) {
	if !r.Challenged && string(r.Typed.Reveal()) == "pass" {
		return Answer{Outcome: Challenge}, nil
	}
	select {
	case n.callers <- struct{}{}:
		defer func() { <-n.callers }()
	default:
		return Answer{}, errors.New("too many at once")
	}
	select {
	case n.binds <- struct{}{}:
		defer func() { <-n.binds }()
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	time.Sleep(n.each)
	return Answer{Outcome: Accept}, nil
}

// appliances send logins, each again some times until there is an answer.
type appliances struct {
	conn    *fakeConn
	every   time.Duration // from a copy to the next, or to giving up
	tries   int
	logins  int
	waiting map[sender]*asking
	due     []*asking // in the order in which they are sent again
}

// sender is what tells requests apart.
type sender struct {
	addr       netip.AddrPort
	identifier byte
}

type asking struct {
	sender
	user     string
	packet   radius.Packet
	first    time.Time
	again    time.Time
	sent     int
	answered bool
	done     func(q *asking, reply radius.Packet) // nil if it was given up
}

func (a *appliances) ask(user, pass string, done func(*asking, radius.Packet), more ...radius.Attribute) {
	from := sender{netip.AddrPortFrom(vpn.Addr(), uint16(1024+a.logins/256)), byte(a.logins)}
	a.logins++
	q := &asking{sender: from, user: user, packet: login(from.identifier, user, pass, more...), first: time.Now(), done: done}
	a.waiting[from] = q
	a.send(q)
}

func (a *appliances) send(q *asking) {
	q.sent++
	q.again = time.Now().Add(a.every)
	a.due = append(a.due, q)
	select {
	case a.conn.in <- fakeDatagram{q.packet, net.UDPAddrFromAddrPort(q.addr)}:
	default: // a full socket drops it too
	}
}

// step takes what has come and sends again what has not.
func (a *appliances) step() {
	for _, d := range a.conn.sent() {
		p := radius.Packet(d.octets)
		from := sender{d.addr.(*net.UDPAddr).AddrPort(), p.Identifier()}
		if q := a.waiting[from]; q != nil {
			delete(a.waiting, from)
			q.answered = true
			q.done(q, p)
		}
	}
	for len(a.due) > 0 && !a.due[0].again.After(time.Now()) {
		q := a.due[0]
		a.due = a.due[1:]
		switch {
		case q.answered:
		case q.sent < a.tries:
			a.send(q)
		default:
			delete(a.waiting, q.sender)
			q.done(q, nil)
		}
	}
}

// pending returns how many requests are held that are not answered.
func (d *dedupe) pending() (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		n += len(s.places)
		for p := s.oldest; p != 0; p = s.entries[p].newer {
			n--
		}
		s.mu.Unlock()
	}
	return n
}

// C90: at ten times what can be decided, more than four fifths of what can be
// is, while somebody waits for it; whoever has been challenged is answered;
// nobody is rejected; memory stays bounded.
func TestTenTimesTheCapacity(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, tt := range []struct {
		name    string
		atOnce  int
		each    time.Duration
		callers int
		every   time.Duration
		tries   int
	}{
		{"a slow directory", 16, 80 * time.Millisecond, 1000, 3 * time.Second, 3},
		{"a slow directory, and appliances that ask once", 16, 80 * time.Millisecond, 1000, 2 * time.Second, 1},
		{"a slow directory that refuses who would wait long", 16, 80 * time.Millisecond, 272, 3 * time.Second, 3},
		{"a quick directory that refuses who would wait at all", 4, 20 * time.Millisecond, 70, 3 * time.Second, 3},
		{"a very slow directory", 8, 200 * time.Millisecond, 1000, 3 * time.Second, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tenTimes(t, newNarrow(tt.atOnce, tt.each, tt.callers), &appliances{every: tt.every, tries: tt.tries})
			})
		})
	}
}

func tenTimes(t *testing.T, auth *narrow, a *appliances) {
	s := &Server{}
	if err := s.SetClients([]Client{{Name: "vpn", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Secret: opaque.Text(testSecret), Auth: auth,
		RequireMessageAuthenticator: true, Challenge: true, RejectDelay: time.Second}}); err != nil {
		t.Fatal(err)
	}
	conn := newFakeConn()
	go s.Serve(conn)
	defer s.Shutdown(t.Context())
	a.conn, a.waiting = conn, map[sender]*asking{}

	const lasts, step = 8 * time.Second, 5 * time.Millisecond
	const steps = int(lasts / step)
	count := map[string]int{}
	var took []time.Duration
	decided := func(what string) func(*asking, radius.Packet) {
		return func(q *asking, reply radius.Packet) {
			switch {
			case reply == nil:
				count[what+" given up"]++
			case reply.Code() != layeh.CodeAccessAccept:
				count["not accepted"]++
			default:
				count[what]++
				count["accepted"]++
				took = append(took, time.Since(q.first)%a.every) // since it was sent last
			}
		}
	}
	type challenge struct {
		user  string
		state string
	}
	var challenges []challenge
	for i := range auth.capacity(lasts) / 10 {
		a.ask(fmt.Sprint("challenged", i), "pass", func(q *asking, reply radius.Packet) {
			state, _ := reply.Lookup(rfc2865.State_Type)
			challenges = append(challenges, challenge{q.user, string(state)})
		})
		if i%100 == 0 {
			time.Sleep(step)
		}
	}
	time.Sleep(challengeDelay)
	a.step()
	asked := len(challenges)

	pending := 0
	begun := time.Now()
	for n := range steps {
		for range perStep(10*auth.capacity(lasts), n, steps) {
			a.ask(fmt.Sprint("user", a.logins), "pass 123456", decided("fresh"))
		}
		// Not at first: the Authenticator is full of those who came when
		// nobody knew that it is slow.
		for range perStep(asked, max(0, n-steps/2), steps/2) {
			c := challenges[0]
			challenges = challenges[1:]
			a.ask(c.user, "123456", decided("challenged"), radius.Attribute{Type: rfc2865.State_Type, Value: []byte(c.state)})
		}
		time.Sleep(step)
		a.step()
		pending = max(pending, s.dedupe.pending())
	}
	goodput := float64(count["accepted"]) / float64(auth.capacity(time.Since(begun)))
	for range int(10 * time.Second / step) { // nothing new; what was asked is answered or given up
		time.Sleep(step)
		a.step()
	}
	slices.Sort(took)
	t.Logf("goodput %.2f, half within %v, all but one in a hundred %v, %v", goodput, took[len(took)/2], took[len(took)*99/100], count)
	if goodput < 0.8 {
		t.Errorf("%.2f of the capacity was used, want over 0.80", goodput)
	}
	if half := took[len(took)/2]; half > 1500*time.Millisecond {
		t.Errorf("half of the answers took over %v, want those who came last served first", half)
	}
	if count["challenged"] != asked || asked == 0 {
		t.Errorf("%d of %d that were challenged were answered, want all", count["challenged"], asked)
	}
	// Each of them costs as much as an answer, and a line in the log.
	if refused := s.Counters()["DropCannotDecide"]; int(refused) > count["accepted"] {
		t.Errorf("%d were refused by the Authenticator, and %d accepted; want fewer refused", refused, count["accepted"])
	}
	if most := 512 + 2*1024; pending > most {
		t.Errorf("%d requests were held at once, want at most %d", pending, most)
	}
	if count["not accepted"] > 0 {
		t.Errorf("%d replies that are no accept", count["not accepted"])
	}
}

// perStep is the share of step n of all that is spread over a number of steps.
func perStep(all, n, steps int) int { return all*(n+1)/steps - all*n/steps }

// However many logins hang, whoever has been challenged is served.
func TestWorkersAreReservedForTheChallenged(t *testing.T) {
	inBubbleWith(t, &Server{Workers: 16}, twoRounds, func(t *testing.T, r *rig) {
		s := r.challenge(vpn, 0, "alice")
		r.setAuth(slow(4*time.Second, Accept))
		for i := range 20 {
			r.silent(r.send(vpn, login(byte(1+i), "slow", "pass")))
		}
		r.setAuth(always(Accept))
		r.one(vpn, login(100, "alice", "123456", state(s)), layeh.CodeAccessAccept)
	})
}

// A client that sends a request again that still waits has not given up: it
// waits as long again.
func TestRetransmissionIsWanted(t *testing.T) {
	inBubbleWith(t, &Server{Workers: 1}, slow(1500*time.Millisecond, Accept), func(t *testing.T, r *rig) {
		r.silent(r.send(vpn, login(1, "alice", "pass")))
		again := login(2, "bob", "pass")
		r.silent(r.send(vpn, again))
		r.silent(r.send(vpn, login(3, "carol", "pass")))
		r.silent(r.later(900 * time.Millisecond))
		r.silent(r.send(vpn, again))
		r.later(time.Minute)
		if r.asks() != 2 || r.last().UserName != "bob" || r.count("DropTooOld") != 1 {
			t.Errorf("asked %d times, last about %q, %d too old; want 2, bob, 1", r.asks(), r.last().UserName, r.count("DropTooOld"))
		}
	})
}

// When no more can be queued, what is new is dropped before its
// Message-Authenticator is looked at; what is known, and who was challenged,
// is not.
func TestFullQueueDropsWhatIsNew(t *testing.T) {
	inBubbleWith(t, &Server{Workers: 1, Queue: 1, Patience: time.Minute}, twoRounds, func(t *testing.T, r *rig) {
		s := r.challenge(vpn, 0, "alice")
		accepted := login(1, "alice", "123456", state(s))
		r.one(vpn, accepted, layeh.CodeAccessAccept)
		again := r.challenge(vpn, 2, "alice")
		r.setAuth(slow(time.Second, Accept))
		r.silent(r.send(vpn, login(3, "busy", "pass")))
		r.silent(r.send(vpn, login(4, "waits", "pass")))

		forged := login(5, "new", "pass")
		forged[25] ^= 1
		r.silent(r.send(vpn, forged))
		if r.count("DropQueueFull") != 1 || r.count("TotalBadAuthenticators") != 0 {
			t.Errorf("%d dropped for the queue, %d verified in vain; want 1, 0", r.count("DropQueueFull"), r.count("TotalBadAuthenticators"))
		}
		r.one(vpn, accepted, layeh.CodeAccessAccept)
		r.silent(r.send(vpn, login(6, "alice", "123456", state(again))))
		if got := r.later(10 * time.Second); len(got) != 3 {
			t.Errorf("%d replies, want those of the busy, the waiting and the challenged one", len(got))
		}
	})
}

// Workers without work end with the server, and those that are too many before.
func TestIdleWorkersAreFew(t *testing.T) {
	inBubble(t, slow(time.Second, Accept), func(t *testing.T, r *rig) {
		for i := range 200 {
			r.silent(r.send(vpn, login(byte(i), "alice", "pass")))
		}
		r.later(2 * time.Second)
		r.crew.mu.Lock()
		idle, running := len(r.crew.idle), r.crew.busy()
		r.crew.mu.Unlock()
		if idle != mostIdle || running != 0 {
			t.Errorf("%d idle, %d busy; want %d, 0", idle, running, mostIdle)
		}
		r.send(vpn, login(201, "alice", "pass"))
		r.only(r.later(time.Second), layeh.CodeAccessAccept)
	})
}

func TestLimitOnWorkers(t *testing.T) {
	const slow, quick = 600 * time.Millisecond, time.Millisecond
	for _, tt := range []struct {
		name        string
		limit, busy int
		result      result
		took        time.Duration
		want        int
	}{
		{"a slow decision lowers it", 512, 512, decided, slow, 480},
		{"from what is busy", 512, 160, decided, slow, 150},
		{"an error lowers it, however quick", 512, 160, failed, quick, 150},
		{"not below the fewest", 66, 64, failed, slow, 64},
		{"a quick decision raises it where it is reached", 100, 95, decided, quick, 101},
		{"not where it is not", 100, 80, decided, quick, 100},
		{"but where it is far, whatever lowered it is over", 100, 1, decided, quick, 101},
		{"not over the most", 512, 512, decided, quick, 512},
		{"neither slow nor quick", 100, 100, decided, 400 * time.Millisecond, 100},
		{"what was dropped proves nothing", 100, 100, dropped, slow, 100},
	} {
		c := newCrew(512, 1, time.Second, time.Now, nil)
		c.limit, c.running[fresh] = tt.limit, tt.busy
		if c.adapt(tt.result, tt.took); c.limit != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, c.limit, tt.want)
		}
	}
	c := newCrew(1, 1, time.Second, time.Now, nil)
	if c.adapt(failed, slow); c.limit != 1 {
		t.Errorf("of one worker %d are left", c.limit)
	}
}
