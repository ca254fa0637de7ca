package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"lockstep/admin"
)

// maxLogins is how many of the last logins are shown.
const maxLogins = 5

func (a *app) show(args []string) error {
	fs := a.flags("user show", "user show [-config FILE] [-json] USER\n")
	asJSON := fs.Bool("json", false, "print JSON")
	c, err := a.adminClient(fs, args, 1)
	if err != nil {
		return err
	}
	u, err := c.Show(context.Background(), fs.Arg(0))
	if err != nil {
		return notEnrolled(err)
	}
	if *asJSON {
		return a.printJSON(u)
	}
	return printRows(tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0), rows(u))
}

func printRows(w *tabwriter.Writer, all [][2]string) error {
	for _, row := range all {
		fmt.Fprintf(w, "%s\t%s\n", printable(row[0]), printable(row[1]))
	}
	return w.Flush()
}

// rows returns all that is shown of u, each with its name.
func rows(u admin.User) [][2]string {
	all := [][2]string{{"user", u.Name}}
	if u.Problem != "" {
		all = append(all, [2]string{"problem", u.Problem})
		return append(all, named("what to do", whatToDo(u))...)
	}
	all = append(all, [2]string{"entry", u.DN}, [2]string{"codes", codes(u)}, [2]string{"state", standing(u)},
		[2]string{"failures", fmt.Sprintf("%d in a row", u.Failures)})
	all = append(all, named("waiting", waiting(u.Waiting))...)
	for _, t := range u.Tokens {
		all = append(all, named("token "+t.Label, append([]string{parameters(t)}, clock(t, "")...))...)
	}
	switch {
	case u.Delegated:
	case len(u.Tokens) > 0 && u.Unlearned != "":
		all = append(all, [2]string{"clocks", unlearned(u.Unlearned)})
	case len(u.Tokens) == 0:
		all = append(all, named("clock", clock(only(u), u.Unlearned))...)
	}
	all = append(all, named("not used", u.UnusedTokens)...)
	all = append(all, named("last logins", lastLogins(u))...)
	return append(all, named("what to do", whatToDo(u))...)
}

// named returns a row for each value; the name stands before the first.
func named(name string, values []string) [][2]string {
	var all [][2]string
	for _, value := range values {
		all = append(all, [2]string{name, value})
		name = ""
	}
	return all
}

func waiting(all []admin.Wait) []string {
	var lines []string
	for _, w := range all {
		lines = append(lines, fmt.Sprintf("%s until %s, after %d failures in a row", w.Source, local(w.Until), w.Failures))
	}
	return lines
}

// codes says what the user's codes are like.
func codes(u admin.User) string {
	switch {
	case u.Delegated:
		return "checked by the directory, together with the password"
	case len(u.Tokens) > 0:
		return fmt.Sprintf("of any of %d tokens", len(u.Tokens))
	}
	return parameters(only(u))
}

// only returns the token of a user who has one.
func only(u admin.User) admin.Token {
	return admin.Token{Algorithm: u.Algorithm, Digits: u.Digits, Period: u.Period, Clock: u.Clock, OutOfStep: u.OutOfStep, RefusedUntil: u.RefusedUntil}
}

// tokens returns all that the user has.
func tokens(u admin.User) []admin.Token {
	if len(u.Tokens) > 0 {
		return u.Tokens
	}
	return []admin.Token{only(u)}
}

func parameters(t admin.Token) string {
	return fmt.Sprintf("%s, %d digits, each for %d s", t.Algorithm, t.Digits, t.Period)
}

// clock says what is known of t's, and if nothing is learned, why.
func clock(t admin.Token, why string) []string {
	lines := []string{clockInWords(t.Clock)}
	if t.Label != "" {
		lines[0] = "clock: " + lines[0]
	}
	if t.Clock != nil && !t.Clock.Observed.IsZero() {
		lines = append(lines, "last seen "+local(t.Clock.Observed))
	}
	if why != "" {
		lines = append(lines, unlearned(why))
	}
	if t.OutOfStep != nil {
		lines = append(lines, fmt.Sprintf("%s a code came that is %s; the next one makes it known", local(t.OutOfStep.At), offsetsInWords(t.OutOfStep.Offsets)))
	}
	return lines
}

func unlearned(why string) string { return "nothing is learned now: " + why + "; see lockstep doctor" }

func lastLogins(u admin.User) []string {
	if len(u.Logins) == 0 {
		return []string{lastLogin(u)}
	}
	var lines []string
	for _, l := range u.Logins[:min(len(u.Logins), maxLogins)] {
		line := fmt.Sprintf("%s, by %s", local(l.At), l.Client)
		if l.Token != "" {
			line += ", with token " + l.Token
		}
		lines = append(lines, line)
	}
	return lines
}

// whatToDo returns what the helpdesk can do for u, a line each, one at least.
func whatToDo(u admin.User) []string {
	name := admin.Argument(u.Name)
	if u.Problem != "" {
		return []string{"put the entry right in the directory, or enrol anew: lockstep user enroll -replace " + name}
	}
	var lines []string
	if u.Locked {
		lines = append(lines, "if the failures were theirs, lift the lock: lockstep user unlock "+name, "if not, somebody is guessing; the log says from where")
	} else if until := longestWait(u); !until.IsZero() {
		lines = append(lines, fmt.Sprintf("wait until %s, or: lockstep user unlock %s", local(until), name))
	}
	for _, t := range tokens(u) {
		lines = append(lines, whatToDoWith(t, name)...)
	}
	switch {
	case len(lines) > 0:
	case u.Delegated:
		lines = append(lines, "nothing is wrong here; look at the token in the directory")
	default:
		lines = append(lines, "nothing is wrong here; have them read out a code: lockstep user explain "+name)
	}
	return lines
}

func whatToDoWith(t admin.Token, name string) []string {
	var lines []string
	of := ""
	if t.Label != "" {
		of = "token " + t.Label + ": "
	}
	if t.RefusedUntil != nil {
		lines = append(lines, of+"a later code was used, so a right device is refused until "+local(*t.RefusedUntil)+"; verifier.forward_only = false would let it in")
	}
	if t.OutOfStep != nil {
		lines = append(lines, of+"have them log in again with the next code, or: lockstep user resync "+name)
	}
	return lines
}

func longestWait(u admin.User) time.Time {
	var until time.Time
	if u.LockedUntil != nil {
		until = *u.LockedUntil
	}
	for _, w := range u.Waiting {
		if w.Until.After(until) {
			until = w.Until
		}
	}
	return until
}

func offsetsInWords(all []float64) string {
	var words []string
	for _, offset := range all {
		words = append(words, offsetInWords(offset))
	}
	if len(words) == 0 {
		return "out of step"
	}
	return strings.Join(words, " or ")
}

func local(t time.Time) string { return t.Local().Format(time.DateTime) }
