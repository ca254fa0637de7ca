package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what happened from the beginning of a fault to that of the next.
type row struct {
	logins, accepted, repeated int
	silent                     map[int]int // requests, by server
	replayed, refused          int
	excused                    int // refusals of right logins
	outage                     time.Duration
	stolen, stolenNo           int
	recovery                   time.Duration
	verdict                    []string
	from, to                   time.Time
	name                       string
}

// table is a history in rows for people.
func table(h history, broken []violation) string {
	rows := rows(h)
	outages(h, rows)
	for _, t := range h.Tries {
		if r := at(rows, t.Sent); r != nil && h.Logins[t.Login].Kind == right && t.Answer == silence {
			r.silent[t.Server]++
		}
	}
	for _, g := range h.Logins {
		if r := at(rows, g.Began); r != nil {
			r.count(h, g)
		}
	}
	for _, v := range broken {
		if v.login < 0 {
			continue
		}
		if r := at(rows, h.Logins[v.login].Began); r != nil && !slices.Contains(r.verdict, v.rule) {
			r.verdict = append(r.verdict, v.rule)
		}
	}
	repeats(h, rows)
	c := newCase(h)
	for _, refusal := range c.refusals() {
		if r := at(rows, refusal.Sent); r != nil && refusal.excuse != "" {
			r.excused++
		}
	}
	return print(rows) + c.excusesText()
}

func rows(h history) []*row {
	var all []*row
	for i, w := range h.Windows {
		r := &row{name: w.Name, from: w.From, silent: map[int]int{}, recovery: w.Recovered.Sub(w.To)}
		if w.Recovered.IsZero() {
			r.verdict = []string{"not back"}
		}
		if w.Undone != "" {
			r.verdict = append(r.verdict, "not done")
		}
		if i > 0 {
			all[i-1].to = w.From
		}
		all = append(all, r)
	}
	return all
}

func at(rows []*row, t time.Time) *row {
	for _, r := range rows {
		if !t.Before(r.from) && (r.to.IsZero() || t.Before(r.to)) {
			return r
		}
	}
	return nil
}

func (r *row) count(h history, g login) {
	switch g.Kind {
	case right:
		r.logins++
		if g.Outcome == accepted {
			r.accepted++
		}
		if g.Outcome == rejected && strings.Contains(strings.Join(h.Reasons[g.Source], ";"), "replayed") {
			r.replayed++
		} else if g.Outcome == rejected {
			r.refused++
		}
	case thief, late, again, replay:
		r.stolen++
		if g.Outcome == rejected {
			r.stolenNo++
		}
	}
}

// repeats counts how often a login got its Accept more than once, from as many
// servers or by as many requests.
func repeats(h history, rows []*row) {
	times := map[int]int{}
	for _, t := range h.Tries {
		if t.Answer == accepted && h.Logins[t.Login].Kind == right {
			if times[t.Login]++; times[t.Login] == 2 {
				if r := at(rows, t.Sent); r != nil {
					r.repeated++
				}
			}
		}
	}
}

// outages finds the longest time that anybody needed to get in.
func outages(h history, rows []*row) {
	began := map[int]time.Time{}
	for _, g := range h.Logins {
		if g.Kind != right {
			continue
		}
		if began[g.Pursuit].IsZero() {
			began[g.Pursuit] = g.Began
		}
		if r := at(rows, began[g.Pursuit]); r != nil && g.Outcome == accepted {
			r.outage = max(r.outage, g.Ended.Sub(began[g.Pursuit]))
		}
	}
}

func print(rows []*row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tlogins\taccepted\trepeated\tsilent\treplayed\trefused\texcused\tlongest\tback in\treplays\trefused\tverdict")
	for _, r := range rows {
		verdict := "ok"
		if len(r.verdict) > 0 {
			verdict = strings.Join(r.verdict, ", ")
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%v\t%v\t%d\t%d\t%s\n", r.name, r.logins, r.accepted, r.repeated,
			byServer(r.silent), r.replayed, r.refused, r.excused, r.outage.Round(100*time.Millisecond), r.recovery.Round(100*time.Millisecond), r.stolen, r.stolenNo, verdict)
	}
	w.Flush()
	return b.String()
}

// excusesText says how many refusals of right logins were excused, and why.
func (c *evidence) excusesText() string {
	logins, n := c.excuses()
	text := fmt.Sprintf("%d right logins; refusals excused:", logins)
	for _, why := range slices.Sorted(maps.Keys(n)) {
		text += fmt.Sprintf(" %d %s;", n[why], why)
	}
	return strings.TrimRight(text, ":;") + "\n"
}

func byServer(n map[int]int) string {
	return fmt.Sprintf("%d/%d/%d", n[0], n[1], n[2])
}

func (v violation) String() string { return v.rule + ": " + v.text }

// story is all that is known of a login: its tries, those of others with the same
// code, and what servers logged.
func (h history) story(id int) string {
	if id < 0 {
		return ""
	}
	var b strings.Builder
	g := h.Logins[id]
	for _, t := range h.Tries {
		if o := h.Logins[t.Login]; o.Person == g.Person && (o.Step == g.Step || o.Pursuit == g.Pursuit && o.Kind == right) {
			answer := t.Answer.String()
			if t.Answer != silence {
				answer += fmt.Sprintf(" after %v (heard: %v)", t.Got.Sub(t.Sent), t.Heard)
			}
			fmt.Fprintf(&b, "  %s %s step %d, server %d, first round %v: %s\n", t.Sent.Format("15:04:05.000"), o.Source, o.Step, t.Server+1, t.First, answer)
		}
	}
	for _, w := range h.Windows {
		if w.during(g.Began.Add(-15*time.Second), g.Began.Add(15*time.Second)) {
			fmt.Fprintf(&b, "  fault %q from %s to %s, over %s\n", w.Name, w.From.Format("15:04:05.000"), w.To.Format("15:04:05.000"), w.Recovered.Format("15:04:05.000"))
		}
	}
	for _, line := range h.Reasons[g.Source] {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}
