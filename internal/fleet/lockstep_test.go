package fleet

import (
	"runtime/debug"
	"slices"
	"testing"
)

func TestLockstepIsTheVerifier(t *testing.T) {
	c := after(t, Models()[0], nil)
	for i, x := range []told{
		{10, 10, true}, {10, 10, false}, {10, 9, true}, {12, 12, true}, {12, 10, false},
	} {
		before, err := c.Acceptable(t.Context(), x.when())
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Accept(t.Context(), x.step(), x.when())
		if got != x.want || err != nil {
			t.Fatalf("try %d, step %d at %d: %v, %v; want %v", i, x.s, x.t, got, err, x.want)
		}
		if now, err := c.Acceptable(t.Context(), x.when()); got && now >= before || err != nil {
			t.Errorf("try %d: %d codes acceptable after a login, %v; %d before", i, now, err, before)
		}
	}
}

// lockstepWith returns what Lockstep comes to on the default population, cut
// down or grown to so many people.
func lockstepWith(t *testing.T, users int) Tally {
	t.Helper()
	t.Parallel()
	s := Defaults()
	s.Users = users
	r, err := Fleet{Settings: s, Models: Models()[:1]}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.all()
}

func TestLockstepStrandsNobody(t *testing.T) {
	if got := lockstepWith(t, 100); got.Stranded != 0 {
		t.Errorf("%d people stranded, at %d of %d logins", got.StrandedUsers, got.Stranded, got.Logins)
	}
}

// Fewer people than these would do for a bar no better than a dice: a hundred
// of them are refused 12 times or so in two years.
func TestLockstepIsRefusedLittleAndGuessedLess(t *testing.T) {
	if underRace() {
		t.Skip("takes minutes under the race detector; run it without")
	}
	got := lockstepWith(t, Defaults().Users)
	if codes := got.MeanCodes(); codes > 4.0 {
		t.Errorf("%.3f codes acceptable at a login, want at most 4.0", codes)
	}
	if refused := got.RefusedPercent(); refused > 0.04 {
		t.Errorf("%.4f %% of %d logins refused at the first try, want at most 0.04 %%", refused, got.Logins)
	}
	if got.Stranded != 0 {
		t.Errorf("%d people stranded, at %d of %d logins", got.StrandedUsers, got.Stranded, got.Logins)
	}
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
