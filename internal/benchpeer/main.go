// Benchpeer measures how many logins with password and code lockstep decides a
// second, beside FreeRADIUS doing the same at the same directory.
//
// It starts slapd, FreeRADIUS and lockstep, each as a process of its own on
// loopback, and has them take turns at one load: PAP with the code behind the
// password, Message-Authenticator, so many logins outstanding at any moment,
// every reply verified. docs/performance.md says what that means.
//
// It promises that no code is used twice, so that every timed login is one to
// be accepted; that work a server puts off to after a round is counted in that
// round; and that no process and no file is left when it ends. It does not make
// a loud machine quiet: it says how much of it others took.
//
// No input is hostile but what the servers reply, which is checked as any reply.
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
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	statusOK    = 0
	statusUsage = 2 // wrong command line
	statusError = 3 // interrupted, or something did not work
)

// run carries out one command line and returns the exit status.
func run(args []string, in io.Reader, out, err io.Writer) int {
	if len(args) == 1 && args[0] == asLoad {
		return status(generate(in, out), err)
	}
	o, fault := parse(args)
	switch {
	case errors.Is(fault, flag.ErrHelp):
		fmt.Fprint(out, help)
		return statusOK
	case fault != nil:
		fmt.Fprintf(err, "benchpeer: error: %v\nbenchpeer: hint: \"benchpeer -help\" lists the options\n", fault)
		return statusUsage
	}
	o.progress = err
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, fault := bench(ctx, o, args)
	if fault == nil {
		fault = o.write(report, out)
	}
	return status(fault, err)
}

func status(fault error, err io.Writer) int {
	if fault != nil {
		fmt.Fprintf(err, "benchpeer: error: %v\n", fault)
		return statusError
	}
	return statusOK
}

// bench does the measuring.
func bench(ctx context.Context, o options, args []string) (report, error) {
	before, err := o.readBaseline()
	if err != nil {
		return report{}, err
	}
	r, err := open(ctx, o)
	defer r.close()
	if err != nil {
		return report{}, err
	}
	samples, err := r.run(ctx)
	if err != nil {
		return report{}, err
	}
	checks, err := r.checkAll(ctx)
	return newReport(o, describe(ctx, args, r.commits, r.dir), samples, checks, before), err
}

// readBaseline reads the report of an earlier run, if one is named.
func (o options) readBaseline() (*report, error) {
	if o.baseline == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.baseline)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.baseline, err)
	}
	return &r, nil
}

// write writes the report to where it is wanted.
func (o options) write(r report, out io.Writer) error {
	_, err := io.WriteString(out, r.text())
	for name, write := range map[string]func(io.Writer) error{o.json: r.writeJSON, o.svg: r.writeSVG} {
		if name != "" {
			err = errors.Join(err, writeFile(name, write))
		}
	}
	return err
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
