package etcd

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	lookEvery  = 250 * time.Millisecond
	probeEvery = time.Second
	probeWait  = 2 * time.Second
	beatEvery  = 10 * time.Second
	alarmEvery = 30 * time.Second
	lagBeat    = 500 * time.Millisecond // how long the watch may owe something before it is tested
)

// attend notices what nobody asks for: that the quorum is away, that the watch
// hangs, that writes fail.
func (s *Store) attend() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	probed, beat, swept := -probeEvery, -beatEvery, s.elapsed()
	lost := false
	var beating, probing, sweeping errand
	clock := s.clock()
	for {
		now := s.elapsed()
		if is := s.clock(); (is - clock).Abs() > clockStep {
			beat, clock = now-beatEvery, is // the others go by it
		}
		s.testWatch(now)
		lost = s.noteQuorum(now, lost)
		switch {
		case now-beat >= s.beatDue(now):
			beat = now
			beating.run(&s.done, s.beat)
		case now-probed >= probeEvery && s.quiet(now):
			probed = now
			probing.run(&s.done, s.probe)
		case now-swept >= time.Minute:
			swept = now
			sweeping.run(&s.done, func() { s.sweep(now) })
		}
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
		}
	}
}

// clockStep is by how much our clock has to be set for the others to be told at once.
const clockStep = time.Second

// clock is when we began, as our clock has it now: that changes when it is set.
func (s *Store) clock() time.Duration {
	return time.Duration(s.opts.Now().UnixNano()) - s.elapsed()
}

// noteQuorum logs when the quorum goes away and when it returns. It returns
// whether it is away.
func (s *Store) noteQuorum(now time.Duration, lost bool) bool {
	silent, ever := s.pulse.silent(now)
	switch away := silent > away; {
	case away && !lost:
		s.opts.Log.Error("no quorum of etcd answers, nobody is let in", "took", silent.Round(time.Millisecond), "err", s.why())
		return true
	case !away && lost && ever:
		s.opts.Log.Info("etcd answers again")
		return false
	}
	return lost
}

// quiet reports whether the last answer is so old that it is time for another.
func (s *Store) quiet(now time.Duration) bool {
	silent, ever := s.pulse.silent(now)
	return !ever || silent >= probeEvery-lookEvery
}

// beatDue is the time between two beats. A beat is also the write that shows
// whether writes succeed again, and, where others write to etcd too, a change
// that the watch has to bring if it is alive.
func (s *Store) beatDue(now time.Duration) time.Duration {
	if s.pulse.failing() != nil || s.pulse.lag(now) > lagBeat {
		return probeEvery
	}
	return beatEvery
}

// testWatch ends a watch that hangs, so that another node is asked for one.
func (s *Store) testWatch(now time.Duration) {
	if w := s.watching.Load(); w != nil && now-w.since > watchGrace && s.pulse.lag(now) > trust {
		w.stop()
	}
}

// probe asks the quorum for next to nothing.
func (s *Store) probe() {
	ctx, cancel := context.WithTimeout(s.background, probeWait)
	defer cancel()
	request := &pb.RangeRequest{Key: []byte(s.serverKey(s.id)), CountOnly: true}
	// Its answer is heard by pulse, and its error kept in cluster.
	_, _, _ = ask(ctx, s.cluster, func(ctx context.Context, to *node) (*pb.RangeResponse, error) { return to.get(ctx, request) })
}

// watchAlarms looks for alarms now and then. It has a goroutine of its own,
// because a node that is frozen keeps it waiting.
func (s *Store) watchAlarms() {
	tick := time.NewTicker(alarmEvery)
	defer tick.Stop()
	var alarms []string
	for {
		alarms = s.lookForAlarms(alarms)
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
		}
	}
}

// lookForAlarms logs what has changed since the last time.
func (s *Store) lookForAlarms(last []string) []string {
	alarms, err := s.cluster.alarms(s.background)
	if err != nil || slices.Equal(alarms, last) {
		return last
	}
	if len(alarms) == 0 {
		s.opts.Log.Info("etcd has no alarm any more")
		return alarms
	}
	s.opts.Log.Error("etcd has an alarm", "reason", strings.Join(alarms, ", "),
		"hint", "NOSPACE: compact and defragment, see that the disk has room, then etcdctl alarm disarm; CORRUPT: replace the node")
	return alarms
}

// errand is something that may take long, and is done once at a time.
type errand struct{ busy atomic.Bool }

func (e *errand) run(background *sync.WaitGroup, do func()) {
	if e.busy.CompareAndSwap(false, true) {
		background.Go(func() {
			defer e.busy.Store(false)
			do()
		})
	}
}
