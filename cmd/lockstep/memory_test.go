package main

import "testing"

// What a million accounts take has to stay resident, and the collector must not run
// all the time beside it.
func TestGarbagePercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live        uint64
		least, most float64 // MiB of garbage
	}{
		{1 * mib, 14, 48},
		{20 * mib, 42, 48},
		{60 * mib, 42, 48},
		{150 * mib, 67, 75},
		{200 * mib, 86, 96},
		{300 * mib, 86, 96},
		{1000 * mib, 220, 250},
	} {
		got := float64(c.live) / mib * float64(garbagePercent(c.live)) / 100
		if got < c.least || got > c.most {
			t.Errorf("%d MiB live: %.0f MiB of garbage, want %v to %v", c.live/mib, got, c.least, c.most)
		}
	}
	if got := garbagePercent(0); got != mostPercent {
		t.Errorf("nothing known to live: %d", got)
	}
}
