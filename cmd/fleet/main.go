// Fleet compares Lockstep with other ways of checking TOTP codes, on a made-up
// population of phones and hard tokens. Package fleet says what it simulates;
// this is its command line. It needs nothing and writes nothing but what it is
// told to.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"lockstep/internal/fleet"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	statusOK    = 0
	statusUsage = 2 // wrong command line
	statusError = 3 // interrupted, or the results could not be written
)

// options are what the command line says.
type options struct {
	fleet fleet.Fleet
	json  bool
	svg   string // file name, empty for none
}

// run carries out one command line and returns the exit status.
func run(args []string, out, err io.Writer) int {
	o, fault := parse(args)
	switch {
	case errors.Is(fault, flag.ErrHelp):
		fmt.Fprint(out, help)
		return statusOK
	case fault != nil:
		fmt.Fprintf(err, "fleet: error: %v\nfleet: hint: \"fleet -help\" lists the options\n", fault)
		return statusUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o.fleet.Progress = progress(err)
	report, fault := o.fleet.Run(ctx)
	if fault == nil {
		fault = o.print(report, out)
	}
	if fault != nil {
		fmt.Fprintf(err, "fleet: error: %v\n", fault)
		return statusError
	}
	return statusOK
}

// print writes the results to where they are wanted.
func (o options) print(report fleet.Report, out io.Writer) error {
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(report); err != nil {
			return err
		}
	} else if _, err := io.WriteString(out, report.Table()); err != nil {
		return err
	}
	if o.svg == "" {
		return nil
	}
	return writeSVG(o.svg, report)
}

func writeSVG(name string, report fleet.Report) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteSVG(f), f.Close())
}
