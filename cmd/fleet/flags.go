package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"lockstep/internal/fleet"
)

const help = `Usage:
    fleet [OPTION ...]

Lets made-up people log in for years, with Lockstep and with models of other
verifiers, and prints how often each refuses a right code and how many codes it
would accept. The same options give the same numbers on any machine of a kind.

People (defaults in brackets):
    -seed N             another number, other people [1]
    -users N            how many [1000]
    -years N            how long they log in [2]
    -mix SHARES         of their devices [phones=80,hand=10,tokens=10]: phones
                        that keep time, phones set by hand, hard tokens
    -min-gap DAYS       mean time between logins of the busiest [0.3]
    -max-gap DAYS       and of the laziest [120]; log-uniform between them

Devices:
    -phone-offset S     most that phones are off, anew at each login [1]
    -hand-offset S      most that clocks set by hand are off at first [240]
    -hand-drift PPM     standard deviation of their rates [15]
    -token-offset S     standard deviation of hard tokens at first [10]
    -token-drift PPM    standard deviation of their rates [20]
    -period S           how long a code is shown [30]

Typing:
    -entry-min S        least time from reading a code to its arrival [2]
    -entry-mean S       mean of the exponential time on top [8]
    -entry-max S        most that both come to [60]
    -retry-min S        least time to the next try after a refusal [30]
    -retry-max S        most of it [40]
    -retry-within S     from the first try to the last [600]
    -tries N            before giving up, all told [10]

Output:
    -json               as JSON
    -svg FILE           also draw refusals against acceptable codes
    -workers N          people followed at once [0: one for each processor]

Exit status is 0 when done, 2 for a wrong command line, 3 for anything else.

Example:
    $ go run ./cmd/fleet -mix phones=50,tokens=50 -token-drift 40 -svg fleet.svg
`

// parse reads the command line.
func parse(args []string) (options, error) {
	o := options{fleet: fleet.Fleet{Settings: fleet.Defaults()}}
	set := flags(&o)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if o.fleet.Workers < 0 {
		return o, errors.New("workers: want 0 or more")
	}
	return o, o.fleet.Settings.Check()
}

// flags returns the options with their defaults.
func flags(o *options) *flag.FlagSet {
	s := &o.fleet.Settings
	set := flag.NewFlagSet("fleet", flag.ContinueOnError)
	set.Uint64Var(&s.Seed, "seed", s.Seed, "")
	set.IntVar(&s.Users, "users", s.Users, "")
	set.Float64Var(&s.Years, "years", s.Years, "")
	set.TextVar(&s.Mix, "mix", s.Mix, "")
	set.Float64Var(&s.MinGap, "min-gap", s.MinGap, "")
	set.Float64Var(&s.MaxGap, "max-gap", s.MaxGap, "")
	set.Float64Var(&s.PhoneOffset, "phone-offset", s.PhoneOffset, "")
	set.Float64Var(&s.HandOffset, "hand-offset", s.HandOffset, "")
	set.Float64Var(&s.HandDrift, "hand-drift", s.HandDrift, "")
	set.Float64Var(&s.TokenOffset, "token-offset", s.TokenOffset, "")
	set.Float64Var(&s.TokenDrift, "token-drift", s.TokenDrift, "")
	set.IntVar(&s.Period, "period", s.Period, "")
	set.Float64Var(&s.EntryMin, "entry-min", s.EntryMin, "")
	set.Float64Var(&s.EntryMean, "entry-mean", s.EntryMean, "")
	set.Float64Var(&s.EntryMax, "entry-max", s.EntryMax, "")
	set.Float64Var(&s.RetryMin, "retry-min", s.RetryMin, "")
	set.Float64Var(&s.RetryMax, "retry-max", s.RetryMax, "")
	set.Float64Var(&s.RetryWithin, "retry-within", s.RetryWithin, "")
	set.IntVar(&s.Tries, "tries", s.Tries, "")
	set.BoolVar(&o.json, "json", false, "")
	set.StringVar(&o.svg, "svg", "", "")
	set.IntVar(&o.fleet.Workers, "workers", 0, "")
	return set
}
