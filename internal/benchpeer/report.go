package main

import (
	"encoding/json"
	"io"
	"slices"
)

// report is all that a run found out.
type report struct {
	Machine machine  `json:"machine"`
	Users   int      `json:"users"`
	Rounds  int      `json:"rounds"`
	Medians []sample `json:"medians"` // of each peer at each K, in the order of the table
	Checks  []check  `json:"checks"`
	Bars    []bar    `json:"bars"`
	Samples []sample `json:"samples"` // all rounds, in the order they ran
}

func newReport(o options, m machine, samples []sample, checks []check, baseline *report) report {
	r := report{Machine: m, Users: o.users, Rounds: o.rounds, Samples: samples, Checks: checks, Medians: medians(samples)}
	r.Bars = r.bars(baseline)
	return r
}

// medians brings the rounds of each peer at each K together. Faults are added
// up, as one is too many; memory is that of the last round.
func medians(samples []sample) (all []sample) {
	type key struct {
		k    int
		peer string
	}
	byKey := map[key][]sample{}
	var keys []key
	for _, s := range samples {
		at := key{s.Outstanding, s.Peer}
		if byKey[at] == nil {
			keys = append(keys, at)
		}
		byKey[at] = append(byKey[at], s)
	}
	slices.SortStableFunc(keys, func(a, b key) int { return a.k - b.k })
	for _, at := range keys {
		all = append(all, middle(byKey[at]))
	}
	return all
}

func middle(rounds []sample) sample {
	m := rounds[len(rounds)-1]
	m.outcome = outcome{}
	for _, s := range rounds {
		m.Logins += s.Logins
		m.Wrong += s.Wrong
		m.Bad += s.Bad
		m.Timeouts += s.Timeouts
		m.Lost += s.Lost
		m.Peak = max(m.Peak, s.Peak)
	}
	for _, field := range []func(*sample) *float64{
		func(s *sample) *float64 { return &s.Rate },
		func(s *sample) *float64 { return &s.P50 },
		func(s *sample) *float64 { return &s.P95 },
		func(s *sample) *float64 { return &s.P99 },
		func(s *sample) *float64 { return &s.Max },
		func(s *sample) *float64 { return &s.ServerCPU },
		func(s *sample) *float64 { return &s.SlapdCPU },
		func(s *sample) *float64 { return &s.GeneratorCPU },
		func(s *sample) *float64 { return &s.Switches },
		func(s *sample) *float64 { return &s.Preempted },
		func(s *sample) *float64 { return &s.Others },
	} {
		var values []float64
		for i := range rounds {
			values = append(values, *field(&rounds[i]))
		}
		*field(&m) = median(values)
	}
	return m
}

// median returns the middle of values, or the mean of the two in the middle. It
// sorts them; there must be one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// at returns what a peer did at K.
func (r report) at(peer string, k int) (sample, bool) {
	for _, m := range r.Medians {
		if m.Peer == peer && m.Outstanding == k {
			return m, true
		}
	}
	return sample{}, false
}

// rival returns what a FreeRADIUS of this setup did at K, with as many threads as
// were quickest there if there were several.
func (r report) rival(of setup, k int) (best sample, ok bool) {
	for _, m := range r.Medians {
		if how, yes := m.free(); yes && how == of && m.Outstanding == k && m.Rate > best.Rate {
			best, ok = m, true
		}
	}
	return best, ok
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
