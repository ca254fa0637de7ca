// Package fault is how what is wrong with a configuration is reported: all of it
// at once, each with its place, in a form that editors can jump to.
//
// Its texts are for administrators. Whoever makes a [Fault] sees to it that it
// holds no value of a setting that is or could be a secret, and no line of the
// file.
package fault

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	File    string // as it was given
	Line    int    // from 1; 0 where no line is to blame
	Key     string // such as radius.client[1].secret_file, elements counted from 0; "" where it is none
	Message string // what is wanted
}

// String returns f as "file:line: key: message". What f does not have is left
// out.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	return b.String() + ": " + f.Message
}

// Faults are all the faults of one configuration. As an error it is never empty.
type Faults []Fault

// Error returns the faults, a line each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Sort puts f into the order of the file; those without a line come last.
func (f Faults) Sort() {
	slices.SortStableFunc(f, func(a, b Fault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
}
