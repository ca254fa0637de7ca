package verifier

import (
	"math"
	"time"
)

// Odds is what guessing at codes gets somebody who knows the password but has no
// device, as chances between 0 and 1.
type Odds struct {
	Lock float64 // to get in before the account locks
	Year float64 // to get in within a year, when the owner logs in OwnerLogins times a day and so starts the count anew
}

// OwnerLogins is how often a day the owner of an account is taken to log in, for
// [Odds].
const OwnerLogins = 2

// usualCodes is how many steps are acceptable at a login, on average over a fleet
// of devices (package fleet measures it).
const usualCodes = 4

// OddsOf returns the odds for an account that locks after maxFailures in a row
// and a code of so many digits. Guesses come from as many sources as it takes,
// so that no delay holds them up. One guess can hold two codes, one at either
// end, and may be sent again for repeatAge without being counted again, while
// further steps come to be right. A device that was not seen for long has more
// steps, up to six times as many.
func OddsOf(maxFailures, digits int) Odds {
	const period = 30 * time.Second
	right := 2 * float64(usualCodes+int(repeatAge/period)) / math.Pow10(digits)
	within := func(guesses int) float64 { return -math.Expm1(float64(guesses) * math.Log1p(-right)) }
	return Odds{
		Lock: within(maxFailures),
		Year: within(365*OwnerLogins*(maxFailures-1) + maxFailures),
	}
}
