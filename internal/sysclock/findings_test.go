package sysclock

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestFindings(t *testing.T) {
	right := Status{Synchronised: true}
	for _, tt := range []struct {
		name     string
		trust    bool
		status   Status
		err      error
		hardware time.Duration
		hwErr    error
		want     string // one line each, "!" if bad
	}{
		{name: "all is right", status: right, hardware: 4 * time.Second,
			want: "the kernel says that this clock is kept right"},
		{name: "nobody keeps the clock", status: Status{EstError: 16 * time.Second},
			want: "!the kernel says that nothing keeps this clock right; codes are checked against it, but nothing is learned from them"},
		{name: "nobody that the kernel knows of keeps the clock", trust: true,
			want: "the kernel says that nothing keeps this clock right; it is trusted all the same, because verifier.trust_clock says that something does"},
		{name: "the kernel may not be asked", err: errors.New("operation not permitted"), trust: true,
			want: "!cannot tell whether anything keeps this clock right: operation not permitted"},
		{name: "not right yet", status: Status{Synchronised: true, EstError: 2500 * time.Millisecond},
			want: "!this clock is being kept right, but is still off by 2.5 s as the kernel estimates"},
		{name: "the hardware clock is ahead", status: right, hardware: 90 * time.Second,
			want: "the kernel says that this clock is kept right\n" +
				"!after the next boot the clock would be wrong by 1 min 30 s, until something sets it: the hardware clock is ahead by as much"},
		{name: "the hardware clock is behind", status: right, hardware: -6 * time.Second,
			want: "the kernel says that this clock is kept right\n" +
				"!after the next boot the clock would be wrong by 6 s, until something sets it: the hardware clock is behind by as much"},
		{name: "the hardware clock cannot be read", status: right, hwErr: errors.New("read the hardware clock: input/output error"),
			want: "the kernel says that this clock is kept right\ncannot read the hardware clock: input/output error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &Watch{Trust: tt.trust,
				Read:     func() (Status, error) { return tt.status, tt.err },
				Hardware: func() (time.Duration, error) { return tt.hardware, tt.hwErr }}
			if got := text(t, w.Findings()); got != tt.want {
				t.Errorf("findings:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// text returns findings a line each, and holds bad ones to giving advice.
func text(t *testing.T, all []Finding) string {
	t.Helper()
	var lines []string
	for _, f := range all {
		if f.Bad != (f.Advice != "") {
			t.Errorf("%+v: bad without advice, or advice for nothing", f)
		}
		lines = append(lines, map[bool]string{true: "!"}[f.Bad]+f.Text)
	}
	return strings.Join(lines, "\n")
}

func TestFindsTheJumpsOfTheLastDay(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		began := time.Now()
		at := func(since time.Duration) string { return began.Add(since).Format(time.DateTime) }
		m.change(func() { m.set = 90 * time.Second })
		pass(12 * time.Hour)
		m.change(func() { m.set -= 700 * time.Millisecond })
		// Found now, although Run has not seen the second one yet.
		want := "the kernel says that this clock is kept right\n" +
			"!this clock was put forward by 1 min 30 s at " + at(91*time.Second) + "\n" +
			"!this clock was put back by 0.7 s at " + at(12*time.Hour+89*time.Second)
		got := text(t, m.Findings())
		if got != want {
			t.Errorf("findings:\n%s\nwant:\n%s", got, want)
		}
		pass(13 * time.Hour)
		if got := text(t, m.Findings()); strings.Contains(got, "forward") || !strings.Contains(got, "back") {
			t.Errorf("a day after the first:\n%s", got)
		}
		pass(24 * time.Hour)
		if got := text(t, m.Findings()); got != "the kernel says that this clock is kept right" {
			t.Errorf("a day after the second:\n%s", got)
		}
	})
}

func TestDiagnoseThisMachine(t *testing.T) {
	for _, f := range new(Watch).Findings() {
		t.Logf("%+v", f)
		if f.Text == "" {
			t.Error("a finding that finds nothing")
		}
	}
	if len(new(Watch).Findings()) == 0 {
		t.Error("no findings at all")
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0 s",
		-700 * time.Millisecond:  "0.7 s",
		59960 * time.Millisecond: "1 min 0 s",
		-90 * time.Second:        "1 min 30 s",
		3*time.Hour + 5*time.Minute + 31*time.Second: "3 h 5 min",
		400 * 24 * time.Hour:                         "400 days",
		math.MinInt64:                                "106751 days",
	} {
		if got := words(d); got != want {
			t.Errorf("words(%d) = %q, want %q", d, got, want)
		}
	}
}
