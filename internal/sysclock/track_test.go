package sysclock

import (
	"cmp"
	"math"
	"testing"
	"time"
)

// A span is some time in which the wall clock gains ppm millionths, with a look
// at it every so often, after it has been put forward by step.
type span struct {
	step  time.Duration
	lasts time.Duration
	every time.Duration // 0 for a second
	ppm   int64
}

func TestWhatIsAJump(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		spans []span
		want  []time.Duration // to 100 ms
	}{
		{"a quiet hour", []span{{lasts: time.Hour}}, nil},
		{"put forward", []span{{lasts: time.Minute}, {step: 90 * time.Second, lasts: time.Minute}}, []time.Duration{90 * time.Second}},
		{"put back", []span{{lasts: time.Minute}, {step: -90 * time.Second, lasts: time.Minute}}, []time.Duration{-90 * time.Second}},
		{"put forward and right again", []span{{step: 90 * time.Second, lasts: time.Second}, {step: -90 * time.Second, lasts: time.Second}},
			[]time.Duration{90 * time.Second, -90 * time.Second}},
		{"just over half a second", []span{{step: 510 * time.Millisecond, lasts: time.Minute}}, []time.Duration{500 * time.Millisecond}},
		{"just under half a second", []span{{step: -490 * time.Millisecond, lasts: time.Minute}}, nil},
		{"several small ones", []span{
			{step: 700 * time.Millisecond, lasts: 10 * time.Second},
			{step: -600 * time.Millisecond, lasts: 10 * time.Second},
			{step: 800 * time.Millisecond, lasts: 10 * time.Second},
		}, []time.Duration{700 * time.Millisecond, -600 * time.Millisecond, 800 * time.Millisecond}},
		{"three that are too small alone, in a row", []span{
			{step: 300 * time.Millisecond, lasts: time.Second},
			{step: 300 * time.Millisecond, lasts: time.Second},
			{step: 300 * time.Millisecond, lasts: time.Minute},
		}, []time.Duration{700 * time.Millisecond}},
		{"small ones that are far apart", []span{
			{step: 400 * time.Millisecond, lasts: time.Minute},
			{step: 400 * time.Millisecond, lasts: time.Minute},
			{step: 400 * time.Millisecond, lasts: time.Minute},
		}, nil},
		{"slewed by ntpd for an hour", []span{{lasts: time.Hour, ppm: 500}}, nil},
		{"slewed back by ntpd for an hour", []span{{lasts: time.Hour, ppm: -500}}, nil},
		{"slewed by chrony for ten seconds", []span{{lasts: 10 * time.Second, ppm: 83_333}}, nil},
		{"slewed by chrony for an hour", []span{{lasts: time.Hour, ppm: -83_333}}, nil},
		{"slewed by chrony, seldom looked at", []span{{lasts: time.Hour, ppm: 83_333, every: 10 * time.Second}}, nil},
		{"slewed by chrony, looked at all the time", []span{{lasts: time.Minute, ppm: 83_333, every: time.Millisecond}}, nil},
		{"put forward while slewed", []span{{lasts: time.Minute, ppm: -83_333}, {step: 2 * time.Second, lasts: time.Minute, ppm: -83_333}},
			[]time.Duration{1900 * time.Millisecond}},
		{"suspended for eight hours", []span{{lasts: time.Minute}, {lasts: 8 * time.Hour, every: 8 * time.Hour}, {lasts: time.Minute}}, nil},
		{"put forward in a suspend", []span{{lasts: time.Minute}, {step: 90 * time.Second, lasts: 8 * time.Hour, every: 8 * time.Hour}},
			[]time.Duration{90 * time.Second}},
		{"put back to 1902", []span{{step: -45_000 * day, lasts: time.Minute}}, []time.Duration{-45_000 * day}},
		{"put forward by ages", []span{{step: math.MaxInt64, lasts: time.Minute}, {step: math.MaxInt64, lasts: time.Minute}},
			[]time.Duration{math.MaxInt64, math.MaxInt64}},
		{"put back by ages", []span{{step: math.MinInt64, lasts: time.Minute}, {step: math.MinInt64, lasts: time.Minute}},
			[]time.Duration{math.MinInt64, math.MinInt64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := drive(tt.spans)
			ok := len(got) == len(tt.want)
			for i := range min(len(got), len(tt.want)) {
				off := got[i]/2 - tt.want[i]/2 // halves, not to overflow
				ok = ok && off.Abs() <= 50*time.Millisecond
			}
			if !ok {
				t.Errorf("jumps by %v, want %v", got, tt.want)
			}
		})
	}
}

// drive returns the jumps that a track sees in spans.
func drive(spans []span) (jumps []time.Duration) {
	var tr track
	at := reading{instant{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, 77 * time.Hour}
	tr.follow(at)
	for _, s := range spans {
		at.wall = at.wall.Add(s.step)
		every := cmp.Or(s.every, time.Second)
		for gone := time.Duration(0); gone < s.lasts; gone += every {
			at.boot += every
			at.wall = at.wall.Add(every + time.Duration(int64(every)/1_000_000*s.ppm))
			if by := tr.follow(at); by != 0 {
				jumps = append(jumps, by)
			}
		}
	}
	return jumps
}

// Whatever the clocks show, nothing panics, and the next second is quiet again.
func FuzzTrack(f *testing.F) {
	f.Add(int64(0), int64(0), int64(1), int64(1))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MinInt64))
	f.Add(int64(-2_000_000_000), int64(5), int64(4_000_000_000), int64(-5))
	f.Fuzz(func(t *testing.T, wall1, boot1, wall2, boot2 int64) {
		var tr track
		tr.follow(reading{instant{wall: time.Unix(wall1, 0)}, time.Duration(boot1)})
		second := reading{instant{wall: time.Unix(wall2, 0)}, time.Duration(boot2)}
		_ = words(tr.follow(second))
		if second.boot < math.MaxInt64-time.Second {
			tr.follow(reading{instant{wall: second.wall.Add(time.Second)}, second.boot + time.Second})
			if by := tr.follow(reading{instant{wall: second.wall.Add(2 * time.Second)}, second.boot + time.Second*2}); by != 0 {
				t.Errorf("jumped by %v in a quiet second", by)
			}
		}
	})
}
