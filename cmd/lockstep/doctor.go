package main

import (
	"context"
	"fmt"
	"slices"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
)

// localFindings is what can be said about this machine without a server.
var localFindings = server.LocalFindings

func (a *app) doctor(args []string) error {
	fs := a.flags("doctor", "doctor [-config FILE] [-json]\n\nAsks the running server about clocks, directory, store and clients, and says what to do about\nwhat is bad. Exits with 1 if something is. Where no server can be asked, it says what can be\nseen from here.\n")
	asJSON := fs.Bool("json", false, "print JSON")
	cfg, path, err := a.load(fs, args, 0)
	if err != nil {
		return err
	}
	findings, err := a.examine(cfg, path)
	if *asJSON {
		if e := a.printJSON(findings); e != nil {
			return e
		}
	} else {
		for _, f := range findings {
			a.printFinding(f)
		}
	}
	if err == nil && slices.ContainsFunc(findings, func(f admin.Finding) bool { return f.Bad }) {
		return no()
	}
	return err
}

// examine returns the findings of the server or, with the error, those that
// can be had without one. They are never nil.
func (a *app) examine(cfg *config.Config, path string) ([]admin.Finding, error) {
	var findings []admin.Finding
	c, err := clientOf(cfg, path)
	if err == nil {
		findings, err = c.Doctor(context.Background())
	}
	if err != nil {
		findings = localFindings(cfg)
	}
	return append([]admin.Finding{}, findings...), err
}

func (a *app) printFinding(f admin.Finding) {
	mark := "ok "
	if f.Bad {
		mark = "BAD"
	}
	fmt.Fprintf(a.out, "%s  %s: %s\n", mark, printable(f.Subject), printable(f.Text))
	if f.Advice != "" {
		fmt.Fprintf(a.out, "     %s\n", printable(f.Advice))
	}
}
