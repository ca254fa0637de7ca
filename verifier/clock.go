package verifier

import "time"

// The bounds of the model that the package comment explains.
const (
	entryDelay = 48 * time.Second // D, from reading a code to its arrival
	maxRate    = 60_000           // of a device that nothing is known of, either way; parts per billion
)

// Clock is what is known of a device's clock. The zero Clock knows nothing.
type Clock struct {
	At     time.Time // of the last observation, whole milliseconds, UTC; zero for none
	Offset Offsets   // at At
	Rate   Rates

	Since time.Time // when learning began, as At and never after it
	Start Offsets   // at Since
}

// Offsets bounds how far a device's clock is ahead of the server's, in whole
// milliseconds; negative is behind.
type Offsets struct{ Low, High time.Duration }

// Rates bounds what a device's clock gains on the server's, in parts per
// billion.
type Rates struct{ Low, High int64 }

// observation returns the offsets that a device can have whose code of step
// arrives at t: it showed the code at t or up to delay before, while its own
// clock was within the step, and has drifted little since.
func observation(k Key, step int64, t time.Time, delay time.Duration) Offsets {
	early, little := between(t, k.Start(step)), drift(delay, maxRate)
	return Offsets{early - little, early + k.Period + delay + little}.whole()
}

// begin returns the Clock of which nothing is known but one observation.
func begin(o Offsets, t time.Time) Clock {
	return Clock{At: stamp(t), Offset: o, Rate: Rates{-maxRate, maxRate}, Since: stamp(t), Start: o}
}

// at returns the offsets that the device can have at t: the wider, the further t
// is from the last observation, on either side. One that was never seen is taken
// to be within a step of the server.
func (c Clock) at(k Key, t time.Time) Offsets {
	if c.At.IsZero() {
		return Offsets{-k.Period, k.Period}
	}
	return c.Offset.after(between(c.At, t), c.Rate)
}

// fits says whether the device can have the offsets that were seen at t.
func (c Clock) fits(k Key, seen Offsets, t time.Time) bool { return !c.at(k, t).and(seen).empty() }

// observe returns the Clock with what was seen at t. It never knows less than
// before, unless that contradicts what was seen: then the device was set, and
// nothing else is known any more.
func (c Clock) observe(k Key, seen Offsets, t time.Time) Clock {
	now := c.at(k, t).and(seen)
	if c.At.IsZero() || now.empty() {
		return begin(seen, t)
	}
	c.At, c.Offset = stamp(t), now
	if c.At.Before(c.Since) { // the server's clock was put back
		c.Since, c.Start = c.At, now
	}
	if c = c.conclude(); c.Rate.Low > c.Rate.High || c.Start.empty() {
		return begin(seen, t)
	}
	return c
}

// conclude narrows the rate by how far the offset has gone from where it was at
// the start, and then the start by that rate.
func (c Clock) conclude() Clock {
	d := between(c.Since, c.At)
	if d < time.Hour {
		return c // no offset is known well enough for it to tell anything
	}
	least, most := c.Offset.Low-c.Start.High, c.Offset.High-c.Start.Low
	c.Rate = Rates{max(c.Rate.Low, rate(least, d)), min(c.Rate.High, rate(most, d)+1)}
	c.Start = c.Start.and(c.Offset.after(-d, c.Rate))
	return c
}

// after returns where o can have got to in d, which may be negative.
func (o Offsets) after(d time.Duration, r Rates) Offsets {
	a, b := drift(d, r.Low), drift(d, r.High)
	return Offsets{o.Low + min(a, b), o.High + max(a, b)}.whole()
}

func (o Offsets) and(p Offsets) Offsets { return Offsets{max(o.Low, p.Low), min(o.High, p.High)} }

func (o Offsets) empty() bool { return o.Low > o.High }

// Likely returns where in o a device is likeliest, and by how much that can be
// wrong, for people to read: a code is mostly typed within ten seconds, and read
// in the middle of its step, and so is nearer to the low end.
func (o Offsets) Likely() (offset, wrong time.Duration) {
	offset = o.Low + min((o.High-o.Low)/3, 25*time.Second)
	return offset, o.High - offset
}

// whole rounds o to the milliseconds that are kept, away from its middle.
func (o Offsets) whole() Offsets {
	low, high := o.Low.Truncate(time.Millisecond), o.High.Truncate(time.Millisecond)
	if low > o.Low {
		low -= time.Millisecond
	}
	if high < o.High {
		high += time.Millisecond
	}
	return Offsets{low, high}
}

// drift returns what a clock of so many parts per billion gains in d.
func drift(d time.Duration, ppb int64) time.Duration {
	return time.Duration(d.Milliseconds() * ppb / 1000)
}

// rate is the opposite of drift, rounded down.
func rate(gained, d time.Duration) int64 {
	n, m := gained.Microseconds()*1_000_000, d.Milliseconds()
	r := n / m
	if n%m < 0 {
		r--
	}
	return r
}

// between returns the time from one moment to another. Beyond ten years it says
// ten years, which nothing here tells from more, and which does not overflow.
func between(from, to time.Time) time.Duration {
	const most = 10 * 365 * 24 * time.Hour
	return min(max(to.Sub(from), -most), most)
}
