package sysclock

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lookEvery = time.Second
	readEvery = 10 * time.Second // how often the kernel is asked

	// After a jump nobody knows whether the clock was set right or wrong. In ten
	// minutes whatever keeps it has looked at it again.
	quarantine = 10 * time.Minute

	// stale is when the kernel's word is too old to be trusted, because Run was
	// held up or has ended, or the machine was suspended.
	stale = time.Minute

	keptJumps = 16
)

// Jump is one time that the wall clock was set.
type Jump struct {
	At time.Time     // by the wall clock, just after
	By time.Duration // positive: put forward
}

// Watch looks after the clock of this machine while [Watch.Run] runs. The zero
// Watch is ready to use. The exported fields are set before the first call and
// not changed afterwards. Its methods may be called at once.
//
// A leap second that the kernel puts in or leaves out is a jump of one second.
// A virtual machine that its host has paused sees no jump until somebody sets
// its clock, because both its clocks stood still.
type Watch struct {
	// Trust says that the clock is kept right by something that the kernel does
	// not know of, such as the tools of a virtual machine's host. It makes a
	// clock that is not synchronised count as one that is; jumps, and a kernel
	// that cannot be asked, still do not.
	Trust bool

	Log *slog.Logger // nil discards

	Wall     func() time.Time              // nil for the wall clock; a monotonic reading in it is not looked at
	Boot     func() time.Duration          // nil for CLOCK_BOOTTIME; a clock that is never set and does not stop in a suspend
	Steady   func() time.Duration          // nil for CLOCK_MONOTONIC, or for none where there is a Wall; as Boot, but it stops in a suspend
	Read     func() (Status, error)        // nil for the function Read
	Hardware func() (time.Duration, error) // nil for the function HardwareClock

	mu     sync.Mutex // guards the rest; held while clocks are read, not while logging
	track  track
	jumps  []jump // the last keptJumps, the newest last
	keeper keeper
	readAt time.Duration // by Boot, when keeper was found out

	last atomic.Pointer[verdict] // of the last look, nil if it may have changed since; written under mu
}

// jump is a Jump with its time by Boot, because the wall clock's cannot be
// relied on.
type jump struct {
	Jump
	boot time.Duration
}

// keeper is what is known about who keeps the clock right.
type keeper int

const (
	notAsked   keeper = iota
	unreadable        // the kernel did not say
	nobody            // not synchronised
	somebody          // synchronised
)

// Run looks at the clocks once a second and asks the kernel every ten, until
// ctx ends. It logs each jump, and when the clock becomes synchronised or stops
// being so. One Run at a time.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if v, ok := w.look(); ok && w.due(v.at.boot) {
			w.ask(v.at.boot)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Trusted reports whether the clocks of devices may be learned from this
// machine's clock now: something keeps it right (or Trust says so), it has not
// jumped in the last ten minutes, and both are known. It is false until Run has
// asked the kernel, and a minute after Run has ended.
//
// It reads the clocks itself, so that nothing is learned between a jump and the
// second when Run sees it. Mostly that takes no system call.
func (w *Watch) Trusted() bool {
	if v := w.last.Load(); v != nil && v.stands(w.instant()) {
		return v.trusted
	}
	v, ok := w.look()
	return ok && v.trusted
}

func (w *Watch) kept() bool { return w.keeper == somebody || w.Trust && w.keeper == nobody }

func (w *Watch) jumpedWithin(d, now time.Duration) bool {
	return len(w.jumps) > 0 && now-w.jumps[len(w.jumps)-1].boot < d
}

// Jumps returns the last few jumps, the newest last.
func (w *Watch) Jumps() []Jump {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Jump
	for _, j := range w.jumps {
		all = append(all, j.Jump)
	}
	return all
}

// look compares the clocks, records a jump, and gives its verdict. It is not ok
// when they could not be read together.
func (w *Watch) look() (v verdict, ok bool) {
	w.mu.Lock()
	at, ok := w.clocks()
	var by time.Duration
	if ok {
		by = w.track.follow(at)
	}
	if by != 0 {
		first := max(0, len(w.jumps)-keptJumps+1)
		w.jumps = append(slices.Clone(w.jumps[first:]), jump{Jump{at.wall, by}, at.boot})
	}
	if ok {
		v = w.judge(at)
		w.last.Store(&v)
	}
	w.mu.Unlock()
	if by != 0 {
		w.log().Warn("the system clock has jumped", "by", by.Round(time.Millisecond),
			"hint", "nothing is learned from logins for ten minutes; find out what set it, and see lockstep doctor")
	}
	return v, ok
}

// clocks reads the clocks at one moment. The process may be held up between
// two reads for any time, which must not look like a jump.
func (w *Watch) clocks() (at reading, ok bool) {
	for range 3 {
		before := w.boot()
		now := w.instant()
		if took := w.boot() - before; took < slack/10 {
			return reading{now, before + took/2}, true
		}
	}
	return reading{}, false
}

// due says whether it is time to ask the kernel again. Right after a jump it
// is: whoever set the clock has often told the kernel that it is not kept.
func (w *Watch) due(now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	jumped := len(w.jumps) > 0 && w.jumps[len(w.jumps)-1].boot > w.readAt
	return w.keeper == notAsked || jumped || now-w.readAt >= readEvery
}

// ask asks the kernel who keeps the clock.
func (w *Watch) ask(now time.Duration) {
	status, err := w.read()
	is := nobody
	switch {
	case err != nil:
		is = unreadable
	case status.Synchronised:
		is = somebody
	}
	w.mu.Lock()
	was := w.keeper
	w.keeper, w.readAt = is, now
	w.last.Store(nil)
	w.mu.Unlock()
	if is != was {
		w.report(was, is, err)
	}
}

// report logs a change of who keeps the clock. A start with everything in order
// is none.
func (w *Watch) report(was, is keeper, err error) {
	switch {
	case is == unreadable:
		w.log().Warn("cannot tell whether the system clock is synchronised", "err", err, "hint", unreadableAdvice)
	case is == nobody && w.Trust:
		w.log().Info("the system clock is not synchronised, but is trusted by the configuration")
	case is == nobody:
		w.log().Warn("the system clock is not synchronised", "hint", "nothing is learned from logins; "+keeperAdvice)
	case was != notAsked:
		w.log().Info("the system clock is synchronised")
	}
}

func (w *Watch) log() *slog.Logger {
	if w.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return w.Log
}

func (w *Watch) boot() time.Duration {
	if w.Boot != nil {
		return w.Boot()
	}
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // fails only on Linux before 2.6.39, where Go does not run
	return time.Duration(t.Nano())
}

func (w *Watch) read() (Status, error) {
	if w.Read != nil {
		return w.Read()
	}
	return Read()
}
