package verifier

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// A crowd is many users who log in again and again.
type crowd struct {
	together
	now time.Time
}

// pass lets users first to last-1 log in, one after the other, evenly over d.
func (c *crowd) pass(first, last int, d time.Duration, moved func(user int) time.Duration) {
	for user := first; user < last; user++ {
		c.now = c.now.Add(d / time.Duration(last-first))
		c.note(fmt.Sprint("user", user), moved(user), c.now)
	}
}

func by(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// some gives the first n users moved, and the others none.
func some(n int, moved time.Duration) func(int) time.Duration {
	return func(user int) time.Duration {
		if user < n {
			return moved
		}
		return 0
	}
}

func (c *crowd) must(t *testing.T, want bool, when string) Alarm {
	t.Helper()
	a, got := c.alarm(c.now)
	if got != want {
		t.Errorf("%s: alarm %v (%v), want %v", when, got, a, want)
	}
	if got && (a.Users > a.Of || a.Since.IsZero()) || !got && a != (Alarm{}) {
		t.Errorf("%s: %+v, %v", when, a, got)
	}
	return a
}

func TestWhatRaisesTheAlarm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		users int
		moved func(user int) time.Duration
		want  string // empty for no alarm
	}{
		{"nobody has moved", 200, by(0), ""},
		{"all have, by as much as people do", 200, by(20 * time.Second), ""},
		{"all have, by a little more", 200, by(21 * time.Second),
			"the codes of 200 of the 200 users seen in the last 15 min say that this server's clock went back by 21 s"},
		{"the server went back", 200, by(90 * time.Second),
			"the codes of 200 of the 200 users seen in the last 15 min say that this server's clock went back by 1 min 30 s"},
		{"the server went forward", 15, some(12, -90*time.Second),
			"the codes of 12 of the 15 users seen in the last 15 min say that this server's clock went forward by 1 min 30 s"},
		{"four users are not enough", 4, by(90 * time.Second), ""},
		{"five users are", 5, by(90 * time.Second),
			"the codes of 5 of the 5 users seen in the last 15 min say that this server's clock went back by 1 min 30 s"},
		{"three of a thousand have set their phones", 1000, some(3, time.Hour), ""},
		{"seven in fifteen", 15, some(7, time.Hour), ""},
		{"half", 10, some(5, time.Hour),
			"the codes of 5 of the 10 users seen in the last 15 min say that this server's clock went back by 1 h 0 min"},
		{"summer time set by hand by two in five", 200, some(80, time.Hour), ""},
		{"summer time set by hand by three in five", 200, some(120, time.Hour),
			"the codes of 120 of the 200 users seen in the last 15 min say that this server's clock went back by 1 h 0 min"},
		{"some this way, some that way", 200, func(user int) time.Duration {
			return []time.Duration{90 * time.Second, -90 * time.Second, 0}[user%3]
		}, ""},
		{"by random amounts", 200, func(int) time.Duration { return time.Duration(random.Int64N(int64(8*time.Minute))) - 4*time.Minute }, ""},
		{"ahead by random amounts", 200, func(int) time.Duration { return time.Duration(random.Int64N(int64(8 * time.Minute))) }, ""},
		{"all by the same but for reading and typing", 200, func(user int) time.Duration {
			return 78*time.Second + time.Duration(user%25)*time.Second
		}, "the codes of 200 of the 200 users seen in the last 15 min say that this server's clock went back by 1 min 30 s"},
		{"most by the same and some by anything", 200, func(user int) time.Duration {
			if user%10 < 6 {
				return 90 * time.Second
			}
			return 5*time.Minute + time.Duration(random.Int64N(int64(24*time.Hour)))
		}, "the codes of 120 of the 200 users seen in the last 15 min say that this server's clock went back by 1 min 30 s"},
		{"by ages", 5, by(math.MinInt64), "the codes of 5 of the 5 users seen in the last 15 min say that this server's clock went forward by " + Words(math.MaxInt64)},
		{"by more ages", 5, by(math.MaxInt64), "the codes of 5 of the 5 users seen in the last 15 min say that this server's clock went back by " + Words(math.MaxInt64)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := crowd{now: noon}
			c.pass(0, tt.users, 10*time.Minute, tt.moved)
			a := c.must(t, tt.want != "", "at the end")
			if tt.want != "" && a.String() != tt.want {
				t.Errorf("got  %q\nwant %q", a, tt.want)
			}
		})
	}
}

// 200 users have logged in, then the server is put back by 90 s, and they come
// in again over ten minutes.
func setBack(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{now: noon}
	c.pass(0, 200, 10*time.Minute, by(0))
	c.must(t, false, "before")

	// Those seen before count for a while, so that it takes half of them if all
	// come at once.
	c.pass(0, 99, 5*time.Minute, by(90*time.Second))
	c.must(t, false, "99 of 200 have come in")
	c.pass(99, 100, 3*time.Second, by(90*time.Second))
	raised := c.now
	if a := c.must(t, true, "half have come in"); a.Users != 100 || a.Of != 200 || !a.Since.Equal(raised) {
		t.Errorf("%+v", a)
	}
	c.pass(100, 200, 5*time.Minute, by(90*time.Second))
	if a := c.must(t, true, "all have come in"); a.Users != 200 || a.Moved != 90*time.Second || !a.Since.Equal(raised) {
		t.Errorf("%+v, want since %v", a, raised)
	}
	return c
}

func TestServerIsPutRight(t *testing.T) {
	c := setBack(t)
	c.pass(0, 100, 5*time.Minute, by(0))
	c.must(t, true, "half seen again")
	c.pass(100, 101, time.Second, by(0))
	c.must(t, false, "more than half seen again")
}

func TestServerIsLeftAlone(t *testing.T) {
	c := setBack(t)
	c.now = c.now.Add(15 * time.Minute)
	c.must(t, false, "the last of 200 is a quarter of an hour old")
	c.now = c.now.Add(time.Hour)
	c.must(t, false, "nobody seen for an hour")
	if len(c.byID) != 0 {
		t.Errorf("remembers %d", len(c.byID))
	}
}

func TestServerIsSetInAQuietTime(t *testing.T) {
	c := crowd{now: noon}
	c.pass(0, 200, 10*time.Minute, by(90*time.Second))
	if a := c.must(t, true, "all seen"); a.Since.Sub(noon) != 15*time.Second {
		t.Errorf("since %v after the first, want 15 s: the fifth user", a.Since.Sub(noon))
	}
}

func TestSinceBeginsAnew(t *testing.T) {
	c := crowd{now: noon}
	c.pass(0, 5, time.Minute, by(time.Hour))
	c.pass(0, 5, time.Minute, by(0))
	c.must(t, false, "all right again")
	c.pass(0, 5, time.Minute, by(time.Hour))
	if a := c.must(t, true, "again"); !a.Since.Equal(c.now) {
		t.Errorf("since %v, want %v", a.Since, c.now)
	}
}

func TestOneKeyCountsOnce(t *testing.T) {
	c := crowd{now: noon}
	for range 100_000 {
		c.pass(0, 1, time.Millisecond, by(time.Hour))
	}
	c.must(t, false, "one user, again and again")
	if c.latest.Len() != 1 || len(c.byID) != 1 || len(c.sorted) != 1 {
		t.Errorf("remembers %d, %d, %d", c.latest.Len(), len(c.byID), len(c.sorted))
	}
}

func TestRemembersTheLatestOnly(t *testing.T) {
	c := crowd{now: noon}
	c.pass(0, 5000, time.Minute, by(0))
	c.pass(5000, 5000+togetherMost/2, time.Minute, by(time.Hour))
	if a := c.must(t, true, "half of the last 4096"); a.Of != togetherMost || len(c.byID) != togetherMost || c.latest.Len() != togetherMost || len(c.sorted) != togetherMost/2 {
		t.Errorf("%+v, of %d, %d, %d of them moved", a, len(c.byID), c.latest.Len(), len(c.sorted))
	}
	c.pass(5000, 5001, time.Second, by(0))
	c.must(t, false, "one of them has come back")
}

// What was noted before the clock went back lies in the future then.
func TestClockGoesBack(t *testing.T) {
	for _, back := range []time.Duration{30 * time.Second, 90 * time.Second, time.Hour, 100 * 365 * 24 * time.Hour, math.MaxInt64} {
		t.Run(back.String(), func(t *testing.T) {
			c := crowd{now: noon}
			c.pass(0, 100, 10*time.Minute, by(time.Hour))
			c.must(t, true, "before")
			c.now = c.now.Add(-back)
			if a, on := c.alarm(c.now); on && a.Since.Sub(c.now) > clockSlack {
				t.Errorf("since %v, which is yet to come at %v", a.Since, c.now)
			}
			c.pass(100, 105, time.Minute, by(0))
			if back > 15*time.Minute {
				c.must(t, false, "five seen since")
			}
			c.now = c.now.Add(togetherAge + clockSlack + time.Second)
			c.must(t, false, "a quarter of an hour later")
			if len(c.byID) != 0 {
				t.Errorf("%d stuck", len(c.byID))
			}
			c.pass(0, 5, time.Minute, by(-back))
			c.must(t, true, "again")
		})
	}
}

// What raised the alarm may be forgotten as of the future while enough of the
// rest agrees.
func TestSinceIsNotInTheFuture(t *testing.T) {
	c := crowd{now: noon}
	c.pass(0, 11, time.Minute, some(5, time.Hour))
	c.must(t, false, "five of eleven")
	c.now = c.now.Add(5 * time.Minute)
	c.pass(5, 6, time.Second, by(time.Hour))
	c.must(t, true, "six of eleven")
	c.now = c.now.Add(-3 * time.Minute)
	if a := c.must(t, true, "five of ten"); a.Of != 10 || !a.Since.Equal(c.now) {
		t.Errorf("%+v at %v", a, c.now)
	}
}

// Attempts that are decided at once may be noted in any order.
func TestNotedOutOfOrder(t *testing.T) {
	c := crowd{now: noon}
	c.note("first", time.Hour, noon)
	c.note("second", time.Hour, noon.Add(-40*time.Second))
	c.alarm(noon.Add(-50 * time.Second))
	if len(c.byID) != 2 {
		t.Errorf("remembers %d, want 2", len(c.byID))
	}
	c.alarm(noon.Add(-90 * time.Second))
	if len(c.byID) != 0 {
		t.Errorf("%d stuck in the future", len(c.byID))
	}
}

func TestClockGoesForward(t *testing.T) {
	c := crowd{now: noon}
	c.pass(0, 100, time.Minute, by(time.Hour))
	c.now = c.now.Add(math.MaxInt64)
	c.must(t, false, "three hundred years later")
}

// Whatever the order of ids, movements and times, the alarm is that of its
// definition, worked out anew each time.
func TestAlarmIsAsDefined(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		c := crowd{now: noon}
		seen := map[string]sighting{}
		step := time.Duration(random.Int64N(int64(time.Minute)))
		moves := []time.Duration{0, 20 * time.Second, 21 * time.Second, 51 * time.Second, 52 * time.Second, 82 * time.Second, -time.Minute, time.Hour}
		moves = moves[:1+random.IntN(len(moves))]
		for range 60 {
			c.now = c.now.Add(step)
			s := sighting{fmt.Sprint(random.IntN(30)), moves[random.IntN(len(moves))], c.now}
			c.note(s.id, s.moved, s.at)
			seen[s.id] = s
			wantMoved, wantUsers, wantOf, want := defined(seen, c.now)
			got, on := c.alarm(c.now)
			if on != want || on && (got.Moved != wantMoved || got.Users != wantUsers || got.Of != wantOf) {
				t.Fatalf("alarm %+v, %v; want moved %v, %d of %d, %v", got, on, wantMoved, wantUsers, wantOf, want)
			}
		}
	}
}

func defined(seen map[string]sighting, now time.Time) (median time.Duration, users, of int, on bool) {
	for _, sign := range []time.Duration{1, -1} {
		var side []time.Duration
		of = 0
		for _, s := range seen {
			if now.Sub(s.at) > 15*time.Minute {
				continue
			}
			of++
			if sign*s.moved > 20*time.Second {
				side = append(side, s.moved)
			}
		}
		if len(side) == 0 {
			continue
		}
		slices.Sort(side)
		median, users = side[len(side)/2], 0
		for _, moved := range side {
			if moved >= median-30*time.Second && moved <= median+30*time.Second {
				users++
			}
		}
		if users >= 5 && users*2 >= of {
			return median, users, of, true
		}
	}
	return 0, 0, of, false
}

func TestTogetherFromManyAtOnce(t *testing.T) {
	var m together
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				now := noon.Add(time.Duration(i-g) * time.Second)
				m.note(fmt.Sprint(g, i%50), time.Hour, now)
				m.alarm(now)
			}
		})
	}
	all.Wait()
	if _, on := m.alarm(noon.Add(1000 * time.Second)); !on {
		t.Error("no alarm")
	}
}

// What a login costs of it when as many keys are remembered as can be.
func BenchmarkTogether(b *testing.B) {
	for _, bb := range []struct {
		name  string
		moved func(user int) time.Duration
	}{
		{"most as expected", func(user int) time.Duration { return time.Duration(user%100/99) * time.Minute }},
		{"all moved", func(user int) time.Duration { return time.Duration(21+user%100) * time.Second }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := crowd{now: noon}
			c.pass(0, togetherMost, time.Minute, bb.moved)
			ids := make([]string, 10_000)
			for i := range ids {
				ids[i] = fmt.Sprint("other", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.alarm(c.now)
				c.note(ids[i], bb.moved(i), c.now)
				i = (i + 1) % len(ids)
			}
		})
	}
}
