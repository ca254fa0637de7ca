package verifier

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
	"time"
)

// Whatever is spent, in whatever order, stays spent for ever, and nothing that
// is later than all that was kept is taken for spent.
func TestSpentStaysSpent(t *testing.T) {
	property := func(seed uint64, n uint16) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		var s State
		var all []int64
		for range int(n) % 1000 {
			at := start.Add(time.Duration(r.Int64N(1e6)) * time.Second)
			step := testKey.Step(at) + r.Int64N(3000) - 1500
			if s.spent(step) {
				continue
			}
			s = s.spend(testKey, Spent{Step: step, At: at})
			all = append(all, step)
			if !slices.IsSorted(s.Spent) || len(s.Spent) > maxSpent || (s.Floor != 0 && s.Spent[0] <= s.Floor) {
				return false
			}
		}
		return !slices.ContainsFunc(all, func(step int64) bool { return !s.spent(step) }) && !s.spent(s.mark()+1)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
}

// A clock that was fast leaves spent steps in the future, however many. They
// must not make steps of the right clock spent.
func TestFutureStepsStrandNobody(t *testing.T) {
	var s State
	here := testKey.Step(start)
	for step := here + 720; step < here+720+2160; step++ {
		s = s.spend(testKey, Spent{Step: step, At: start})
	}
	for step := here - 2000; step < here+720; step++ {
		if s.spent(step) {
			t.Fatalf("step %d counts as spent", step-here)
		}
		s = s.spend(testKey, Spent{Step: step, At: start})
	}
}

func TestSpentIsBounded(t *testing.T) {
	long(t)
	var s State
	for step := range int64(20_000) {
		s = s.spend(testKey, Spent{Step: testKey.Step(start) + step, At: start})
	}
	if len(s.Spent) != maxSpent || !s.spent(testKey.Step(start)) {
		t.Errorf("%d steps", len(s.Spent))
	}
}

// spend leaves the State it came from alone: a compare-and-swap that fails must
// not have changed what was loaded.
func TestSpendCopies(t *testing.T) {
	s := State{}.spend(testKey, Spent{Step: 10}).spend(testKey, Spent{Step: 30})
	next := s.spend(testKey, Spent{Step: 20})
	if !slices.Equal(s.Spent, []int64{10, 30}) || len(s.Recent) != 2 || !slices.Equal(next.Spent, []int64{10, 20, 30}) {
		t.Errorf("before %v, after %v", s.Spent, next.Spent)
	}
}

func FuzzSplits(f *testing.F) {
	for _, s := range []string{"", "secret123456", "123456", "123456secret", "secret,123456", "1234567890123456"} {
		f.Add([]byte(s), 6, byte(','))
	}
	f.Fuzz(func(t *testing.T, typed []byte, digits int, separator byte) {
		digits = 6 + 2*(digits&1)
		for _, s := range append(splits(typed, digits, separator), alone(typed, digits)...) {
			if len(s.code) != digits || !isDigits(s.code) {
				t.Errorf("code %q", s.code)
			}
			if len(s.password)+digits > len(typed) {
				t.Errorf("password %q out of %q", s.password, typed)
			}
		}
	})
}
