package main

import (
	"fmt"
	"text/tabwriter"
)

// print prints those rows that are wanted, or as JSON all of them.
func (b *batch) print(wanted func(*row) bool) error {
	if b.json {
		return b.printJSON(b.rows)
	}
	out := b.out
	if b.ldif {
		out = b.err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range b.rows {
		if wanted(r) {
			fmt.Fprintf(w, "%d\t%s\t%s\n", r.Line, printable(r.User), printable(r.String()))
		}
	}
	return w.Flush()
}

// String says what came of r.
func (r *row) String() string {
	switch {
	case r.Reason != "":
		return r.Outcome + ": " + r.Reason
	case r.Picture != "":
		return r.Outcome + ", " + r.Picture
	}
	return r.Outcome
}
