package fleet

import (
	"math"
	"reflect"
	"testing"
)

func TestPersonIsTheSameEachTime(t *testing.T) {
	s := small(7)
	for i := range s.Users {
		a, b := s.person(i), s.person(i)
		if !reflect.DeepEqual(a.logins, b.logins) || a.key.ID() != b.key.ID() {
			t.Fatalf("person %d differs from themselves", i)
		}
		if a.key.ID() == s.person(i+1).key.ID() {
			t.Fatalf("persons %d and %d have the same key", i, i+1)
		}
		if err := a.key.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKindsAreMetToThePerson(t *testing.T) {
	for _, tt := range []struct {
		mix   Mix
		users int
		want  [kinds]int
	}{
		{Mix{80, 10, 10}, 1000, [kinds]int{800, 100, 100}},
		{Mix{80, 10, 10}, 30, [kinds]int{24, 3, 3}},
		{Mix{0, 1, 0}, 5, [kinds]int{0, 5, 0}},
		{Mix{1, 0, 1}, 7, [kinds]int{3, 0, 4}},
		{Mix{0.1, 0.2, 0}, 3, [kinds]int{1, 2, 0}},
		{Mix{80, 10, 10}, 1, [kinds]int{1, 0, 0}},
	} {
		var got [kinds]int
		for i := range tt.users {
			got[tt.mix.kind(i, tt.users)]++
		}
		if got != tt.want {
			t.Errorf("%v of %d: %v, want %v", tt.mix, tt.users, got, tt.want)
		}
	}
}

// moments returns mean and standard deviation, and the extremes.
func moments(all []float64) (mean, sd, least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, x := range all {
		mean += x / float64(len(all))
		least, most = min(least, x), max(most, x)
	}
	for _, x := range all {
		sd += (x - mean) * (x - mean) / float64(len(all))
	}
	return mean, math.Sqrt(sd), least, most
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

func TestDelays(t *testing.T) {
	s, r := Defaults(), Defaults().generator("test")
	all := make([]float64, 200_000)
	for i := range all {
		all[i] = s.delay(r)
	}
	mean, _, least, most := moments(all)
	// The mean of an exponential time that is cut is that of the whole, less
	// what is above the cut.
	want := 2 + 8*(1-math.Exp(-58.0/8))
	if !near(mean, want, 0.1) || least < 2 || least > 2.01 || most != 60 {
		t.Errorf("mean %.3f from %.3f to %.3f, want %.3f from 2 to 60", mean, least, most, want)
	}
}

func TestClocks(t *testing.T) {
	s, r := Defaults(), Defaults().generator("test")
	const n = 50_000
	third := 1 / math.Sqrt(3) // standard deviation of what is uniform within ±1
	for _, tt := range []struct {
		kind             Kind
		offset, furthest float64
		drift            float64
	}{
		{Phone, third, 1, 0},
		{Hand, 240 * third, 240, 15e-6},
		{Token, 10, 60, 20e-6},
	} {
		offsets, drifts := make([]float64, n), make([]float64, n)
		for i := range n {
			c := s.clock(r, tt.kind)
			offsets[i], drifts[i] = c.offset, c.drift
		}
		mean, sd, least, most := moments(offsets)
		if !near(mean, 0, tt.offset/50) || !near(sd, tt.offset, tt.offset/50) || least < -tt.furthest || most > tt.furthest {
			t.Errorf("%v: offsets %.3f ± %.3f from %.3f to %.3f, want 0 ± %.3f within %.0f", tt.kind, mean, sd, least, most, tt.offset, tt.furthest)
		}
		if mean, sd, _, _ := moments(drifts); !near(mean, 0, tt.drift/50) || !near(sd, tt.drift, tt.drift/50) {
			t.Errorf("%v: drifts %g ± %g, want 0 ± %g", tt.kind, mean, sd, tt.drift)
		}
	}
}

func TestOnlyPhonesAreSetAgain(t *testing.T) {
	s := small(1)
	for i := range s.Users {
		p := s.person(i)
		for j := 1; j < len(p.logins); j++ {
			same := p.logins[j].clock == p.logins[j-1].clock
			if same == (p.kind == Phone) {
				t.Fatalf("person %d, of %v: clock the same at two logins: %v", i, p.kind, same)
			}
		}
	}
}

func TestLoginsFollowTheGaps(t *testing.T) {
	s := Defaults()
	s.MinGap, s.MaxGap = 2, 2
	n := 0
	for i := range 100 {
		p := s.person(i)
		last := p.enrolled.at
		for _, l := range p.logins {
			if l.at <= last {
				t.Fatalf("person %d: login at %f after one at %f", i, l.at, last)
			}
			last = l.at
		}
		if n += len(p.logins); last > p.enrolled.at+2*365.25*day {
			t.Errorf("person %d logs in after %f days", i, last/day)
		}
	}
	if want := 100 * 365.25; !near(float64(n), want, want/50) {
		t.Errorf("%d logins each two days in two years of 100 people, want about %.0f", n, want)
	}
}

// The mean rate of people whose gaps are log-uniform from a to b is
// (1/a - 1/b) / ln(b/a).
func TestGapsAreLogUniform(t *testing.T) {
	s := Defaults()
	s.Users, s.Years, s.MinGap, s.MaxGap = 4000, 0.5, 1, 100
	n, rare := 0, 0
	for i := range s.Users {
		logins := len(s.person(i).logins)
		if n += logins; logins < 18 { // a gap of more than ten days
			rare++
		}
	}
	want := float64(s.Users) * 0.5 * 365.25 * (1 - 0.01) / math.Log(100)
	if !near(float64(n), want, want/20) || !near(float64(rare), 2000, 100) {
		t.Errorf("%d logins, want about %.0f; %d people come less than each ten days, want about 2000", n, want, rare)
	}
}

func TestRead(t *testing.T) {
	base := epoch.Unix() / 30
	for _, tt := range []struct {
		name   string
		at     float64
		delay  float64
		offset float64
		drift  float64
		last   int64 // after base
		step   int64 // after base
		arrive float64
	}{
		{"what is shown when it is read", 65, 10, 0, 0, 0, 1, 65},
		{"not when it arrives", 65, 4, 0, 0, 0, 2, 65},
		{"by the device's clock", 65, 10, 30, 0, 0, 2, 65},
		{"which may be slow", 65, 10, -30, 0, -1, 0, 65},
		{"and drift", 60_000, 0, 0, 1e-3, 0, 2002, 60_000},
		{"after what was typed before the next is waited for", 65, 10, 0, 0, 1, 2, 70},
		{"as long as it takes", 65, 10, 0, 0, 3, 4, 130},
		{"by the device's clock too", 65, 10, 20, 0, 2, 3, 80},
	} {
		l := login{tt.at, tt.delay, clock{30, tt.offset, tt.drift}}
		step, at := l.read(base + tt.last)
		if step-base != tt.step || !near(at, tt.arrive, 1e-5) {
			t.Errorf("%s: step %d at %f, want %d at %f", tt.name, step-base, at, tt.step, tt.arrive)
		}
	}
}
