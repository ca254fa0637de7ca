package sysclock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a computer with a Watch on it. Its time is that of the bubble of
// synctest that it lives in.
type machine struct {
	Watch

	mu        sync.Mutex
	began     time.Time
	set       time.Duration // how far the wall clock has been put forward
	suspended time.Duration
	status    Status
	err       error
	looks     int // how often Boot was called
	log       strings.Builder
}

// on runs f in a bubble, on a machine whose Watch runs and whose clock is kept.
func on(t *testing.T, f func(t *testing.T, m *machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		ctx, stop := context.WithCancel(t.Context())
		go m.Run(ctx)
		synctest.Wait()
		f(t, m)
		stop()
		synctest.Wait()
	})
}

func newMachine() *machine {
	m := &machine{began: time.Now(), status: Status{Synchronised: true}}
	m.Log = slog.New(slog.NewTextHandler(m, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "hint" {
			return slog.Attr{}
		}
		return a
	}}))
	m.Wall = func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return time.Now().Add(m.set + m.suspended) }
	m.Boot = func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.looks++
		return time.Since(m.began) + m.suspended
	}
	m.Steady = func() time.Duration { return time.Since(m.began) }
	m.Read = func() (Status, error) { m.mu.Lock(); defer m.mu.Unlock(); return m.status, m.err }
	m.Hardware = func() (time.Duration, error) { return 0, fs.ErrNotExist }
	return m
}

func (m *machine) Write(line []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(line)
}

func (m *machine) change(f func()) { m.mu.Lock(); f(); m.mu.Unlock() }

func (m *machine) lines() string { m.mu.Lock(); defer m.mu.Unlock(); return m.log.String() }

// pass lets time go by until the Watch has looked.
func pass(d time.Duration) {
	time.Sleep(d) // in a bubble, so it takes no time
	synctest.Wait()
}

func (m *machine) mustTrust(t *testing.T, want bool, when string) {
	t.Helper()
	if got := m.Trusted(); got != want {
		t.Errorf("%s: Trusted() = %v, want %v", when, got, want)
	}
}

func TestTrustedOverTime(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		m.mustTrust(t, true, "at the start")
		m.change(func() { m.set = 90 * time.Second })
		m.mustTrust(t, false, "in the same second as a jump")
		pass(5 * time.Minute)
		m.change(func() { m.set = 0 })
		pass(time.Second)
		m.mustTrust(t, false, "after the jump back")
		pass(9*time.Minute + 58*time.Second)
		m.mustTrust(t, false, "nearly ten minutes later")
		pass(3 * time.Second)
		m.mustTrust(t, true, "ten minutes later")
		m.change(func() { m.status.Synchronised = false })
		pass(11 * time.Second)
		m.mustTrust(t, false, "no longer synchronised")
		m.change(func() { m.status.Synchronised = true })
		pass(11 * time.Second)
		m.mustTrust(t, true, "synchronised again")
		m.change(func() { m.err = errors.New("no") })
		pass(11 * time.Second)
		m.mustTrust(t, false, "the kernel does not answer")
	})
}

func TestTrustMakesUpForTheKernelAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.Trust, m.status = true, Status{}
		ctx, stop := context.WithCancel(t.Context())
		go m.Run(ctx)
		pass(time.Second)
		m.mustTrust(t, true, "not synchronised")
		m.change(func() { m.set = -90 * time.Second })
		pass(time.Second)
		m.mustTrust(t, false, "after a jump")
		pass(quarantine)
		m.mustTrust(t, true, "ten minutes after the jump")
		m.change(func() { m.err = errors.New("no") })
		pass(11 * time.Second)
		m.mustTrust(t, false, "the kernel does not answer")
		stop()
		synctest.Wait()
	})
}

func TestNotTrustedWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.mustTrust(t, false, "before Run")
		ctx, stop := context.WithCancel(t.Context())
		go m.Run(ctx)
		pass(time.Second)
		m.mustTrust(t, true, "while Run runs")
		stop()
		pass(58 * time.Second)
		m.mustTrust(t, true, "just after Run")
		pass(time.Second)
		m.mustTrust(t, false, "a minute after Run")
	})
	if new(Watch).Trusted() {
		t.Error("the zero Watch is trusted")
	}
}

func TestSuspendIsNoJump(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		pass(time.Minute)
		m.change(func() { m.suspended = 8 * time.Hour })
		m.mustTrust(t, false, "before the kernel was asked again")
		pass(time.Second)
		m.mustTrust(t, true, "after a suspend")
		if jumps := m.Jumps(); len(jumps) != 0 {
			t.Errorf("jumps %v", jumps)
		}
	})
}

// A program that is held up between its reads of the two clocks sees them apart.
func TestHeldUpBetweenTheClocks(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		wall := m.Wall
		held := 0
		m.Wall = func() time.Time {
			now := wall()
			if held > 0 {
				held--
				m.change(func() { m.suspended += 3 * time.Second })
			}
			return now
		}
		held = 1
		m.change(func() { m.suspended += time.Second })
		m.mustTrust(t, true, "held up once")
		held = 1000
		m.change(func() { m.suspended += time.Second }) // or nobody would look
		m.mustTrust(t, false, "held up all the time")
		held = 0
		if jumps := m.Jumps(); len(jumps) != 0 {
			t.Errorf("jumps %v", jumps)
		}
	})
}

func TestLogsEachEventOnce(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		pass(time.Hour)
		m.change(func() { m.set = 90 * time.Second; m.status.Synchronised = false })
		pass(time.Hour)
		m.change(func() { m.status.Synchronised = true })
		pass(time.Hour)
		m.change(func() { m.err = errors.New("operation not permitted") })
		pass(time.Hour)
		m.change(func() { m.err = nil })
		pass(time.Hour)
		m.change(func() { m.set = 89 * time.Second })
		pass(time.Hour)
		want := `level=WARN msg="the system clock has jumped" by=1m30s
level=WARN msg="the system clock is not synchronised"
level=INFO msg="the system clock is synchronised"
level=WARN msg="cannot tell whether the system clock is synchronised" err="operation not permitted"
level=INFO msg="the system clock is synchronised"
level=WARN msg="the system clock has jumped" by=-1s
`
		if got := m.lines(); got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
	})
}

// Whoever sets the clock tells the kernel that it is not kept, often.
func TestAsksTheKernelRightAfterAJump(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		pass(time.Second)
		m.change(func() { m.set = time.Minute; m.status.Synchronised = false })
		pass(time.Second)
		if !strings.Contains(m.lines(), "not synchronised") {
			t.Errorf("log:\n%s", m.lines())
		}
	})
}

func TestKeepsTheLastJumps(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		for range 100 {
			m.change(func() { m.set += time.Minute })
			pass(time.Second)
		}
		m.change(func() { m.set -= time.Hour })
		pass(time.Second)
		jumps := m.Jumps()
		last := jumps[len(jumps)-1]
		if len(jumps) != keptJumps || last.By != -time.Hour || !last.At.Equal(m.Wall()) || jumps[0].By != time.Minute {
			t.Errorf("%d jumps, the last %+v", len(jumps), last)
		}
	})
}

func TestYearsAndTimesBefore1970(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		for _, set := range []time.Duration{-200 * 365 * 24 * time.Hour, math.MaxInt64, math.MinInt64, 0} {
			m.change(func() { m.set = set })
			pass(time.Second)
			m.mustTrust(t, false, fmt.Sprint("put forward by ", set))
			_ = m.Findings()
		}
		if n := len(m.Jumps()); n != 4 {
			t.Errorf("%d jumps, want 4", n)
		}
	})
}

func TestTheClocksOfThisMachine(t *testing.T) {
	w := new(Watch)
	for range 1000 {
		if _, ok := w.look(); !ok && testing.Verbose() {
			t.Log("held up")
		}
	}
	if jumps := w.Jumps(); len(jumps) != 0 {
		t.Errorf("jumps %v in no time", jumps)
	}
	if now := w.instant().wall.String(); strings.Contains(now, "m=") {
		t.Errorf("the wall clock shows %s, whose differences are those of the monotonic clock", now)
	}
	if w.boot() <= 0 {
		t.Errorf("up for %v", w.boot())
	}
}

func TestManyLoginsAtOnce(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					m.Trusted()
					m.Jumps()
				}
			})
		}
		m.change(func() { m.set = time.Minute })
		all.Wait()
		pass(time.Second)
		if n := len(m.Jumps()); n != 1 {
			t.Errorf("%d jumps, want 1", n)
		}
	})
}

func BenchmarkTrusted(b *testing.B) {
	w := &Watch{Trust: true}
	if v, ok := w.look(); ok {
		w.ask(v.at.boot)
	}
	for b.Loop() {
		w.Trusted()
	}
}
