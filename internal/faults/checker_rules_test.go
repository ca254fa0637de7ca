package faults

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// past is a history in the making: a login is made of its kind, person and step,
// and of what servers said to it.
type past struct {
	h    history
	from time.Time
}

func newPast() *past {
	return &past{from: time.Unix(1_800_000_000, 0), h: history{Reasons: map[string][]string{}, Period: 30 * time.Second}}
}

func (p *past) at(seconds float64) time.Time {
	return p.from.Add(time.Duration(seconds * float64(time.Second)))
}

// login adds one that begins at some second. Its tries are added by says.
func (p *past) login(kind kind, person int, step int64, second float64) *said {
	id := len(p.h.Logins)
	g := login{ID: id, Kind: kind, Person: person, Step: step, Source: kind.String() + string(rune('a'+id)), Began: p.at(second), Ended: p.at(second + 5), Pursuit: id}
	p.h.Logins = append(p.h.Logins, g)
	return &said{p, id, 100 * time.Millisecond}
}

type said struct {
	*past
	id    int
	after time.Duration // that answers take
}

// slowly has the answers come only when the appliance has sent its request again.
func (s *said) slowly() *said {
	s.after = tryEvery + 100*time.Millisecond
	return s
}

func (s *said) says(server int, second float64, a answer) *said {
	t := try{Login: s.id, Server: server, Sent: s.at(second), Answer: a, Heard: true}
	if a != silence {
		t.Got = t.Sent.Add(s.after)
		s.h.Logins[s.id].Ended, s.h.Logins[s.id].Outcome = t.Got, a
	}
	s.h.Tries = append(s.h.Tries, t)
	return s
}

// again makes it part of the pursuit of an earlier login.
func (s *said) again(of *said) *said {
	s.h.Logins[s.id].Pursuit = s.h.Logins[of.id].Pursuit
	return s
}

func (s *said) like(of *said) *said {
	s.h.Logins[s.id].Source = s.h.Logins[of.id].Source
	return s
}

func (s *said) contested() *said {
	s.h.Logins[s.id].Contested = true
	return s
}

// logged adds a line of a server's.
func (s *said) logged(server int, reason string) { s.line(server, "decision reject "+reason) }

func (s *said) line(server int, text string) {
	source := s.h.Logins[s.id].Source
	s.h.Reasons[source] = append(s.h.Reasons[source], serverName(server)+" "+text)
}

func (p *past) fault(from, to float64, stepped ...int) {
	p.h.Windows = append(p.h.Windows, window{Name: "fault", From: p.at(from), To: p.at(to), Recovered: p.at(to + 1), Stepped: stepped})
}

// kill is a fault by which servers are started again.
func (p *past) kill(from, to float64, servers ...int) {
	p.fault(from, to)
	p.h.Windows[len(p.h.Windows)-1].Killed = servers
}

func TestChecker(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(p *past)
		want string // the rules that are broken
	}{
		{"a login and a theft that is refused", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(thief, 1, 5, 1).says(1, 1, rejected)
		}, ""},
		{"a theft at another server", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(thief, 1, 5, 1).says(1, 1, accepted)
		}, "accepted twice"},
		{"a thief who is first, and the owner too", func(p *past) {
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			p.login(right, 1, 5, 0).contested().says(0, 0.1, accepted)
		}, "accepted twice"},
		{"a thief who is first, and the owner is refused and comes back", func(p *past) {
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			first.logged(0, "replayed (0 s ago, by vpn)")
			p.login(right, 1, 6, 2).again(first).says(0, 2, accepted)
		}, ""},
		{"a thief who is first, and the owner is refused for something else", func(p *past) {
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			first.logged(0, "code wrong")
			p.login(right, 1, 6, 2).again(first).says(0, 2, accepted)
		}, "right login refused"},
		{"an Accept that nobody heard, and a theft", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.h.Tries[0].Heard = false
			g.says(1, 2, accepted)
			p.login(thief, 1, 5, 20).says(2, 20, accepted)
		}, "accepted twice"},
		{"another person's code of the same step", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(right, 2, 5, 0).says(0, 0, accepted)
		}, ""},
		{"the same login at the next server", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence).says(1, 1.5, accepted).says(2, 9, accepted)
		}, ""},
		{"the same login after 12 s", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(late, 1, 5, 12).like(g).says(1, 12.2, accepted)
		}, "accepted again late"},
		{"the same login refused at the next server", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(1, 1.5, rejected).says(2, 2, accepted)
		}, "right login refused"},
		{"the same login at the server that has accepted it", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			g.says(0, 0, rejected).logged(0, "replayed (0 s ago, by vpn)")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, ""},
		{"the same login refused for something else by the server that has accepted it", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			g.says(0, 0.01, rejected).logged(0, "code wrong")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, "right login refused"},
		{"a login whose server was killed before it could answer", func(p *past) {
			p.kill(1, 2, 0)
			g := p.login(right, 1, 5, 1).slowly().says(0, 1, rejected)
			g.logged(0, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, ""},
		{"a thief who is first, and the server that refused the owner is killed before it has written why", func(p *past) {
			p.kill(0.2, 2, 0)
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			p.login(right, 1, 6, 3).again(first).says(0, 3, accepted)
		}, ""},
		{"the same, where another server was killed", func(p *past) {
			p.kill(0.2, 2, 1)
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			p.login(right, 1, 6, 3).again(first).says(0, 3, accepted)
		}, "right login refused"},
		{"the same, where it was killed later", func(p *past) {
			p.kill(2, 2.5, 0)
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			p.login(right, 1, 6, 3).again(first).says(0, 3, accepted)
		}, "right login refused"},
		{"the same, where it wrote another reason", func(p *past) {
			p.kill(0.2, 2, 0)
			p.login(thief, 1, 5, 0).says(1, 0, accepted)
			first := p.login(right, 1, 5, 0).contested().says(0, 0.1, rejected)
			first.logged(0, "code wrong")
			p.login(right, 1, 6, 3).again(first).says(0, 3, accepted)
		}, "right login refused"},
		{"a refusal without a reason, of a code that nobody else had", func(p *past) {
			p.kill(0.2, 2, 0)
			first := p.login(right, 1, 5, 0).says(0, 0.1, rejected)
			p.login(right, 1, 6, 3).again(first).says(0, 3, accepted)
		}, "right login refused"},
		{"a code that was sent with a wrong password when the only server was killed", func(p *past) {
			p.h.Alone = true
			p.kill(1, 2, 0)
			p.login(wrongPassword, 1, 5, 0.9).says(0, 0.9, silence)
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, ""},
		{"the same, where the wrong password had its answer", func(p *past) {
			p.h.Alone = true
			p.kill(1, 2, 0)
			p.login(wrongPassword, 1, 5, 0.5).says(0, 0.5, rejected)
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, "right login refused"},
		{"the same, where the server that was started again has answered", func(p *past) {
			p.h.Alone = true
			p.kill(1, 2, 0)
			p.login(wrongPassword, 1, 5, 0.9).slowly().says(0, 0.9, rejected)
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, ""},
		{"a code that was sent with a wrong password when the disk was full", func(p *past) {
			p.h.Alone = true
			w := p.login(wrongPassword, 1, 5, 0.9).says(0, 0.9, silence)
			w.line(0, "cannot decide, no reply sent   count failure: write state to /disk/state.db: no space left on device")
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, ""},
		{"the same, where it could not be decided for another reason", func(p *past) {
			p.h.Alone = true
			w := p.login(wrongPassword, 1, 5, 0.9).says(0, 0.9, silence)
			w.line(0, "cannot decide, no reply sent   check password: no answer")
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, "right login refused"},
		{"the same at one of several servers", func(p *past) {
			p.kill(1, 2, 0)
			p.login(wrongPassword, 1, 5, 0.9).says(0, 0.9, silence)
			g := p.login(right, 1, 5, 3).says(0, 3, rejected)
			g.logged(0, "replayed (2 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, "right login refused"},
		{"a code that nobody had sent, called replayed by a server that was killed", func(p *past) {
			p.kill(1, 2, 0)
			g := p.login(right, 1, 5, 1).says(0, 1, rejected)
			g.logged(0, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, "right login refused"},
		{"a code that nobody had sent, called replayed after a clock was set", func(p *past) {
			p.fault(0, 2, 2)
			g := p.login(right, 1, 5, 8).says(0, 8, rejected)
			g.logged(0, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 9).again(g).says(0, 9, accepted)
		}, "right login refused"},
		{"a login that got no answer before the next server was started", func(p *past) {
			p.kill(1, 2, 1)
			g := p.login(right, 1, 5, 1).says(0, 1, silence).says(1, 2.5, rejected)
			g.logged(1, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, ""},
		{"a login that was accepted while the next server was stopped for long", func(p *past) {
			p.fault(0, 12)
			p.h.Windows[0].Away = []int{1}
			g := p.login(right, 1, 5, 11).says(0, 11, silence).says(1, 12.5, rejected)
			g.logged(1, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 14).again(g).says(0, 14, accepted)
		}, ""},
		{"a login that was accepted while the next server was stopped for a moment", func(p *past) {
			p.fault(10, 12)
			p.h.Windows[0].Away = []int{1}
			g := p.login(right, 1, 5, 11).says(0, 11, silence).says(1, 12.5, rejected)
			g.logged(1, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 14).again(g).says(0, 14, accepted)
		}, "right login refused"},
		{"a login that was accepted before an older one of the same person", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, silence)
			p.h.Tries[0].Answer, p.h.Tries[0].Got = accepted, p.at(8)
			h := p.login(right, 1, 6, 7).again(g).says(1, 7, silence).says(2, 8.5, rejected)
			h.logged(2, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 7, 10).again(g).says(0, 10, accepted)
		}, ""},
		{"a login after an older one of the same person", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, silence)
			p.h.Tries[0].Answer, p.h.Tries[0].Got = accepted, p.at(6)
			h := p.login(right, 1, 6, 7).again(g).says(1, 7, silence).says(2, 8.5, rejected)
			h.logged(2, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 7, 10).again(g).says(0, 10, accepted)
		}, "right login refused"},
		{"a login that got no answer, and the next server was there", func(p *past) {
			p.kill(1, 2, 0)
			g := p.login(right, 1, 5, 1).says(0, 1, silence).says(1, 2.5, rejected)
			g.logged(1, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, "right login refused"},
		{"a login that got no answer before the next server was started, which calls it wrong", func(p *past) {
			p.kill(1, 2, 1)
			g := p.login(right, 1, 5, 1).says(0, 1, silence).says(1, 2.5, rejected)
			g.logged(0, "replayed (1 s ago, by vpn)")
			g.logged(1, "code wrong")
			p.login(right, 1, 6, 4).again(g).says(0, 4, accepted)
		}, "right login refused"},
		{"a login that got no answer from a server whose clock had just been set", func(p *past) {
			p.fault(0, 2, 2)
			g := p.login(right, 1, 5, 5).says(2, 5, silence).says(0, 6.5, rejected)
			g.logged(0, "replayed (45 s ago, by vpn)")
			p.login(right, 1, 6, 9).again(g).says(0, 9, accepted)
		}, ""},
		{"a login that got no answer, and both clocks were right", func(p *past) {
			p.fault(0, 2, 2)
			g := p.login(right, 1, 5, 5).says(1, 5, silence).says(0, 6.5, rejected)
			g.logged(0, "replayed (1 s ago, by vpn)")
			p.login(right, 1, 6, 9).again(g).says(0, 9, accepted)
		}, "right login refused"},
		{"a right login refused for good measure", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, rejected)
			p.login(right, 1, 6, 2).again(g).says(0, 2, accepted)
		}, "right login refused"},
		{"a right login refused where a clock is wrong", func(p *past) {
			p.fault(0, 5, 0)
			g := p.login(right, 1, 5, 1).says(0, 1, rejected)
			g.logged(0, "out of step: device is 10 min 0 s behind")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, ""},
		{"a right login refused where another server's clock is wrong", func(p *past) {
			p.fault(0, 5, 2)
			g := p.login(right, 1, 5, 1).says(0, 1, rejected)
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, "right login refused"},
		{"a challenge that the only server does not know after it was killed", func(p *past) {
			p.kill(1, 2, 0)
			p.h.Alone = true
			g := p.login(right, 1, 5, 0).says(0, 0, challenged)
			p.h.Tries[0].First = true
			g.says(0, 2.5, rejected).logged(0, "the State is not ours")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, ""},
		{"a challenge that another server does not know", func(p *past) {
			p.kill(1, 2, 0)
			g := p.login(right, 1, 5, 0).says(0, 0, challenged)
			p.h.Tries[0].First = true
			g.says(1, 2.5, rejected).logged(1, "the State is not ours")
			p.login(right, 1, 6, 3).again(g).says(0, 3, accepted)
		}, "right login refused"},
		{"somebody who is never let in", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence)
		}, "stranded"},
		{"somebody who needs five codes without a fault", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, silence)
			for i := range 3 {
				p.login(right, 1, int64(6+i), float64(10+10*i)).again(g).says(0, float64(10+10*i), silence)
			}
			p.login(right, 1, 9, 50).again(g).says(0, 50, accepted)
		}, "stranded"},
		{"somebody who needs five codes during a fault", func(p *past) {
			p.fault(0, 48)
			g := p.login(right, 1, 5, 0).says(0, 0, silence)
			for i := range 3 {
				p.login(right, 1, int64(6+i), float64(10+10*i)).again(g).says(0, float64(10+10*i), silence)
			}
			p.login(right, 1, 9, 50).again(g).says(0, 50, accepted)
		}, ""},
		{"a wrong code", func(p *past) { p.login(wrongCode, 1, 5, 0).says(0, 0, accepted) }, "wrong code accepted"},
		{"a wrong password", func(p *past) { p.login(wrongPassword, 1, 5, 0).says(0, 0, accepted) }, "wrong password accepted"},
		{"a wrong password first, which spends nothing", func(p *past) {
			p.login(wrongPassword, 1, 5, 0).says(0, 0, rejected)
			p.login(right, 1, 5, 1).says(0, 1, accepted)
		}, ""},
		{"an Accept for a password without a code", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.h.Tries[0].First = true
		}, "right accepted"},
		{"a code that is known after the crash", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(replay, 1, 5, 30).says(1, 30, rejected).logged(1, "replayed (30 s ago, by vpn)")
		}, ""},
		{"a code that is accepted after the crash", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(replay, 1, 5, 30).says(1, 30, accepted)
		}, "accepted twice, no record of an Accept, replay accepted"},
		{"a code that nobody knows to be spent after the crash", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(replay, 1, 5, 90).says(1, 90, rejected).logged(1, "out of step: device is 1 min 30 s behind")
		}, "no record of an Accept"},
		{"silence to a replay after the crash", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(replay, 1, 5, 30).says(1, 30, silence)
		}, "no record of an Accept"},
		{"a refusal by a server without the quorum", func(p *past) {
			p.h.Mutes = []mute{{0, p.at(0), p.at(5)}}
			p.login(wrongCode, 1, 5, 1).says(0, 1, rejected)
		}, "answered without the quorum"},
		{"the others answer meanwhile", func(p *past) {
			p.h.Mutes = []mute{{0, p.at(0), p.at(5)}}
			p.login(right, 1, 5, 1).says(0, 1, silence).says(1, 2.5, accepted)
		}, ""},
		{"a server that does not come back", func(p *past) {
			p.fault(0, 5)
			p.h.Windows[0].Recovered = time.Time{}
		}, "not back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPast()
			tt.make(p)
			if got := broken(check(p.h)); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
			table(p.h, check(p.h)) // which must not panic
		})
	}
}

// What was refused at once has spent nothing that the next server could know of.
func TestARefusalIsNoExcuseForTheNext(t *testing.T) {
	for name, want := range map[string]bool{"at once": false, "when the request had gone out again": true} {
		p := newPast()
		p.kill(1, 2, 0, 1)
		g := p.login(right, 1, 5, 1)
		if want {
			g.slowly()
		}
		g.says(0, 1, rejected)
		g.after = 100 * time.Millisecond
		g.says(1, 2.5, rejected)
		if got := newCase(p.h).unsettled(p.h.Tries[1]); got != want {
			t.Errorf("refused %s: the next refusal is excused: %v, want %v", name, got, want)
		}
	}
}

// broken returns the names of the rules, each once and in order.
func broken(all []violation) string {
	var names []string
	for _, v := range all {
		names = append(names, v.rule)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
