package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
)

// What can be said without asking a server: hostFindings at any time, localFindings
// where none runs. userFindings is what a user's own bind shows.
var (
	hostFindings  = server.HostFindings
	localFindings = server.LocalFindings
	userFindings  = server.UserFindings
)

const doctorUsage = `doctor [-config FILE] [-json] [-strict] [-user NAME]

Tries all that a login needs: clocks, directory, store, clients, sockets, files and limits. For
each it says what was found, and where that is not in order what to do:

    ok    in order
    warn  works, but look into it
    ?     could not be told
    BAD   somebody has to do something

The running server is asked, and tries what it uses. Where none runs, that is told as BAD, and the
directory, the store and the sockets are tried from here. Nothing is changed anywhere, but for
what is written to the store to see whether that can be done.

With -user, it asks for the password of NAME, binds to the directory as them, and says whether they
can read or write keys: their own, or those of others. That is one bind, and no login.

Exit status is 1 if something is BAD, else 3 if something could not be told, else 0. With -strict
a warning leads to 1, too.
`

func (a *app) doctor(args []string) error {
	fs := a.flags("doctor", doctorUsage)
	asJSON := fs.Bool("json", false, "print JSON")
	strict := fs.Bool("strict", false, "exit with 1 for warnings, too")
	user := fs.String("user", "", "try what `NAME` may do with keys in the directory")
	cfg, path, err := a.load(fs, args, 0)
	if err != nil {
		return err
	}
	findings, err := a.examine(cfg, path)
	if *user != "" {
		more, e := a.examineUser(cfg, *user)
		findings, err = append(findings, more...), errors.Join(err, e)
	}
	if e := a.printFindings(findings, *asJSON); e != nil {
		return e
	}
	return verdict(findings, *strict, err)
}

// verdict is how the program ends: what is wrong counts more than what could not be
// told, for which err may be the reason.
func verdict(findings []admin.Finding, strict bool, err error) error {
	has := func(s admin.Severity) bool {
		return slices.ContainsFunc(findings, func(f admin.Finding) bool { return f.Severity == s })
	}
	var f *failure
	switch {
	case errors.As(err, &f) && f.status == statusUsage:
		return err
	case has(admin.Error) && err == nil:
		return no()
	case has(admin.Error):
		return &failure{status: statusNo, err: err}
	case err != nil:
		return err
	case has(admin.Unknown):
		return &failure{status: statusError}
	case strict && has(admin.Warning):
		return no()
	}
	return nil
}

// examine returns the findings of the server, or those that can be had without one: with
// an error, if it cannot be told whether one runs. They are never nil.
func (a *app) examine(cfg *config.Config, path string) ([]admin.Finding, error) {
	ctx := context.Background()
	all := []admin.Finding{}
	c, err := clientOf(cfg, path)
	if err == nil {
		var found []admin.Finding
		found, err = c.Doctor(ctx)
		all = append(all, found...)
	}
	stopped := errors.Is(err, admin.ErrNotRunning)
	if stopped {
		all = append(all, admin.Finding{ID: "server.running", Subject: "server", Severity: admin.Error, Text: err.Error(),
			Advice: "start it: systemctl start lockstep; journalctl -u lockstep says why it ended. What follows was tried from here"})
	}
	if err != nil {
		all = append(all, localFindings(ctx, cfg, stopped)...)
	}
	if stopped {
		err = nil // which has a finding
	}
	return append(all, hostFindings(ctx, cfg)...), err
}

func (a *app) examineUser(cfg *config.Config, name string) ([]admin.Finding, error) {
	password, err := a.ask("Password of "+name+": ", false)
	if err != nil {
		return nil, err
	}
	return userFindings(context.Background(), cfg, name, password)
}

func (a *app) printFindings(findings []admin.Finding, asJSON bool) error {
	if asJSON {
		return a.printJSON(findings)
	}
	for _, f := range findings {
		a.printFinding(f)
	}
	if len(findings) > 0 {
		fmt.Fprintln(a.out, summary(findings))
	}
	return nil
}

var marks = map[admin.Severity]string{admin.OK: "ok", admin.Warning: "warn", admin.Unknown: "?", admin.Error: "BAD"}

func (a *app) printFinding(f admin.Finding) {
	fmt.Fprintf(a.out, "%-5s%s: %s\n", marks[f.Severity], printable(f.Subject), printable(f.Text))
	if f.Advice != "" {
		fmt.Fprintf(a.out, "     %s\n", printable(f.Advice))
	}
}

// summary counts findings by severity, the worst first.
func summary(findings []admin.Finding) string {
	var parts []string
	for _, s := range []struct {
		severity admin.Severity
		format   string
	}{{admin.Error, "%d BAD"}, {admin.Unknown, "%d could not be told"}, {admin.Warning, "%d to look into"}, {admin.OK, "%d in order"}} {
		n := 0
		for _, f := range findings {
			if f.Severity == s.severity {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf(s.format, n))
		}
	}
	return strings.Join(parts, ", ")
}
