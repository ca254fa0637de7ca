package fleet

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Settings are all the numbers that make a population. [Defaults] returns the
// ones that comparisons are made with.
type Settings struct {
	Seed  uint64  `json:"seed"`
	Users int     `json:"users"` // 1 to 1,000,000
	Years float64 `json:"years"` // of logins after enrolment; above 0, at most 50
	Mix   Mix     `json:"mix"`

	// Everybody has a mean time between logins of their own, log-uniform
	// between these; the times themselves are exponential.
	MinGap float64 `json:"min_gap_days"`
	MaxGap float64 `json:"max_gap_days"`

	// Seconds from true time, and parts in a million. A phone's offset is
	// uniform within ±PhoneOffset and drawn afresh at each login; that of a
	// phone set by hand is uniform within ±HandOffset on the first day; all the
	// rest are standard deviations.
	PhoneOffset float64 `json:"phone_offset_s"`
	HandOffset  float64 `json:"hand_offset_s"`
	HandDrift   float64 `json:"hand_drift_ppm"`
	TokenOffset float64 `json:"token_offset_s"`
	TokenDrift  float64 `json:"token_drift_ppm"`

	// Seconds from the moment when the code is read to that when it is at the
	// server: EntryMin and an exponential time of mean EntryMean, together at
	// most EntryMax.
	EntryMin  float64 `json:"entry_min_s"`
	EntryMean float64 `json:"entry_mean_s"`
	EntryMax  float64 `json:"entry_max_s"`

	// Who is refused tries again, RetryMin to RetryMax seconds later, with a
	// later code: Tries in all, and none that would arrive more than
	// RetryWithin seconds after the first.
	RetryMin    float64 `json:"retry_min_s"`
	RetryMax    float64 `json:"retry_max_s"`
	RetryWithin float64 `json:"retry_within_s"`
	Tries       int     `json:"tries"`

	Period int `json:"period_s"` // of all devices, seconds: 15 to 120
}

// Defaults returns a population that makes about 400,000 logins.
func Defaults() Settings {
	return Settings{
		Seed: 1, Users: 1000, Years: 2, Mix: Mix{80, 10, 10},
		MinGap: 0.3, MaxGap: 120,
		PhoneOffset: 1, HandOffset: 240, HandDrift: 15, TokenOffset: 10, TokenDrift: 20,
		EntryMin: 2, EntryMean: 8, EntryMax: 60,
		RetryMin: 30, RetryMax: 40, RetryWithin: 600, Tries: 10,
		Period: 30,
	}
}

// Check says what is wrong with s, or nil.
func (s Settings) Check() error {
	for _, rule := range []struct {
		holds bool
		want  string
	}{
		{s.Users >= 1 && s.Users <= 1_000_000, "users: want 1 to 1000000"},
		{s.Years > 0 && s.Years <= 50, "years: want more than 0 and at most 50"},
		{s.Mix.total() > 0, "mix: want at least one kind of device"},
		// A hundredth of a day is a login each quarter of an hour. More would be
		// a machine, and years of it would not fit into memory.
		{s.MinGap >= 0.01 && s.MinGap <= s.MaxGap && s.MaxGap <= 10_000, "gaps: want 0.01 to 10000 days, the smaller one first"},
		{within(86_400, s.PhoneOffset, s.HandOffset, s.TokenOffset), "offsets: want 0 to 86400 s"},
		{within(1000, s.HandDrift, s.TokenDrift), "drifts: want 0 to 1000 ppm"},
		{within(3600, s.EntryMin, s.EntryMean, s.EntryMax) && s.EntryMin <= s.EntryMax, "entry times: want 0 to 3600 s, the least at most the longest"},
		{within(3600, s.RetryMin, s.RetryMax, s.RetryWithin) && s.RetryMin <= s.RetryMax, "retry times: want 0 to 3600 s, the least at most the longest"},
		{s.Tries >= 1 && s.Tries <= 100, "tries: want 1 to 100"},
		{s.Period >= 15 && s.Period <= 120, "period: want 15 to 120 s"},
	} {
		if !rule.holds {
			return errors.New(rule.want)
		}
	}
	return nil
}

// within is false for NaN too.
func within(most float64, all ...float64) bool {
	for _, x := range all {
		if !(x >= 0 && x <= most) {
			return false
		}
	}
	return true
}

// Kind is a kind of device.
type Kind int

// The kinds of device.
const (
	Phone Kind = iota // keeps time by the network
	Hand              // a phone whose clock was set by hand, once
	Token             // a hard token
	kinds int  = iota
)

var kindNames = [kinds]string{"phones", "hand", "tokens"}

// String returns the kind's name in a [Mix].
func (k Kind) String() string { return kindNames[k] }

// Mix is the share of each [Kind], in any unit: only the ratios count.
type Mix [kinds]float64

func (m Mix) total() (sum float64) {
	for _, share := range m {
		sum += share
	}
	return sum
}

// kind returns that of person i of so many. Shares are met to the nearest
// person and not by chance, so that seeds differ in less.
func (m Mix) kind(i, of int) Kind {
	at := (float64(i) + 0.5) / float64(of) * m.total()
	for k, share := range m {
		if at < share {
			return Kind(k)
		}
		at -= share
	}
	return m.last() // rounding
}

func (m Mix) last() (last Kind) {
	for k, share := range m {
		if share > 0 {
			last = Kind(k)
		}
	}
	return last
}

// String returns m as UnmarshalText takes it.
func (m Mix) String() string {
	parts := make([]string, len(m))
	for k, share := range m {
		parts[k] = Kind(k).String() + "=" + strconv.FormatFloat(share, 'g', -1, 64)
	}
	return strings.Join(parts, ",")
}

// MarshalText implements [encoding.TextMarshaler].
func (m Mix) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads such as "phones=80,hand=10,tokens=10". What is not named
// is 0.
func (m *Mix) UnmarshalText(text []byte) error {
	var mix Mix
	for part := range strings.SplitSeq(string(text), ",") {
		name, number, _ := strings.Cut(part, "=")
		k := kindNamed(strings.TrimSpace(name))
		share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if k < 0 || err != nil || !(share >= 0) || math.IsInf(share, 0) {
			return fmt.Errorf("%q: want shares such as %q", part, Defaults().Mix)
		}
		mix[k] = share
	}
	*m = mix
	return nil
}

func kindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return -1
}
