package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const help = `Usage:
    benchpeer [OPTION ...]

Starts slapd, FreeRADIUS and lockstep on loopback, has both servers decide the
same logins in turn, and prints logins per second, latencies, CPU time and the
ratios. Run it at the top of the repository, on a machine that does nothing else.

What is measured (defaults in brackets):
    -k LIST             logins outstanding [1,8,64,128]
    -rounds N           at each of them and each server [4]
    -logins N           in a round; a fifth of it with one outstanding [10000]
    -users N            in the directory, 1 to 2000000 [10000]

Servers:
    -lockstep LIST      programs, instead of building the one of this checkout;
                        several take turns, to compare them
    -lockstep-only      leave FreeRADIUS out
    -log LEVEL          lockstep's log level, which by default has a line for
                        each decision [info]
    -freeradius LIST    FreeRADIUS with so many threads, and as many connections
                        to slapd; several take turns, and the best counts [32]
    -rlm-ldap LIST      FreeRADIUS with one instance of rlm_ldap, as it comes, and
                        with searches and binds on connections apart [one,apart]
    -dir DIR            where to put stores and directories; "" for $TMPDIR. The
                        disk matters: a login is on it before it is accepted
    -keep               do not remove them

Output:
    -json FILE          also as JSON
    -svg FILE           also as plots
    -baseline FILE      JSON of an earlier run to compare the rates with, as of
                        one with fewer users

Exit status is 0 when done, 2 for a wrong command line, 3 for anything else.
Bars that are not met are printed, and no error.

Example:
    $ go run ./internal/benchpeer -k 64 -rounds 2 -lockstep old/lockstep,bin/lockstep
`

// options are what the command line says.
type options struct {
	ks           numbers
	rounds       int
	users        int
	perRound     int
	locksteps    words
	lockstepOnly bool
	level        string
	threads      numbers
	setups       setups
	dir          string
	keep         bool
	json, svg    string
	baseline     string
	progress     io.Writer
}

func (o options) say(format string, a ...any) {
	fmt.Fprintf(o.progress, "benchpeer: "+format+"\n", a...)
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	set := flags(&o)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.rounds < 1:
		return errors.New("rounds: want 1 or more")
	case o.perRound < 1:
		return errors.New("logins: want 1 or more")
	case o.users < 1 || o.users > maxUsers:
		return fmt.Errorf("users: want 1 to %d", maxUsers)
	}
	return nil
}

// flags returns the options with their defaults.
func flags(o *options) *flag.FlagSet {
	o.ks, o.threads, o.setups = numbers{1, 8, 64, 128}, numbers{32}, setups{oneInstance, twoInstances}
	set := flag.NewFlagSet("benchpeer", flag.ContinueOnError)
	set.Var(&o.ks, "k", "")
	set.IntVar(&o.rounds, "rounds", 4, "")
	set.IntVar(&o.perRound, "logins", 10_000, "")
	set.IntVar(&o.users, "users", 10_000, "")
	set.Var(&o.locksteps, "lockstep", "")
	set.BoolVar(&o.lockstepOnly, "lockstep-only", false, "")
	set.StringVar(&o.level, "log", "info", "")
	set.Var(&o.threads, "freeradius", "")
	set.Var(&o.setups, "rlm-ldap", "")
	set.StringVar(&o.dir, "dir", "", "")
	set.BoolVar(&o.keep, "keep", false, "")
	set.StringVar(&o.json, "json", "", "")
	set.StringVar(&o.svg, "svg", "", "")
	set.StringVar(&o.baseline, "baseline", "", "")
	return set
}

// numbers is a list such as "1,8,64".
type numbers []int

func (n numbers) String() string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint([]int(n)), "[]"), " ", ",")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for field := range strings.SplitSeq(text, ",") {
		k, err := strconv.Atoi(field)
		if err != nil || k < 1 || k > maxOutstanding {
			return fmt.Errorf("want numbers from 1 to %d, such as 1,8,64", maxOutstanding)
		}
		*n = append(*n, k)
	}
	return nil
}

// words is a list such as "a,b".
type words []string

func (w words) String() string { return strings.Join(w, ",") }

func (w *words) Set(text string) error {
	*w = strings.Split(text, ",")
	return nil
}

// setups is a list such as "one,apart".
type setups []setup

func (s setups) String() string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint([]setup(s)), "[]"), " ", ",")
}

func (s *setups) Set(text string) error {
	*s = nil
	for field := range strings.SplitSeq(text, ",") {
		how := setup(field)
		if how != oneInstance && how != twoInstances || slices.Contains(*s, how) {
			return fmt.Errorf("want %s, %s, or both", oneInstance, twoInstances)
		}
		*s = append(*s, how)
	}
	return nil
}
