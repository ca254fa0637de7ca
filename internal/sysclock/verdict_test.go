package sysclock

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// looksIn returns how often the clocks are looked at in f.
func (m *machine) looksIn(f func()) int {
	before := 0
	m.change(func() { before = m.looks })
	f()
	after := 0
	m.change(func() { after = m.looks })
	return (after - before) / 2
}

func TestTrustedLooksOnlyWhereSomethingMayHaveChanged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(m *machine)
		looks   int
		want    bool
	}{
		{"nothing", func(*machine) {}, 0, true},
		{"time goes by", func(*machine) { time.Sleep(999 * time.Millisecond) }, 0, true},
		{"slewed within a hair", func(m *machine) { m.set = together }, 0, true},
		{"put forward by little", func(m *machine) { m.set = together + 1 }, 1, true},
		{"put back by little", func(m *machine) { m.set = -together - 1 }, 1, true},
		{"put forward", func(m *machine) { m.set = slack + 1 }, 1, false},
		{"put back", func(m *machine) { m.set = -slack - 1 }, 1, false},
		{"put back by ages", func(m *machine) { m.set = math.MinInt64 }, 1, false},
		{"put forward by ages", func(m *machine) { m.set = math.MaxInt64 }, 1, false},
		{"suspended for a little", func(m *machine) { m.suspended = time.Second }, 1, true},
		{"suspended for so long that who keeps the clock is not known any more", func(m *machine) { m.suspended = stale }, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on(t, func(t *testing.T, m *machine) {
				m.mustTrust(t, true, "at the start")
				m.change(func() { tt.happens(m) })
				n := m.looksIn(func() { m.mustTrust(t, tt.want, "then") })
				n += m.looksIn(func() { m.mustTrust(t, tt.want, "again") })
				if n != tt.looks {
					t.Errorf("%d looks, want %d", n, tt.looks)
				}
			})
		})
	}
}

// Whoever set the clock by half a second in parts has set it by half a second.
func TestSmallJumpsBetweenLooksAddUp(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		for range 2 {
			m.change(func() { m.set += 240 * time.Millisecond })
			m.mustTrust(t, true, "a small jump")
		}
		m.change(func() { m.set += 30 * time.Millisecond })
		m.mustTrust(t, false, "half a second")
	})
}

func TestAVerdictEndsWithWhatItRestsOn(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		m.mustTrust(t, true, "at the start")
		m.change(func() { m.status.Synchronised = false })
		pass(readEvery)
		m.mustTrust(t, false, "in the moment in which the kernel was asked")
	})
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		ctx, stop := context.WithCancel(t.Context())
		go m.Run(ctx)
		synctest.Wait()
		stop()
		pass(stale - 1)
		m.mustTrust(t, true, "nearly a minute after the kernel was asked")
		time.Sleep(time.Nanosecond)
		m.mustTrust(t, false, "a minute after")
	})
}

// Of a wall clock that somebody else gives it is not known what it goes by.
func TestAlwaysLooksWithoutASteadyClock(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		m.Steady = nil
		m.mustTrust(t, true, "at the start")
		if n := m.looksIn(func() { m.mustTrust(t, true, "again") }); n != 1 {
			t.Errorf("%d looks, want 1", n)
		}
	})
}

// The real clocks go together for as long as a verdict stands.
func TestTheVerdictOnThisMachineStands(t *testing.T) {
	w := new(Watch)
	for range 100 {
		if v, ok := w.look(); ok {
			w.ask(v.at.boot)
			v, _ = w.look()
			if v.stands(w.instant()) {
				return
			}
		}
	}
	t.Error("no verdict stands for a moment")
}
