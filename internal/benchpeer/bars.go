package main

import "fmt"

// bar is a line that lockstep has to pass.
type bar struct {
	What string  `json:"what"`
	Got  float64 `json:"got"`
	Want float64 `json:"want"`
	Most bool    `json:"most"` // whether Want is the most allowed, or the least
	Unit string  `json:"unit"` // "x" for a ratio
	Aim  string  `json:"aim,omitempty"`
}

func (b bar) met() bool {
	if b.Most {
		return b.Got <= b.Want
	}
	return b.Got >= b.Want
}

// bars are those that this run can say something about: the others need another
// K, FreeRADIUS, a million users or a baseline.
func (r report) bars(baseline *report) (all []bar) {
	for _, how := range []setup{oneInstance, twoInstances} {
		all = append(all, r.beside(how)...)
	}
	all = append(all, r.own()...)
	if baseline != nil {
		all = append(all, r.scale(*baseline)...)
	}
	return all
}

// beside are the bars that compare with FreeRADIUS. They are the same for both ways
// to set it up.
func (r report) beside(how setup) (all []bar) {
	ratio := func(what string, k int, want float64, most bool, aim string, of func(sample) float64) {
		ours, ok := r.at(lockstep, k)
		theirs, there := r.rival(how, k)
		if ok && there && of(theirs) > 0 {
			all = append(all, bar{fmt.Sprintf("%s at K=%d, %s / %s", what, k, lockstep, how.peer()), of(ours) / of(theirs), want, most, "x", aim})
		}
	}
	rate := func(s sample) float64 { return s.Rate }
	ratio("logins/s", 1, 1.0, false, "", rate)
	ratio("logins/s", 8, 1.2, false, "", rate)
	ratio("logins/s", 64, 2.0, false, "2.6", rate)
	ratio("server CPU per login", 64, 0.5, true, "0.36", func(s sample) float64 { return s.ServerCPU })
	ratio("server + slapd CPU per login", 64, 0.45, true, "", func(s sample) float64 { return s.ServerCPU + s.SlapdCPU })
	ratio("p99", 64, 0.65, true, "", func(s sample) float64 { return s.P99 })
	return all
}

// own are the bars that need no FreeRADIUS.
func (r report) own() (all []bar) {
	if low, ok := r.at(lockstep, 64); ok {
		if high, ok := r.at(lockstep, 128); ok {
			all = append(all, bar{"logins/s of lockstep, K=128 / K=64", high.Rate / low.Rate, 1, false, "x", ""})
		}
	}
	faults, resident := 0, int64(0)
	for _, m := range r.Medians {
		if m.Peer == lockstep {
			faults += m.faults()
			resident = max(resident, m.Resident)
		}
	}
	for _, c := range r.Checks {
		if c.Peer == lockstep {
			faults += c.Wrong
		}
	}
	all = append(all, bar{"timeouts and wrong decisions of lockstep", float64(faults), 0, true, "", ""})
	if r.Users >= 1_000_000 {
		all = append(all, bar{"resident memory of lockstep", float64(resident) / (1 << 20), 400, true, "MiB", ""})
	}
	return all
}

// scale compares with a run that had other users.
func (r report) scale(baseline report) (all []bar) {
	for _, m := range baseline.Medians {
		if now, ok := r.at(lockstep, m.Outstanding); ok && m.Peer == lockstep && m.Rate > 0 {
			all = append(all, bar{fmt.Sprintf("logins/s of lockstep at K=%d, %s / %s users", m.Outstanding, grouped(r.Users), grouped(baseline.Users)),
				now.Rate / m.Rate, 0.9, false, "x", ""})
		}
	}
	return all
}
