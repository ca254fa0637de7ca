package fleet

import (
	"math"
	"strings"
	"testing"
)

func TestDefaultsAreRight(t *testing.T) {
	if err := Defaults().Check(); err != nil {
		t.Error(err)
	}
}

func TestWrongSettings(t *testing.T) {
	for _, tt := range []struct {
		edit func(*Settings)
		want string
	}{
		{func(s *Settings) { s.Users = 0 }, "users"},
		{func(s *Settings) { s.Users = 1_000_001 }, "users"},
		{func(s *Settings) { s.Years = 0 }, "years"},
		{func(s *Settings) { s.Years = math.NaN() }, "years"},
		{func(s *Settings) { s.Years = math.Inf(1) }, "years"},
		{func(s *Settings) { s.Mix = Mix{} }, "mix"},
		{func(s *Settings) { s.MinGap = 0 }, "gaps"},
		{func(s *Settings) { s.MinGap = 121 }, "gaps"},
		{func(s *Settings) { s.MaxGap = math.NaN() }, "gaps"},
		{func(s *Settings) { s.PhoneOffset = -1 }, "offsets"},
		{func(s *Settings) { s.HandOffset = 86_401 }, "offsets"},
		{func(s *Settings) { s.TokenOffset = math.NaN() }, "offsets"},
		{func(s *Settings) { s.HandDrift = 1001 }, "drifts"},
		{func(s *Settings) { s.TokenDrift = -1 }, "drifts"},
		{func(s *Settings) { s.EntryMin = 61 }, "entry times"},
		{func(s *Settings) { s.EntryMean = math.Inf(1) }, "entry times"},
		{func(s *Settings) { s.RetryMin = 41 }, "retry times"},
		{func(s *Settings) { s.RetryWithin = -1 }, "retry times"},
		{func(s *Settings) { s.Tries = 0 }, "tries"},
		{func(s *Settings) { s.Period = 14 }, "period"},
		{func(s *Settings) { s.Period = 121 }, "period"},
	} {
		s := Defaults()
		tt.edit(&s)
		err := s.Check()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want+": ") {
			t.Errorf("error %v, want one about %s", err, tt.want)
		}
		if _, runErr := (Fleet{Settings: s}).Run(t.Context()); runErr == nil {
			t.Errorf("%v: ran all the same", err)
		}
	}
}

func TestMixAsText(t *testing.T) {
	for text, want := range map[string]Mix{
		"phones=80,hand=10,tokens=10": {80, 10, 10},
		"tokens=1":                    {0, 0, 1},
		"hand = 0.5, phones = 1e2":    {100, 0.5, 0},
	} {
		var got, again Mix
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%v comes back as %v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "phones", "phones=", "phones=-1", "phones=NaN", "phones=Inf", "watches=3", "phones=1,", "phones=1;hand=1"} {
		m := Mix{1, 2, 3}
		if err := m.UnmarshalText([]byte(text)); err == nil || m != (Mix{1, 2, 3}) {
			t.Errorf("%q: %v, %v; want an error and no change", text, m, err)
		}
	}
}
