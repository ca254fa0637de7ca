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
	return nil
}

// strength prints what guessing gets somebody who knows a password. A login of
// the owner starts the count anew, so the chance is per login of the owner.
func (a *app) strength(maxFailures int) {
	chance := verifier.Chance(maxFailures, 6)
	fmt.Fprintf(a.out, "Somebody who knows a password and guesses codes gets in with a chance of at most 1 in %.0f\n"+
		"(6 digits; 8 digits: 1 in %.0f) before the account locks after %d failures in a row.\n"+
		"Each login of its owner starts that count anew.\n",
		math.Round(1/chance), math.Round(1/verifier.Chance(maxFailures, 8)), maxFailures)
}
