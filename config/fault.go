package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with a configuration. Its texts hold no value of a
// setting that is or could be a secret, and no line of the file.
type Fault struct {
	File    string // as given to [Load]
	Line    int    // from 1; 0 where no line is to blame
	Key     string // such as radius.client[1].secret_file, clients counted from 0; "" where it is none
	Message string // what is wanted
}

// String returns f as "file:line: key: message", which editors can jump to.
// What f does not have is left out.
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

// Faults are all the faults of one configuration, in the order of the file;
// those without a line come last. As an error it is never empty.
type Faults []Fault

// Error returns the faults, a line each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}
