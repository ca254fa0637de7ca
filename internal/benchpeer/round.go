package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	layeh "layeh.com/radius"
)

// sample is one round at one peer, or the medians of several. CPU times are in
// microseconds a login.
type sample struct {
	outcome
	Peer         string  `json:"peer"`
	Outstanding  int     `json:"k"`
	Rate         float64 `json:"logins_per_second"`
	ServerCPU    float64 `json:"server_cpu_us"`
	SlapdCPU     float64 `json:"slapd_cpu_us"`
	GeneratorCPU float64 `json:"generator_cpu_us"`
	Switches     float64 `json:"voluntary_switches"`   // of the server's threads, a login
	Preempted    float64 `json:"involuntary_switches"` // likewise
	Resident     int64   `json:"resident_octets"`      // of the server, at the end
	Peak         int64   `json:"peak_octets"`          // since it started
	Others       float64 `json:"others"`               // share of the machine that something else took, 0 to 1
}

// free reports whether it is of FreeRADIUS, and how that was set up.
func (s sample) free() (how setup, yes bool) {
	switch {
	case strings.HasPrefix(s.Peer, apart):
		return twoInstances, true
	case strings.HasPrefix(s.Peer, freeradius):
		return oneInstance, true
	}
	return "", false
}

// warmup is how many logins a server has behind it before it is measured.
const warmup = 2000

// run warms the peers up, then lets them take turns.
func (r *room) run(ctx context.Context) ([]sample, error) {
	for _, p := range r.peers {
		r.say("warming up %s", p.name)
		if _, err := r.round(ctx, p, 16, min(warmup, r.users)); err != nil {
			return nil, err
		}
	}
	var all []sample
	began, of := time.Now(), r.rounds*len(r.ks)*len(r.peers)
	for i := range r.rounds {
		for _, k := range r.ks {
			order := slices.Clone(r.peers)
			if i%2 == 1 { // or whatever changes with time would favour one
				slices.Reverse(order)
			}
			for _, p := range order {
				s, err := r.round(ctx, p, k, r.logins(k))
				if err != nil {
					return nil, err
				}
				all = append(all, s)
				left := time.Since(began) / time.Duration(len(all)) * time.Duration(of-len(all))
				r.say("%d/%d K=%-3d %-16s %6.0f/s  p99 %6.2f ms  CPU %4.0f + %3.0f us  faults %d  others %2.0f %%  %s left",
					i+1, r.rounds, k, p.name, s.Rate, s.P99/1e3, s.ServerCPU, s.SlapdCPU, s.faults(), 100*s.Others, left.Round(time.Second))
			}
		}
	}
	return all, nil
}

// logins is how many a round has.
func (o options) logins(k int) int {
	n := o.perRound
	if k == 1 {
		n = max(1, n/5)
	}
	return min(n, o.users)
}

func (r *room) round(ctx context.Context, p *peer, k, n int) (s sample, err error) {
	if err := rest(ctx, r.slapd, p.process); err != nil {
		return s, err
	}
	logins, err := r.logInsOf(ctx, p, n)
	if err != nil {
		return s, err
	}
	before, err := r.read(p)
	if err != nil {
		return s, err
	}
	o, err := r.generator.run(p.job(k, layeh.CodeAccessAccept, logins...))
	if err != nil {
		return s, fmt.Errorf("%s: %w\n%s", p.name, err, p.process.tail())
	}
	if err := rest(ctx, r.slapd, p.process); err != nil {
		return s, err
	}
	after, err := r.read(p)
	return after.since(before, o, p.name, k), err
}

// reading is what everything has used so far.
type reading struct {
	server, slapd, generator usage
	ticks                    ticks
}

func (r *room) read(p *peer) (now reading, err error) {
	for _, one := range []struct {
		p *process
		u *usage
	}{{p.process, &now.server}, {r.slapd, &now.slapd}, {r.generator.process, &now.generator}} {
		if *one.u, err = one.p.usage(); err != nil {
			return now, err
		}
	}
	now.ticks, err = readTicks()
	return now, err
}

func (now reading) since(before reading, o outcome, peer string, k int) sample {
	n := float64(max(1, o.Logins))
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / n }
	server, slapd := now.server.cpu-before.server.cpu, now.slapd.cpu-before.slapd.cpu
	return sample{
		outcome: o, Peer: peer, Outstanding: k,
		Rate:      float64(o.Logins) / o.Took.Seconds(),
		ServerCPU: each(server), SlapdCPU: each(slapd), GeneratorCPU: each(o.CPU),
		Switches:  float64(now.server.voluntary-before.server.voluntary) / n,
		Preempted: float64(now.server.involuntary-before.server.involuntary) / n,
		Resident:  now.server.resident, Peak: now.server.peak,
		Others: others(before.ticks, now.ticks, server+slapd+now.generator.cpu-before.generator.cpu),
	}
}

// logInsOf waits until there are n logins for p, if need be.
func (r *room) logInsOf(ctx context.Context, p *peer, n int) ([]span, error) {
	for {
		logins, wait := p.schedule.take(n, time.Now())
		if wait == 0 {
			return logins, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
