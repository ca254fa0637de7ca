package faults

import "testing"

// What a wrong clock may be blamed for: the refusals of the server that has it while
// it has it, and until the next login, of codes that are not new.
func TestCheckerClocks(t *testing.T) {
	const (
		wrong = "code wrong"
		out   = "out of step: device is 10 min 0 s behind"
		spent = "replayed (1 s ago, by vpn)"
	)
	for _, tt := range []struct {
		name   string
		server int     // that refuses
		second float64 // when; the clock of server 2 is wrong from 100 to 112
		reason string
		old    bool    // the code is one that had to be learned
		theft  float64 // when a thief was at server 2, with another code; 0 for never
		in     float64 // when the person was let in by server 0; 0 for never
		want   string
	}{
		{"at the server, meanwhile", 2, 105, out, false, 0, 0, ""},
		{"at the server, meanwhile, called wrong", 2, 105, wrong, false, 0, 0, ""},
		{"at the server, meanwhile, called replayed", 2, 105, spent, false, 0, 0, "right login refused"},
		{"at the server, meanwhile, for nothing", 2, 105, "not enrolled", false, 0, 0, "right login refused"},
		{"at the server, before", 2, 98, out, false, 105, 0, "right login refused"},
		{"at the server, after", 2, 120, out, false, 105, 0, "right login refused"},
		{"at another server, meanwhile", 0, 106, out, false, 105, 0, "right login refused"},
		{"at another server, long before", 0, 10, wrong, true, 105, 0, "right login refused"},
		{"at another server, long after", 0, 1300, wrong, false, 105, 0, "right login refused"},
		{"an old code, at another server, meanwhile", 0, 106, out, true, 105, 0, ""},
		{"an old code, at another server, before the thief was there", 0, 104, out, true, 105, 0, "right login refused"},
		{"an old code, at another server, after", 0, 130, wrong, true, 105, 0, ""},
		{"an old code, at another server, called replayed", 0, 130, spent, true, 105, 0, "right login refused"},
		{"an old code of somebody who was not there", 0, 130, wrong, true, 0, 0, "right login refused"},
		{"an old code of somebody who was let in since", 0, 130, wrong, true, 105, 120, "right login refused"},
		{"an old code of somebody who was let in meanwhile", 0, 130, wrong, true, 105, 108, ""},
		{"an old code, five minutes after", 0, 420, wrong, true, 105, 0, "right login refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPast()
			p.fault(100, 112, 2)
			step := func(second float64) int64 { return p.at(second).Unix() / 30 }
			if tt.theft > 0 {
				p.login(thief, 1, step(tt.theft)-9, tt.theft).says(2, tt.theft, rejected)
			}
			if tt.in > 0 {
				p.login(right, 1, step(tt.in)-8, tt.in).says(0, tt.in, accepted)
			}
			code := step(tt.second+0.1) - 1
			if tt.old {
				code--
			}
			g := p.login(right, 1, code, tt.second).says(tt.server, tt.second, rejected)
			g.logged(tt.server, tt.reason)
			p.login(right, 1, code+10, tt.second+1).again(g).says(0, tt.second+1, accepted)
			if got := broken(check(p.h)); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

// An excuse that holds for many is none.
func TestCheckerExcusesAreForFew(t *testing.T) {
	for name, tt := range map[string]struct {
		logins, refused int // the refusals are logins, too
		refuse          func(p *past, person int) *said
		want            string
	}{
		"some contested": {1000, 100, contestedRefusal, ""},
		"many contested": {1000, 101, contestedRefusal, "excused too often"},
		"too few to say": {299, 100, contestedRefusal, ""},
		"some misled":    {1000, 10, misledRefusal, ""},
		"many misled":    {1000, 11, misledRefusal, "excused too often"},
		"many at a server whose clock is wrong": {1000, 300, func(p *past, person int) *said {
			g := p.login(right, person, 5, 105).says(2, 105, rejected)
			g.logged(2, "out of step: device is 10 min 0 s behind")
			return g
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast()
			p.fault(100, 112, 2)
			for person := range tt.logins - tt.refused {
				var g *said
				second := 50.0
				if person < tt.refused {
					g, second = tt.refuse(p, person), 200
				}
				in := p.login(right, person, 9, second)
				if g != nil {
					in.again(g)
				}
				in.says(0, second, accepted)
			}
			if got := broken(check(p.h)); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

func contestedRefusal(p *past, person int) *said {
	g := p.login(right, person, 5, 105).contested().says(0, 105, rejected)
	g.logged(0, "replayed (0 s ago, by vpn)")
	return g
}

func misledRefusal(p *past, person int) *said {
	p.login(thief, person, 4, 104).says(2, 104, rejected)
	g := p.login(right, person, 5, 115).says(0, 115, rejected)
	g.logged(0, "code wrong")
	return g
}
