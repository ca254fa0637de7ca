package main

import (
	"math"
	"strings"
	"testing"

	"lockstep/admin"
)

func TestClockInWords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		clock *admin.Clock
		want  string
	}{
		{"nothing known", nil, "not known yet"},
		{"one login", &admin.Clock{Offset: 5, OffsetError: 15}, "right to within 20 s"},
		{"exactly on the edge", &admin.Clock{Offset: -15, OffsetError: 15}, "right to within 30 s"},
		{"on either side by minutes", &admin.Clock{Offset: -10, OffsetError: 80}, "right to within 1 min 30 s"},
		{"known to the second", &admin.Clock{}, "right to within 1 s"},
		{"slow and gaining", &admin.Clock{Offset: -12, OffsetError: 10, Drift: 0.4, DriftError: 0.1}, "about 12 s slow, gaining 0.4 s a day"},
		{"ahead, drift not known", &admin.Clock{Offset: 450.3, OffsetError: 20, Drift: 0.4, DriftError: 5.2}, "about 7 min 30 s ahead"},
		{"drift as good as its error", &admin.Clock{Offset: 450, OffsetError: 20, Drift: -2, DriftError: 2}, "about 7 min 30 s ahead, losing 2 s a day"},
		{"right, with a drift", &admin.Clock{OffsetError: 20, Drift: 1.25, DriftError: 1}, "right to within 20 s, gaining 1.3 s a day"},
		{"a slow drift", &admin.Clock{OffsetError: 20, Drift: -0.05}, "right to within 20 s, losing 1.5 s a month"},
		{"a slower drift", &admin.Clock{OffsetError: 20, Drift: 0.003}, "right to within 20 s, gaining 1.1 s a year"},
		{"a drift nobody would notice", &admin.Clock{OffsetError: 20, Drift: 0.0002}, "right to within 20 s"},
		{"no drift", &admin.Clock{OffsetError: 20}, "right to within 20 s"},
		{"a device that runs away", &admin.Clock{Offset: -90, OffsetError: 9, Drift: -95.4, DriftError: 1}, "about 1 min 30 s slow, losing 1 min 35 s a day"},
		{"less than a second off", &admin.Clock{Offset: 0.4, OffsetError: 0.1}, "right"},
	} {
		if got := clockInWords(tt.clock); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTimeInWords(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.4: "0 s", 0.5: "1 s", 59.6: "1 min", 60: "1 min", 61: "1 min 1 s", 450: "7 min 30 s", 3600: "1 h", 3605: "1 h",
		11100: "3 h 5 min", 86400: "1 d", 100000: "1 d 3 h", 86399: "23 h 59 min", -5: "0 s", 1e300: "11574074 d 1 h", math.Inf(1): "11574074 d 1 h",
	} {
		if got := timeInWords(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
	if got := timeInWords(math.NaN()); strings.Contains(got, "-") {
		t.Errorf("no number at all: %q", got)
	}
}

func TestOffsetInWords(t *testing.T) {
	for offset, want := range map[float64]string{0: "right", -0.4: "right", 12: "about 12 s ahead", -86390: "about 23 h 59 min slow"} {
		if got := offsetInWords(offset); got != want {
			t.Errorf("%v: %q, want %q", offset, got, want)
		}
	}
}
