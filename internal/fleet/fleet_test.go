package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"lockstep/verifier"
)

// small is a population that takes a moment.
func small(seed uint64) Settings {
	s := Defaults()
	s.Seed, s.Users, s.Years = seed, 30, 0.25
	return s
}

// output returns all that a run can print.
func output(t *testing.T, f Fleet) string {
	t.Helper()
	r, err := f.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return r.Table() + string(text)
}

func TestSameSeedSameBytes(t *testing.T) {
	one := output(t, Fleet{Settings: small(1), Workers: 1})
	for _, workers := range []int{1, 4, 50} {
		if got := output(t, Fleet{Settings: small(1), Workers: workers}); got != one {
			t.Errorf("%d workers:\n%s\nwant, as with one:\n%s", workers, got, one)
		}
	}
	if output(t, Fleet{Settings: small(2)}) == one {
		t.Error("another seed gives the same numbers")
	}
}

func TestProgressCountsEverybody(t *testing.T) {
	var last, calls int
	f := Fleet{Settings: small(1), Models: Models()[1:2], Progress: func(done, of int) {
		if calls++; done != last+1 || of != 30 {
			t.Errorf("after %d came %d of %d", last, done, of)
		}
		last = done
	}}
	if output(t, f); calls != 30 {
		t.Errorf("called %d times for 30 people", calls)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Fleet{Settings: small(1)}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestNoReportWhereAModelFails(t *testing.T) {
	broken := errors.New("broken")
	for name, m := range map[string]Model{
		"at enrolment":  scripted(&script{enrollErr: broken}),
		"when counting": scripted(&script{acceptableErr: broken}),
		"at a login":    scripted(&script{acceptErr: broken}),
		"at a retry":    scripted(&script{refuse: 1, retryErr: broken}),
	} {
		r, err := Fleet{Settings: small(1), Models: []Model{m}, Workers: 2}.Run(t.Context())
		if !errors.Is(err, broken) || r.Results != nil {
			t.Errorf("%s: %+v, %v; want no report and the error", name, r, err)
		}
	}
}

// script is a Checker that refuses the first so many tries of each login, and
// remembers all of them.
type script struct {
	refuse                                        int
	enrollErr, acceptableErr, acceptErr, retryErr error

	tries    []try
	ofLogin  int
	atLogins []try // the first of each
}

type try struct {
	step int64
	at   time.Time
}

func scripted(s *script) Model {
	return Model{"script", func(context.Context, verifier.Key, int64, time.Time) (Checker, error) {
		c := *s // one each: they run at once
		return &c, s.enrollErr
	}}
}

func (s *script) Acceptable(context.Context, time.Time) (int, error) {
	s.ofLogin = 0
	return 7, s.acceptableErr
}

func (s *script) Accept(_ context.Context, step int64, at time.Time) (bool, error) {
	s.tries = append(s.tries, try{step, at})
	s.ofLogin++
	if s.ofLogin > 1 {
		return s.ofLogin > s.refuse, s.retryErr
	}
	s.atLogins = append(s.atLogins, try{step, at})
	return s.refuse == 0, s.acceptErr
}

// follow leads person i through their logins with s.
func (s *script) follow(t *testing.T, settings Settings, i int) Tally {
	t.Helper()
	m := Model{"script", func(context.Context, verifier.Key, int64, time.Time) (Checker, error) { return s, nil }}
	tally, err := settings.visit(t.Context(), settings.person(i), m)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

func TestTries(t *testing.T) {
	s := small(1)
	s.MinGap, s.MaxGap = 1, 2 // everybody comes
	for _, tt := range []struct {
		name   string
		refuse int
		edit   func(*Settings)
		tries  int // of each login
		want   func(logins int) Tally
	}{
		{"in at the first", 0, func(*Settings) {}, 1, func(n int) Tally { return Tally{} }},
		{"in at the second", 1, func(*Settings) {}, 2, func(n int) Tally { return Tally{Refused: n, Resynchronized: n} }},
		{"in at the last", 9, func(*Settings) {}, 10, func(n int) Tally { return Tally{Refused: n, Resynchronized: n} }},
		{"one more is not tried", 10, func(*Settings) {}, 10, func(n int) Tally { return Tally{Refused: n, Stranded: n, StrandedUsers: 1} }},
		{"never after the time is over", 10, func(s *Settings) { s.RetryWithin = 25 }, 1, func(n int) Tally { return Tally{Refused: n, Stranded: n, StrandedUsers: 1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := s
			tt.edit(&s)
			for _, i := range []int{0, 27, 29} { // a phone, one set by hand, a token
				c := &script{refuse: tt.refuse}
				got := c.follow(t, s, i)
				n := len(s.person(i).logins)
				want := tt.want(n)
				want.Users, want.Logins, want.Codes = 1, n, 7*n
				if got != want || len(c.tries) != n*tt.tries {
					t.Errorf("person %d: %+v in %d tries, want %+v in %d", i, got, len(c.tries), want, n*tt.tries)
				}
			}
		})
	}
}

func TestNobodyTypesACodeAgainOrGoesBackInTime(t *testing.T) {
	s := Defaults()
	s.Users, s.Years, s.MinGap, s.MaxGap = 10, 0.1, 0.01, 0.01 // often within a step
	for i := range s.Users {
		c := &script{refuse: 2}
		c.follow(t, s, i)
		for j := 1; j < len(c.tries); j++ {
			if a, b := c.tries[j-1], c.tries[j]; b.step <= a.step || b.at.Before(a.at) {
				t.Fatalf("person %d: step %d at %v after step %d at %v", i, b.step, b.at, a.step, a.at)
			}
		}
	}
}

// A model that refuses must not change what people do at their next login.
func TestAllModelsMeetTheSameLogins(t *testing.T) {
	s := small(3)
	s.MinGap, s.MaxGap = 1, 2 // a retry does not reach into the next login
	for i := range s.Users {
		yes, no := &script{}, &script{refuse: 10}
		yes.follow(t, s, i)
		no.follow(t, s, i)
		if len(yes.atLogins) == 0 || len(yes.atLogins) != len(no.atLogins) {
			t.Fatalf("person %d: %d logins and %d", i, len(yes.atLogins), len(no.atLogins))
		}
		differ := 0
		for j := range yes.atLogins {
			if !reflect.DeepEqual(yes.atLogins[j], no.atLogins[j]) {
				differ++
			}
		}
		// Those that come within minutes of another do differ.
		if differ*20 > len(yes.atLogins) {
			t.Errorf("person %d: %d of %d logins differ", i, differ, len(yes.atLogins))
		}
	}
}
