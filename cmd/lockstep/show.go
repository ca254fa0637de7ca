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
		fmt.Fprintf(w, "%s\t%s\n", row[0], printable(row[1]))
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
	all = append(all,
		[2]string{"entry", u.DN},
		[2]string{"codes", fmt.Sprintf("%s, %d digits, each for %d s", u.Algorithm, u.Digits, u.Period)},
		[2]string{"state", standing(u)},
		[2]string{"failures", fmt.Sprintf("%d in a row", u.Failures)},
	)
	all = append(all, named("waiting", waiting(u.Waiting))...)
	all = append(all, named("clock", clock(u))...)
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

func clock(u admin.User) []string {
	lines := []string{clockInWords(u.Clock)}
	if u.Clock != nil && !u.Clock.Observed.IsZero() {
		lines = append(lines, "last seen "+local(u.Clock.Observed))
	}
	if u.Unlearned != "" {
		lines = append(lines, "nothing is learned now: "+u.Unlearned+"; see lockstep doctor")
	}
	if u.OutOfStep != nil {
		lines = append(lines, fmt.Sprintf("%s a code came that is %s; the next one makes it known", local(u.OutOfStep.At), offsetsInWords(u.OutOfStep.Offsets)))
	}
	return lines
}

func lastLogins(u admin.User) []string {
	if len(u.Logins) == 0 {
		return []string{lastLogin(u)}
	}
	var lines []string
	for _, l := range u.Logins[:min(len(u.Logins), maxLogins)] {
		lines = append(lines, fmt.Sprintf("%s, by %s", local(l.At), l.Client))
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
	if u.RefusedUntil != nil {
		lines = append(lines, "a later code was used, so a right device is refused until "+local(*u.RefusedUntil)+"; verifier.forward_only = false would let it in")
	}
	if u.OutOfStep != nil {
		lines = append(lines, "have them log in again with the next code, or: lockstep user resync "+name)
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing is wrong here; have them read out a code: lockstep user explain "+name)
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
