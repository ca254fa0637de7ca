package main

import (
	"fmt"
	"math"

	"lockstep/verifier"
)

func (a *app) check(args []string) error {
	fs := a.flags("check", "check [-config FILE]\n\nReads the configuration as serve does, prints what is wrong with it as\nfile:line: key: message, and says how strong it is.\n")
	cfg, _, err := a.load(fs, args, 0)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(a.err, "lockstep: warning: %s\n", w)
	}
	a.strength(cfg.Verifier.MaxFailures)
	a.rules(cfg.Radius.Rules)
	return nil
}

// strength prints what guessing gets somebody who knows a password.
func (a *app) strength(maxFailures int) {
	six, eight := verifier.OddsOf(maxFailures, 6, 1), verifier.OddsOf(maxFailures, 8, 1)
	fmt.Fprintf(a.out, "Somebody who knows a password and guesses codes, from any number of places, gets in with a\n"+
		"chance of about 1 in %.0f (8 digits: 1 in %.0f) before the account locks after %d failures in a row,\n"+
		"and of %.2g %% (8 digits: %.2g %%) within a year, if nobody looks at the log and the owner logs in\n"+
		"%d times a day, which starts the count anew each time.\n",
		about(1/six.Lock), about(1/eight.Lock), maxFailures, 100*six.Year, 100*eight.Year, verifier.OwnerLogins)
	if maxFailures > 20 {
		fmt.Fprintf(a.out, "With verifier.max_failures = 20 that would be %.2g %% (8 digits: %.2g %%) a year.\n",
			100*verifier.OddsOf(20, 6, 1).Year, 100*verifier.OddsOf(20, 8, 1).Year)
	}
	two, most := verifier.OddsOf(maxFailures, 6, 2), verifier.OddsOf(maxFailures, 6, verifier.MaxKeys)
	fmt.Fprintf(a.out, "Each token more of somebody's adds as much again: 1 in %.0f with two before the account locks,\n"+
		"1 in %.0f with %d.\n", about(1/two.Lock), about(1/most.Lock), verifier.MaxKeys)
}

// about rounds to three figures.
func about(n float64) float64 {
	unit := math.Pow(10, max(0, math.Floor(math.Log10(n))-2))
	return math.Round(n/unit) * unit
}
