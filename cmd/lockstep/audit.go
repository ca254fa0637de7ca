package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"lockstep/internal/audit"
)

const auditUsage = `audit verify [-json] [-head HASH] FILE ...

Checks the hash chain of an audit trail: that no line was changed, left out, added or moved
since it was written. Several files are one trail, the oldest first; "-" is standard input.
Prints nothing if all is well. Otherwise it names the first line that is not, and exits with 1.

A trail proves nothing to somebody who has only the file: whoever could rewrite it could make
all hashes anew, or cut off its end. -head takes a hash that was kept elsewhere, by a syslog
server or in the log, and wants a record that has it.
`

func (a *app) auditCommand(args []string) error {
	if len(args) == 0 {
		return usagef("audit: want verify; \"lockstep audit verify -help\" says more")
	}
	if strings.HasPrefix(args[0], "-h") || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(a.out, "Usage:\n    lockstep "+auditUsage)
		return nil
	}
	if args[0] != "verify" {
		return usagef("audit: no command %q; want verify", args[0])
	}
	fs := a.flags("audit verify", auditUsage)
	asJSON := fs.Bool("json", false, "print what was counted, as JSON")
	v := &audit.Verifier{}
	fs.StringVar(&v.Wanted, "head", "", "want a record with this `HASH`, as the log or a syslog server has it")
	if err := a.parse(fs, args[1:], -1); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return usagef("audit verify: want the name of a file")
	}
	v.Wanted = strings.ToLower(v.Wanted)
	if b, err := hex.DecodeString(v.Wanted); v.Wanted != "" && (err != nil || len(b) != 32) {
		return usagef("audit verify: -head: want the 64 hex digits of a hash")
	}
	err := a.verifyFiles(v, fs.Args())
	bad := (*audit.BadLine)(nil)
	if err == nil && v.Wanted != "" && !v.Found {
		err = &failure{status: statusNo, err: errors.New("audit verify: no record has the hash of -head"),
			hint: "the end may have been cut off, or all of it made anew; or the record is in a file that was not named"}
	} else if errors.As(err, &bad) {
		err = &failure{status: statusNo, err: fmt.Errorf("audit verify: %w", err)}
	}
	if *asJSON && (err == nil || bad != nil) {
		return errors.Join(a.printJSON(verified(v, bad)), err)
	}
	return err
}

func (a *app) verifyFiles(v *audit.Verifier, names []string) error {
	for _, name := range names {
		if err := a.verifyFile(v, name); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) verifyFile(v *audit.Verifier, name string) error {
	if name == "-" {
		return v.File(name, a.lines)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("audit verify: %w", err)
	}
	defer f.Close()
	return v.File(name, io.Reader(f))
}

// verification is what was found, as JSON.
type verification struct {
	OK      bool   `json:"ok"`
	Records uint64 `json:"records"` // that are right
	First   uint64 `json:"first"`   // their numbers, 0 for none
	Last    uint64 `json:"last"`
	Head    string `json:"head"` // the hash of the last
	Lost    uint64 `json:"lost"`
	Torn    uint64 `json:"torn"`
	File    string `json:"file,omitempty"` // of the first bad line
	Line    int    `json:"line,omitempty"`
	Why     string `json:"why,omitempty"`
}

func verified(v *audit.Verifier, bad *audit.BadLine) verification {
	r := verification{OK: bad == nil, Records: v.Records, First: v.First(), Lost: v.Lost, Torn: v.Torn}
	r.Last, r.Head = v.Head()
	if bad != nil {
		r.File, r.Line, r.Why = bad.File, bad.Line, bad.Why
	}
	return r
}
