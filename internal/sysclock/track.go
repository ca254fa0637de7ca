package sysclock

import "time"

const (
	// slack is by how much the wall clock may be off its track. Whoever sets a
	// clock by less than this does codes no harm.
	slack = 500 * time.Millisecond

	// maxSlew is how fast a clock can be slewed: one second in ten, which is the
	// most that Linux allows. ntpd slews by up to 500 ppm, chrony by 83,333 ppm.
	// The kernel slews CLOCK_BOOTTIME together with the wall clock, so that as a
	// rule the two stay together to the nanosecond.
	maxSlew = 10

	// maxGap is how long a time between two looks is taken to have been spent
	// slewing. Without a limit, a clock that is set right after hours of suspend
	// could be set by an hour and pass for slewed.
	maxGap = 10 * time.Second
)

// reading is what the clocks show at one moment.
type reading struct {
	instant
	boot time.Duration // since some moment in the past; never set, counts suspends
}

// track follows the wall clock along the other one, and finds where it jumps.
//
// It expects the wall clock to go on as the other clock does. What it is off is
// forgotten as fast as a clock can be slewed, so slewing never adds up to a
// jump, but small jumps in a row do. Should the process be held up for more
// than about 15 s while the clock is slewed at full speed, and should the kernel
// not slew the other clock with it, then that is taken for a jump; it costs ten
// minutes of learning, where a missed one would cost wrong clocks.
type track struct {
	expected reading
	begun    bool
}

// follow returns by how much the wall clock has jumped since the last call,
// positive if it was put forward, and 0 if it has not.
func (t *track) follow(now reading) (by time.Duration) {
	if !t.begun {
		t.expected, t.begun = now, true
		return 0
	}
	elapsed := max(0, now.boot-t.expected.boot)
	// By Add and Sub of times, not of durations: Sub saturates where the
	// difference is centuries, and Add does not overflow.
	expected := t.expected.wall.Add(elapsed)
	off := now.wall.Sub(expected)
	// The first second is part of the slack.
	if off.Abs() > slack+slewed(elapsed-time.Second) {
		t.expected = now
		return off
	}
	most := slewed(elapsed)
	t.expected.wall, t.expected.boot = expected.Add(min(max(off, -most), most)), now.boot
	return 0
}

// slewed is the most that slewing can make of elapsed.
func slewed(elapsed time.Duration) time.Duration {
	return min(max(elapsed, 0), maxGap) / maxSlew
}
