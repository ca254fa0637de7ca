package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// servers has four rounds each at K = 64 and 128.
func servers() []sample {
	var all []sample
	for i, x := range []float64{1, 3, 2, 100} { // the median is 2.5
		for _, k := range []int{64, 128} {
			all = append(all,
				sample{Peer: freeradius, Outstanding: k, Rate: 1000 * x, ServerCPU: 100 * x, SlapdCPU: 100 * x, outcome: outcome{Logins: 10, P99: 1000 * x}},
				sample{Peer: apart, Outstanding: k, Rate: 1500 * x, ServerCPU: 70 * x, SlapdCPU: 90 * x, outcome: outcome{Logins: 10, P99: 1100 * x}},
				sample{Peer: lockstep, Outstanding: k, Rate: 2500 * x, ServerCPU: 40 * x, SlapdCPU: 50 * x, Resident: int64(i) << 20, Peak: int64(9-i) << 20,
					outcome: outcome{Logins: 10, P99: 700 * x}})
		}
	}
	return all
}

func TestMedians(t *testing.T) {
	samples := servers()
	samples[2].Timeouts, samples[8].Wrong = 2, 3
	r := newReport(options{users: 10_000, rounds: 4}, machine{}, samples, nil, nil)
	if len(r.Medians) != 6 {
		t.Fatalf("%d rows, want 6", len(r.Medians))
	}
	m, ok := r.at(lockstep, 64)
	if !ok || m.Rate != 6250 || m.P99 != 1750 || m.ServerCPU != 100 || m.Logins != 40 || m.faults() != 5 || m.Resident != 3<<20 || m.Peak != 9<<20 {
		t.Errorf("%+v, %v", m, ok)
	}
	if _, ok := r.at(lockstep, 1); ok {
		t.Error("a row for a K that was not measured")
	}
}

func TestBars(t *testing.T) {
	samples := servers()
	checks := []check{{Peer: freeradius, What: usedBefore, Asked: 10, Wrong: 10}, {Peer: lockstep, What: usedBefore, Asked: 10}}
	verdicts := func(r report) map[string]bool {
		met := map[string]bool{}
		for _, b := range r.Bars {
			met[b.What] = b.met()
		}
		return met
	}
	r := newReport(options{users: 1_000_000, rounds: 4}, machine{}, samples, checks, nil)
	baseline := r
	baseline.Users = 10_000
	baseline.Medians = append([]sample{}, r.Medians...)
	for i := range baseline.Medians {
		baseline.Medians[i].Rate *= 1.2
	}
	r = newReport(options{users: 1_000_000, rounds: 4}, machine{}, samples, checks, &baseline)
	got := verdicts(r)
	for what, want := range map[string]bool{
		"logins/s at K=64, lockstep / freeradius":                           true,
		"server CPU per login at K=64, lockstep / freeradius":               true,
		"server + slapd CPU per login at K=64, lockstep / freeradius":       true,
		"p99 at K=64, lockstep / freeradius":                                false, // 0.7
		"logins/s at K=64, lockstep / freeradius-apart":                     false, // 1.67
		"server CPU per login at K=64, lockstep / freeradius-apart":         false,
		"server + slapd CPU per login at K=64, lockstep / freeradius-apart": false,
		"p99 at K=64, lockstep / freeradius-apart":                          true,
		"logins/s of lockstep, K=128 / K=64":                                true,
		"timeouts and wrong decisions of lockstep":                          true,
		"resident memory of lockstep":                                       true,
		"logins/s of lockstep at K=64, 1,000,000 / 10,000 users":            false,
		"logins/s of lockstep at K=128, 1,000,000 / 10,000 users":           false,
	} {
		if met, ok := got[what]; !ok || met != want {
			t.Errorf("%s: met %v, there %v; want %v", what, met, ok, want)
		}
		delete(got, what)
	}
	if len(got) != 0 {
		t.Errorf("bars for what was not measured: %v", got)
	}
	checks[1].Wrong = 1
	if verdicts(newReport(options{rounds: 4}, machine{}, samples, checks, nil))["timeouts and wrong decisions of lockstep"] {
		t.Error("a wrong decision meets the bar")
	}
}

func TestTheBestFreeRADIUSCounts(t *testing.T) {
	r := report{Medians: []sample{{Peer: "freeradius-8", Outstanding: 64, Rate: 1}, {Peer: "freeradius-32", Outstanding: 64, Rate: 3},
		{Peer: lockstep, Outstanding: 64, Rate: 9}, {Peer: "freeradius-64", Outstanding: 64, Rate: 2},
		{Peer: "freeradius-apart-8", Outstanding: 64, Rate: 5}, {Peer: "freeradius-apart-16", Outstanding: 64, Rate: 4}}}
	for how, want := range map[setup]string{oneInstance: "freeradius-32", twoInstances: "freeradius-apart-8"} {
		if best, ok := r.rival(how, 64); !ok || best.Peer != want {
			t.Errorf("%s: %+v, %v", how, best, ok)
		}
		if _, ok := r.rival(how, 8); ok {
			t.Errorf("%s: a rival at a K that was not measured", how)
		}
	}
}

func TestTextJSONAndPlotSayTheSame(t *testing.T) {
	r := newReport(options{users: 10_000, rounds: 4}, machine{Kernel: "6.1"}, servers(), []check{{lockstep, usedBefore, 10, 0}}, nil)
	text := r.text()
	for _, want := range []string{"10,000 users, medians of 4 rounds", "6250", "NOT MET", "Linux 6.1", usedBefore} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	path := filepath.Join(t.TempDir(), "out.json")
	if err := writeFile(path, r.writeJSON); err != nil {
		t.Fatal(err)
	}
	back, err := options{baseline: path}.readBaseline()
	if err != nil || back.text() != text {
		t.Errorf("%v, read back:\n%s\nwant\n%s", err, back.text(), text)
	}
	var svg bytes.Buffer
	if err := r.writeSVG(&svg); err != nil || xml.Unmarshal(svg.Bytes(), new(struct{ XMLName xml.Name })) != nil {
		t.Errorf("%v\n%s", err, &svg)
	}
	if n := strings.Count(svg.String(), `class="server"`); n != len(panels)*3 || strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
		t.Errorf("%d lines, want %d\n%s", n, len(panels)*3, &svg)
	}
	if err := (report{}).writeSVG(&svg); err != nil {
		t.Error(err)
	}
}

func TestBaselineThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "?"} {
		if r, err := (options{baseline: name}).readBaseline(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, %v", r, err)
		}
	}
	if r, err := (options{}).readBaseline(); r != nil || err != nil {
		t.Errorf("%v, %v", r, err)
	}
}
