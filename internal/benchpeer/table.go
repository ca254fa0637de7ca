package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text returns the report for people.
func (r report) text() string {
	var b strings.Builder
	rows := [][]string{{"K", "server", "logins/s", "p50 ms", "p95", "p99", "CPU us", "slapd", "load", "switches", "RSS MiB", "peak", "faults", "others %"}}
	for _, m := range r.Medians {
		rows = append(rows, []string{strconv.Itoa(m.Outstanding), m.Peer, fixed(m.Rate, 0), fixed(m.P50/1e3, 2), fixed(m.P95/1e3, 2), fixed(m.P99/1e3, 2),
			fixed(m.ServerCPU, 0), fixed(m.SlapdCPU, 0), fixed(m.GeneratorCPU, 0), fixed(m.Switches, 2), mebi(m.Resident), mebi(m.Peak),
			strconv.Itoa(m.faults()), fixed(100*m.Others, 0)})
	}
	fmt.Fprintf(&b, "%s users, medians of %d rounds\n\n%s\n%s\n", grouped(r.Users), r.Rounds, aligned(rows), legend)
	if len(r.Bars) > 0 {
		b.WriteString(r.barText() + "\n")
	}
	if len(r.Checks) > 0 {
		b.WriteString(r.checkText() + "\n")
	}
	b.WriteString(r.Machine.text())
	return b.String()
}

const legend = `K: logins outstanding; CPU: microseconds a login, of the server, of slapd and of
the load generator; switches: of the server's threads, voluntary, a login; faults:
timeouts, lost logins, replies that do not verify, decisions that are wrong;
others: share of the machine that went to other programs. Over 5 it is too loud
to measure, and CPU times are too high as well.
`

func (r report) barText() string {
	rows := [][]string{{"bar", "measured", "bar", "aim", ""}}
	for _, b := range r.Bars {
		sign, verdict, digits := ">=", "met", 2
		if b.Most {
			sign = "<="
		}
		if !b.met() {
			verdict = "NOT MET"
		}
		if b.Unit != "x" {
			digits = 0
		}
		rows = append(rows, []string{b.What, fixed(b.Got, digits), sign + " " + fixed(b.Want, digits), b.Aim, verdict})
	}
	return aligned(rows)
}

func (r report) checkText() string {
	rows := [][]string{{"check", "server", "asked", "wrong"}}
	for _, c := range r.Checks {
		rows = append(rows, []string{c.What, c.Peer, strconv.Itoa(c.Asked), strconv.Itoa(c.Wrong)})
	}
	return aligned(rows)
}

func (m machine) text() string {
	return fmt.Sprintf("%s, %d processors, %s MiB; Linux %s; store on %s\nFreeRADIUS %s, slapd %s, lockstep %s, %s; %s\n$ %s\n",
		m.Processor, m.Processors, mebi(m.Memory), m.Kernel, m.Disk, m.FreeRADIUS, m.Slapd, m.Lockstep, m.Go, m.Date, m.Command)
}

func fixed(x float64, digits int) string { return strconv.FormatFloat(x, 'f', digits, 64) }
func mebi(octets int64) string           { return fixed(float64(octets)/(1<<20), 0) }

// grouped writes n with commas between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// aligned sets words to the left and numbers to the right.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if _, err := strconv.ParseFloat(rows[len(rows)-1][i], 64); err == nil {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
