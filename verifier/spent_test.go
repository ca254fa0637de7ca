package verifier

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
)

// Whatever is spent, in whatever order, stays spent for ever, and nothing that
// is later than all that was kept is taken for spent.
func TestSpentStaysSpent(t *testing.T) {
	property := func(seed uint64, n uint8) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		var s State
		var all []int64
		for range int(n) + maxSpent {
			step := 1000 + r.Int64N(300)
			if _, is := s.find(step); is {
				continue
			}
			s = s.spend(Spent{Step: step})
			all = append(all, step)
			sorted := slices.IsSortedFunc(s.Spent, func(a, b Spent) int { return int(a.Step - b.Step) })
			if !sorted || len(s.Spent) > maxSpent || (s.Floor != 0 && s.Spent[0].Step <= s.Floor) {
				return false
			}
		}
		for _, step := range all {
			if _, is := s.find(step); !is {
				return false
			}
		}
		_, is := s.find(slices.Max(all) + 1)
		return !is
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
}

// A clock that was fast leaves spent steps in the future. They must not make
// later codes of the right clock spent.
func TestFutureStepsStrandNobody(t *testing.T) {
	var s State
	for step := int64(5000); step < 5000+maxSpent; step++ {
		s = s.spend(Spent{Step: step})
	}
	for step := int64(1000); step < 1200; step++ {
		if _, is := s.find(step); is {
			t.Fatalf("step %d counts as spent", step)
		}
		s = s.spend(Spent{Step: step})
	}
}

// spend leaves the State it came from alone: a compare-and-swap that fails must
// not have changed what was loaded.
func TestSpendCopies(t *testing.T) {
	s := State{}.spend(Spent{Step: 10}).spend(Spent{Step: 30})
	next := s.accepted(Spent{Step: 20}, "x")
	if len(s.Spent) != 2 || s.Spent[1].Step != 30 || len(next.Spent) != 3 {
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
