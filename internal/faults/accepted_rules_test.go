package faults

import "testing"

// wrote adds a line by which a server accepted it.
func (s *said) wrote(server int) *said {
	source := s.h.Logins[s.id].Source
	s.h.Reasons[source] = append(s.h.Reasons[source], serverName(server)+" 2027-01-15T08:00:00Z decision accept")
	return s
}

func TestCheckerAccepts(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(p *past)
		want string
	}{
		{"an Accept that was lost, and a theft", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence).wrote(0)
			p.login(thief, 1, 5, 2).says(1, 2, accepted)
			p.login(right, 1, 6, 3).again(&said{p, 0, 0}).says(0, 3, accepted)
		}, "accepted twice"},
		{"a theft whose Accept was lost", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted).wrote(0)
			p.login(thief, 1, 5, 2).says(1, 2, silence).wrote(1)
		}, "accepted twice"},
		{"a theft that had no answer", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted).wrote(0)
			p.login(thief, 1, 5, 2).says(1, 2, silence)
		}, ""},
		{"a wrong code whose Accept was lost", func(p *past) {
			p.login(wrongCode, 1, 5, 0).says(0, 0, silence).wrote(0)
		}, "wrong code accepted"},
		{"an Accept that was lost, and the next server's", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence).wrote(0).says(1, 1.5, accepted).wrote(1)
		}, ""},
		{"two Accepts of a server", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(0, 4, accepted)
		}, "accepted again by the same server"},
		{"two Accepts of a server, one of them lost", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence).wrote(0).says(0, 4, accepted).wrote(0)
		}, "accepted again by the same server"},
		{"an Accept of a server that had not answered", func(p *past) {
			p.login(right, 1, 5, 0).says(0, 0, silence).says(0, 4, accepted).wrote(0)
		}, ""},
		{"two Accepts of a server that was killed in between", func(p *past) {
			p.kill(1, 2, 0)
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(0, 4, accepted)
		}, ""},
		{"two Accepts of a server that was killed before", func(p *past) {
			p.kill(-9, -7, 0)
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(0, 4, accepted)
		}, "accepted again by the same server"},
		{"two Accepts of a server beside one that was killed", func(p *past) {
			p.kill(1, 2, 1)
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(0, 4, accepted)
		}, "accepted again by the same server"},
		{"two Accepts of a server whose clock was set in between", func(p *past) {
			p.fault(1, 2, 0)
			p.login(right, 1, 5, 0).says(0, 0, accepted).says(0, 4, accepted)
		}, ""},
		{"once more to the server that has accepted it", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(again, 1, 5, 4).like(g).says(0, 4, rejected).logged(0, "replayed (4 s ago, by vpn)")
		}, ""},
		{"once more to the server that has accepted it, which does so again", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(again, 1, 5, 4).like(g).says(0, 4, accepted)
		}, "accepted again by the same server"},
		{"once more to the server that has accepted it, which calls it wrong", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(again, 1, 5, 4).like(g).says(0, 4, rejected).logged(0, "code wrong")
		}, "not called replayed"},
		{"once more to the server that has accepted it, which is silent", func(p *past) {
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(again, 1, 5, 4).like(g).says(0, 4, silence)
		}, ""},
		{"once more to the server that has accepted it, which is killed before it has written why", func(p *past) {
			p.kill(4.2, 5, 0)
			g := p.login(right, 1, 5, 0).says(0, 0, accepted)
			p.login(again, 1, 5, 4).like(g).says(0, 4, rejected)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPast()
			tt.make(p)
			if got := broken(check(p.h)); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}
