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

// completing is how many steps a code out of step can be completed by.
const completing = 5

// OddsOf returns the odds for an account that locks after maxFailures in a row
// and has so many tokens, with codes of so many digits. Guesses come from as many sources as it takes,
// so that no delay holds them up. One guess can hold two codes, one at either
// end, and may be sent again for repeatAge without being counted again, while
// further steps come to be right; and a guess that has hit a code out of step is
// remembered, and completed by those that follow. A device that was not seen for long has more
// steps, up to three times as many.
func OddsOf(maxFailures, digits, tokens int) Odds {
	const period = 30 * time.Second
	space := math.Pow10(digits)
	right := 2 * float64(usualCodes+int(repeatAge/period)) / space
	far := 2 * float64(2*farSteps+1) / space
	miss := 0.0 // the logarithm of the chance that none of so many in a row gets in
	inARow := func(guesses int) float64 {
		for i := range guesses {
			remembered := -math.Expm1(float64(i) * math.Log1p(-far))
			miss += math.Log1p(-float64(tokens) * (right + 2*completing*remembered/space))
		}
		return miss
	}
	lock := -math.Expm1(inARow(maxFailures))
	miss = 0
	row := inARow(maxFailures - 1)
	return Odds{Lock: lock, Year: -math.Expm1(row * 365 * OwnerLogins)}
}
