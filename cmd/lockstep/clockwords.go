package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"lockstep/admin"
)

// clockInWords says what is known of the clock of a device: how far it is off
// and, if that is known better than not at all, how fast it drifts.
func clockInWords(c *admin.Clock) string {
	switch {
	case c == nil:
		return "not known yet"
	case math.Abs(c.Offset) <= c.OffsetError:
		// It may be on either side, so that neither can be named.
		return "right to within " + timeInWords(max(1, math.Ceil(math.Abs(c.Offset)+c.OffsetError))) + driftInWords(c)
	}
	return offsetInWords(c.Offset) + driftInWords(c)
}

// offsetInWords takes seconds; a positive offset is ahead.
func offsetInWords(offset float64) string {
	switch {
	case math.Abs(offset) < 0.5:
		return "right"
	case offset < 0:
		return "about " + timeInWords(-offset) + " slow"
	}
	return "about " + timeInWords(offset) + " ahead"
}

// driftInWords returns ", gaining 0.4 s a day", in the unit of time in which
// the number is no fraction that is hard to read, or nothing.
func driftInWords(c *admin.Clock) string {
	verb, drift := "gaining", math.Abs(c.Drift)
	if c.Drift < 0 {
		verb = "losing"
	}
	if c.DriftError > drift {
		return ""
	}
	for _, unit := range []struct {
		name string
		days float64
	}{{"day", 1}, {"month", 30}, {"year", 365}} {
		if n := drift * unit.days; n >= 0.1 {
			return fmt.Sprintf(", %s %s a %s", verb, fewSeconds(n), unit.name)
		}
	}
	return ""
}

// fewSeconds is timeInWords with a tenth where that says something.
func fewSeconds(n float64) string {
	if n >= 10 {
		return timeInWords(n)
	}
	return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64) + " s"
}

// timeInWords returns so many seconds as people say it, in its two largest
// units: "40 s", "7 min 30 s", "3 h", "2 d 4 h".
func timeInWords(seconds float64) string {
	// Bounded, as a number too big for an int64 becomes any other.
	rest := int64(math.Round(min(max(seconds, 0), 1e12)))
	var parts []string
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}} {
		n := rest / unit.seconds
		rest %= unit.seconds
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
		}
		if len(parts) == 2 || (len(parts) == 1 && n == 0) {
			break
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts, " ")
}
