package sysclock

import "time"

// instant is what can be read without a system call.
type instant struct {
	wall   time.Time     // without a monotonic reading
	steady time.Duration // since some moment in the past; never set, stops in a suspend
	half   bool          // steady is not there
}

// start is where steady is counted from.
var start = time.Now()

// instant reads the wall clock, and at the same moment the one that stops in a
// suspend.
func (w *Watch) instant() instant {
	now := time.Now()
	at := instant{wall: now.Round(0), steady: now.Sub(start)} // Round, or Sub would compare the steady readings
	if w.Wall != nil {
		at.wall, at.half = w.Wall().Round(0), w.Steady == nil
	}
	if w.Steady != nil {
		at.steady = w.Steady()
	}
	return at
}

const (
	// together is how far the wall clock and the steady one may be apart since a
	// look for its verdict to stand. The kernel slews both alike, so that they
	// part when one is set, or in a suspend, and then not by so little.
	together = 10 * time.Millisecond

	// lasting is how long a verdict stands. While Run runs there is another one
	// by then.
	lasting = 2 * lookEvery
)

// verdict is what a look has come to. It is not changed once it is there.
type verdict struct {
	at      reading
	trusted bool
	lasts   time.Duration // by the steady clock
}

// judge returns the verdict on the clock as it is at now. The caller holds mu.
func (w *Watch) judge(now reading) verdict {
	fresh := stale - (now.boot - w.readAt)
	return verdict{now, fresh > 0 && w.kept() && !w.jumpedWithin(quarantine, now.boot), min(lasting, fresh)}
}

// stands says whether v holds at now: since its look, the wall clock has not been
// set, the machine has not been suspended, and it is not too long ago. To set it
// back by as long as a suspend has just lasted goes unseen until the next look.
func (v *verdict) stands(now instant) bool {
	if now.half || v.at.half {
		return false
	}
	ago := now.steady - v.at.steady
	// Sub saturates where the difference is centuries; what wraps around then is
	// as far from 0.
	apart := now.wall.Sub(v.at.wall) - ago
	return 0 <= ago && ago < v.lasts && apart.Abs() <= together
}
