package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What the garbage collector may let pile up: a share of what lives, and at least
// as much as keeps it from running many times a second where little lives. In between
// it is half of what lives: to go through a million accounts takes the collector a
// third of a second, in which logins are slow.
const (
	leastGarbage  = 48 << 20
	someGarbage   = 96 << 20
	garbageShare  = 0.25
	tuneEvery     = time.Second
	leastPercent  = 20
	mostPercent   = 1600
	liveHeapBytes = "/gc/heap/live:bytes"
)

// tuneMemory keeps the garbage collector at that until ctx ends, unless the
// environment says how it should work. A replica of a million accounts is much
// memory that hardly changes, and doubling it would be in vain; one of a thousand
// is so little that the collector would run all the time.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	tick := time.NewTicker(tuneEvery)
	defer tick.Stop()
	for last := 0; ; {
		if percent := garbagePercent(liveHeap()); percent != last {
			debug.SetGCPercent(percent)
			last = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: liveHeapBytes}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// garbagePercent returns what GOGC should be while so many bytes live. It comes in
// steps of a tenth, because each change stops the world.
func garbagePercent(live uint64) int {
	allowed := max(leastGarbage, min(someGarbage, float64(live)/2), garbageShare*float64(live))
	percent := mostPercent
	if live > 0 {
		percent = min(mostPercent, max(leastPercent, int(100*allowed/float64(live))))
	}
	step := max(1, percent/10)
	return percent / step * step
}
