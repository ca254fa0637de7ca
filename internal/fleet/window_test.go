package fleet

import (
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/verifier"
)

var testKey = verifier.Key{Bytes: opaque.Text("12345678901234567890"), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}

// told is one try in a story: at the server's step T, with the code of step S,
// both counted from the epoch.
type told struct {
	t, s int64
	want bool
}

func (x told) when() time.Time { return epoch.Add(time.Duration(x.t)*30*time.Second + 7*time.Second) }
func (x told) step() int64     { return testKey.Step(epoch) + x.s }

func TestModelsTellTheirStories(t *testing.T) {
	const yes, no = true, false
	for _, tt := range []struct {
		name  string
		model enroll
		s     int64 // step of the code at enrolment, at T = 0
		story []told
	}{
		{"fixed ±1 takes T-1 to T+1 and no more", fixed(1), 0, []told{
			{10, 8, no}, {10, 9, yes}, {10, 10, yes}, {10, 11, yes}, {10, 12, no},
		}},
		{"fixed ±10 takes T-10 to T+10", fixed(10), 0, []told{
			{100, 89, no}, {100, 90, yes}, {100, 110, yes}, {100, 111, no},
		}},
		{"a spent step is refused, an older one is not", fixed(1), 0, []told{
			{10, 10, yes}, {10, 10, no}, {11, 10, no}, {10, 9, yes},
		}},
		{"the code that enrolled is spent", fixed(1), 0, []told{{0, 0, no}, {0, 1, yes}}},
		{"fixed never resynchronizes", fixed(1), 0, []told{
			{10, 20, no}, {11, 21, no}, {12, 22, no}, {13, 23, no},
		}},
		{"fixed forgets where the device was", fixed(1), 5, []told{{10, 15, no}, {10, 11, yes}, {20, 22, no}}},
		{"learned begins where the enrolment was", learned(1), 5, []told{{10, 13, no}, {30, 35, yes}, {30, 34, yes}}},
		{"learned follows a drift", learned(1), 0, []told{
			{100, 101, yes}, {200, 202, yes}, {300, 303, yes}, {400, 404, yes}, {500, 500, no},
		}},
		{"learned ±2 follows faster", learned(2), 0, []told{{100, 102, yes}, {200, 204, yes}, {300, 307, no}}},
		{"two codes resynchronize, and the third needs nothing", learned(1), 0, []told{
			{10, 20, no}, {11, 21, yes}, {30, 40, yes},
		}},
		{"and back", learned(1), 20, []told{{10, 30, yes}, {25, 25, no}, {26, 26, yes}, {27, 27, yes}}},
		{"what came after one does not begin where it ended", learned(1), 0, []told{{10, 20, no}, {11, 21, yes}, {12, 40, no}}},
		{"both codes of a resynchronization are spent", learned(1), 0, []told{{10, 20, no}, {11, 21, yes}, {11, 20, no}, {11, 21, no}}},
		{"the same code twice is no resynchronization", learned(1), 0, []told{{10, 20, no}, {11, 20, no}}},
		{"nor one that was shown before", learned(1), 0, []told{{10, 20, no}, {11, 19, no}}},
		{"nor one ten minutes later", learned(1), 0, []told{{10, 20, no}, {30, 40, no}, {31, 41, yes}}},
		{"a spent step is no half of one", learned(1), 20, []told{{0, 20, no}, {1, 0, no}, {2, 20, no}, {3, 1, yes}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := told{s: tt.s}
			c, err := tt.model(t.Context(), testKey, start.step(), start.when())
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range tt.story {
				if got, err := c.Accept(t.Context(), x.step(), x.when()); got != x.want || err != nil {
					t.Errorf("try %d, step %d at %d: %v, %v; want %v", i, x.s, x.t, got, err, x.want)
				}
			}
		})
	}
}

// What a checker says to be acceptable is compared with what it accepts, each
// step by a checker with the same past.
func TestAcceptableIsWhatWouldBeAccepted(t *testing.T) {
	for _, m := range Models() {
		t.Run(m.Name, func(t *testing.T) {
			for _, past := range [][]told{
				nil,
				{{t: 100, s: 100}},
				{{t: 100, s: 100}, {t: 100, s: 101}, {t: 101, s: 102}},
				{{t: 100, s: 130}, {t: 101, s: 131}, {t: 102, s: 132}},
				{{t: 20_000, s: 20_000}, {t: 40_000, s: 40_001}},
			} {
				at := told{t: 103}
				if len(past) > 0 {
					at.t = max(at.t, past[len(past)-1].t)
				}
				accepted := 0
				for at.s = at.t - 60; at.s <= at.t+60; at.s++ {
					if ok, err := after(t, m, past).Accept(t.Context(), at.step(), at.when()); err != nil {
						t.Fatal(err)
					} else if ok {
						accepted++
					}
				}
				got, err := after(t, m, past).Acceptable(t.Context(), at.when())
				if got != accepted || err != nil {
					t.Errorf("after %v: %d said to be acceptable, %v; %d are", past, got, err, accepted)
				}
			}
		})
	}
}

// after returns a checker that was enrolled with step 0 and has seen all of
// past.
func after(t *testing.T, m Model, past []told) Checker {
	t.Helper()
	c, err := m.Enroll(t.Context(), testKey, told{}.step(), told{}.when())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range past {
		if _, err := c.Accept(t.Context(), x.step(), x.when()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
