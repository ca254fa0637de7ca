package verifier

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
	"time"
)

// device is a clock that gains on the server's at an even rate.
type device struct {
	offset time.Duration // at start
	ppb    int64
}

func (d device) ahead(t time.Time) time.Duration {
	return d.offset + time.Duration(float64(t.Sub(start))*float64(d.ppb)/1e9)
}

// shows returns the step whose code d shows at t.
func (d device) shows(k Key, t time.Time) int64 { return k.Step(t.Add(d.ahead(t))) }

// history is a run of logins with what one device showed.
type history struct {
	device
	key Key
	rng *rand.Rand
	now time.Time
}

func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &history{key: testKey, rng: r, now: start}
	h.key.Period = []time.Duration{15, 30, 60, 120}[r.IntN(4)] * time.Second
	h.offset = time.Duration(r.Int64N(int64(40*time.Hour))) - 20*time.Hour
	h.ppb = r.Int64N(2*maxRate+1) - maxRate
	if r.IntN(4) == 0 {
		h.ppb = []int64{-maxRate, 0, maxRate}[r.IntN(3)]
	}
	return h
}

// login moves on, and returns the step whose code arrives now. Delays of nothing
// and of all that is allowed are as frequent as all others, and so are codes
// read in the first and the last moment of their step.
func (h *history) login() int64 {
	gap := time.Duration(math.Pow(10, 9+7*h.rng.Float64())) // a second to four months
	h.now = h.now.Add(gap)
	delay := time.Duration(h.rng.Int64N(int64(entryDelay) + 1))
	switch h.rng.IntN(4) {
	case 0:
		delay = 0
	case 1:
		delay = entryDelay
	}
	read := h.now.Add(-delay)
	if h.rng.IntN(3) == 0 { // at a step's edge of the device
		on := read.Add(h.ahead(read))
		edge := h.key.Start(h.key.Step(on) + 1).Sub(on)
		if h.rng.IntN(2) == 0 {
			edge -= time.Millisecond
		}
		h.now, read = h.now.Add(edge), read.Add(edge)
	}
	return h.shows(h.key, read)
}

// Whatever a device within the bounds shows, its true offset and rate are never
// excluded, and what is known is never less than before.
func TestClockHoldsTheTruth(t *testing.T) {
	property := func(seed uint64) bool {
		h := newHistory(seed)
		var c Clock
		for i := range 40 {
			step := h.login()
			seen := observation(h.key, step, h.now, entryDelay)
			before := c.at(h.key, h.now)
			next := c.observe(h.key, seen, h.now)
			truth := h.ahead(h.now)
			const rounding = time.Millisecond
			switch {
			case truth < next.Offset.Low-rounding || truth > next.Offset.High+rounding:
				t.Logf("seed %d, login %d: offset %v not in %v", seed, i, truth, next.Offset)
				return false
			case next.Rate.Low > h.ppb || next.Rate.High < h.ppb:
				t.Logf("seed %d, login %d: rate %d not in %v", seed, i, h.ppb, next.Rate)
				return false
			case i > 0 && (next.Offset != next.Offset.and(before) || next.Since != c.Since):
				t.Logf("seed %d, login %d: %v became %v", seed, i, before, next.Offset)
				return false
			case i > 0 && (next.Rate.Low < c.Rate.Low || next.Rate.High > c.Rate.High || next.Start != next.Start.and(c.Start)):
				t.Logf("seed %d, login %d: knows less of the rate", seed, i)
				return false
			}
			c = next
		}
		return true
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 3000}); err != nil {
		t.Error(err)
	}
}

// What a device within the bounds shows is acceptable, as long as enough is known
// of it; what is spent never is.
func TestAcceptable(t *testing.T) {
	property := func(seed uint64) bool {
		h := newHistory(seed)
		var s State
		for i := range 40 {
			step := h.login()
			acceptable := s.Acceptable(h.key, h.now)
			if slices.ContainsFunc(acceptable, s.spent) {
				t.Logf("seed %d, login %d: a spent step", seed, i)
				return false
			}
			if sorted := slices.Sorted(slices.Values(acceptable)); len(slices.Compact(sorted)) != len(acceptable) {
				t.Logf("seed %d, login %d: a step twice in %v", seed, i, acceptable)
				return false
			}
			o := s.Clock.at(h.key, h.now)
			known := i > 0 && o.High-o.Low <= maxWidth
			if known && !s.spent(step) && !slices.Contains(acceptable, step) {
				t.Logf("seed %d, login %d: %d is not in %v", seed, i, step, acceptable)
				return false
			}
			s = s.spend(h.key, Spent{Step: step, At: stamp(h.now)}).learn(h.key, step, h.now)
		}
		return true
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 1000}); err != nil {
		t.Error(err)
	}
}

// An independent reckoning: with one observation, a step is acceptable if there
// is an offset, a delay then and a delay now that explain both codes.
func TestAcceptableByBruteForce(t *testing.T) {
	long(t)
	k := testKey
	first := k.Step(start) + 100
	s := State{}.learn(k, first, start)
	for after := time.Duration(0); after < 3*time.Minute; after += 1700 * time.Millisecond {
		now := start.Add(after)
		want := map[int64]bool{k.Step(now): true, k.Step(now) - 1: true}
		for was := time.Duration(0); was <= entryDelay; was += 500 * time.Millisecond {
			for in := time.Duration(0); in < k.Period; in += 500 * time.Millisecond {
				offset := k.Start(first).Add(in).Sub(start.Add(-was)) // of a device that showed first then
				for is := time.Duration(0); is <= entryDelay; is += 500 * time.Millisecond {
					want[k.Step(now.Add(offset-is))] = true
				}
			}
		}
		got := s.Acceptable(k, now)
		for step := range want {
			if !slices.Contains(got, step) {
				t.Errorf("after %v: step %d is missing in %v", after, step-first, got)
			}
		}
		if extra := len(got) - len(want); extra > 1 { // one for the half second and the drift
			t.Errorf("after %v: %d steps more than can be explained", after, extra)
		}
	}
}

// A clock that was set is learned anew, and what was set back as well.
func TestClockThatWasSet(t *testing.T) {
	k := testKey
	at := func(s State, offset int64, t time.Time) State { return s.learn(k, k.Step(t)+offset, t) }
	fast := at(State{}, 720, start) // 6 h
	set := at(fast, 0, start.Add(time.Hour))
	if set.Clock.Since != start.Add(time.Hour) || set.Former != fast.Clock {
		t.Fatalf("set right: %+v", set)
	}
	back := at(set, 720, start.Add(2*time.Hour))
	if back.Clock.Since != start || back.Former != set.Clock {
		t.Errorf("set wrong again: %+v", back)
	}
	late := start.Add(formerAge + 2*time.Hour)
	if got := set.Acceptable(k, start.Add(2*time.Hour)); !slices.Contains(got, k.Step(start.Add(2*time.Hour))+720) {
		t.Errorf("the former clock does not count: %v", got)
	}
	if got := set.Acceptable(k, late); slices.ContainsFunc(got, func(step int64) bool { return step > k.Step(late)+60 }) {
		t.Errorf("the former clock counts for ever: %v", got)
	}
}

// No moment and no state make it panic, loop or accept much.
func TestClockOfAllTimes(t *testing.T) {
	moments := []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), start, start.AddDate(30, 0, 0), start.AddDate(-30, 0, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(math.MaxInt64/2, 0), time.Unix(math.MinInt64/2, 0)}
	steps := []int64{math.MinInt64, -1, 0, 1, testKey.Step(start), math.MaxInt64}
	for _, a := range moments {
		for _, b := range moments {
			for _, c := range moments {
				for _, step := range steps {
					s := State{}.learn(testKey, testKey.Step(a), a).learn(testKey, testKey.Step(b)+5, b).learn(testKey, step, c)
					for _, now := range moments {
						if n := len(s.Acceptable(testKey, now)); n > 24 {
							t.Errorf("%v, %v, %v, %d: %d steps at %v", a, b, c, step, n, now)
						}
					}
				}
			}
		}
	}
}

func TestStepBefore1970(t *testing.T) {
	for _, tt := range []struct{ unix, want int64 }{{0, 0}, {29, 0}, {30, 1}, {-1, -1}, {-30, -1}, {-31, -2}} {
		if got := testKey.Step(time.Unix(tt.unix, 0)); got != tt.want {
			t.Errorf("Step(%d) = %d, want %d", tt.unix, got, tt.want)
		}
	}
	w := newWorld(t)
	w.now = time.Unix(-86400*365, 0)
	w.must("secret000000", Refused, WrongCode)
}

func ExampleState_Acceptable() {
	k := testKey
	var s State
	t := time.Date(2026, 3, 1, 12, 0, 15, 0, time.UTC)
	fmt.Println("never seen:", relative(k, s, t))
	s = s.learn(k, k.Step(t)+18, t)
	fmt.Println("9 min fast:", relative(k, s, t.Add(24*time.Hour)))
	// Output:
	// never seen: [-3 -2 -1 0 1]
	// 9 min fast: [-1 0 16 17 18 19 20]
}

func relative(k Key, s State, t time.Time) []int64 {
	steps := slices.Sorted(slices.Values(s.Acceptable(k, t)))
	for i := range steps {
		steps[i] -= k.Step(t)
	}
	return steps
}
