package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"lockstep/admin"
)

const userHelp = `Usage:
    lockstep user enroll [-config FILE] [OPTION ...] USER
    lockstep user show   [-config FILE] [-json] USER
    lockstep user list   [-config FILE] [-json]
    lockstep user unlock [-config FILE] USER

    enroll   Make a key for USER, show it as a QR code, and write it to the directory once
             a code has shown that it has arrived.
    show     How USER stands: key, failures, last login.
    list     All enrolled users, a line each.
    unlock   Forget the failures of USER.

show, list and unlock ask the running server through its admin socket.
"lockstep user enroll -help" lists the options.
`

func (a *app) user(args []string) error {
	if len(args) == 0 {
		return usagef("user: want enroll, show, list or unlock")
	}
	commands := map[string]func([]string) error{
		"enroll": a.enroll, "show": a.show, "list": a.list, "unlock": a.unlock,
	}
	if command, ok := commands[args[0]]; ok {
		return command(args[1:])
	}
	if strings.HasPrefix(args[0], "-h") || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(a.out, userHelp)
		return nil
	}
	return usagef("user: no command %q; want enroll, show, list or unlock", args[0])
}

func (a *app) show(args []string) error {
	fs := a.flags("user show", "user show [-config FILE] [-json] USER\n")
	asJSON := fs.Bool("json", false, "print JSON")
	c, err := a.adminClient(fs, args, 1)
	if err != nil {
		return err
	}
	u, err := c.Show(context.Background(), fs.Arg(0))
	if err != nil {
		return notEnrolled(err)
	}
	if *asJSON {
		return a.printJSON(u)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range rows(u) {
		fmt.Fprintf(w, "%s\t%s\n", row[0], printable(row[1]))
	}
	return w.Flush()
}

func (a *app) list(args []string) error {
	fs := a.flags("user list", "user list [-config FILE] [-json]\n")
	asJSON := fs.Bool("json", false, "print JSON")
	c, err := a.adminClient(fs, args, 0)
	if err != nil {
		return err
	}
	users, err := c.List(context.Background())
	if err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(users)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(u.Name), printable(standing(u)), printable(lastLogin(u)))
	}
	return w.Flush()
}

func (a *app) unlock(args []string) error {
	fs := a.flags("user unlock", "user unlock [-config FILE] USER\n")
	c, err := a.adminClient(fs, args, 1)
	if err != nil {
		return err
	}
	n, err := c.Unlock(context.Background(), fs.Arg(0))
	if err != nil {
		return notEnrolled(err)
	}
	fmt.Fprintf(a.out, "%s: %d failures forgotten\n", fs.Arg(0), n)
	return nil
}

// adminClient reads the command line and then the configuration, and returns a
// client for its admin socket.
func (a *app) adminClient(fs *flag.FlagSet, args []string, want int) (*admin.Client, error) {
	cfg, path, err := a.load(fs, args, want)
	if err != nil {
		return nil, err
	}
	if cfg.Admin.Socket == "" {
		return nil, usagef("%s: admin.socket is empty, so the running server cannot be asked", path)
	}
	return admin.NewClient(cfg.Admin.Socket), nil
}

// notEnrolled turns "no such user" into a plain no.
func notEnrolled(err error) error {
	if errors.Is(err, admin.ErrNoUser) {
		return &failure{status: statusNo, err: err, hint: "\"lockstep user list\" shows who is enrolled; the directory is read again within seconds"}
	}
	return err
}

func rows(u admin.User) [][2]string {
	all := [][2]string{{"user", u.Name}}
	if u.Problem != "" {
		return append(all, [2]string{"problem", u.Problem})
	}
	return append(all,
		[2]string{"entry", u.DN},
		[2]string{"codes", fmt.Sprintf("%s, %d digits, each for %d s", u.Algorithm, u.Digits, u.Period)},
		[2]string{"state", standing(u)},
		[2]string{"failures", fmt.Sprintf("%d in a row", u.Failures)},
		[2]string{"last login", lastLogin(u)},
	)
}

func standing(u admin.User) string {
	switch {
	case u.Problem != "":
		return u.Problem
	case u.Locked:
		return fmt.Sprintf("locked after %d failures in a row; \"lockstep user unlock\" lifts it", u.Failures)
	case u.LockedUntil != nil:
		return "some source has to wait until " + u.LockedUntil.Local().Format(time.DateTime)
	}
	return "active"
}

func lastLogin(u admin.User) string {
	if u.LastLogin == nil {
		return "never"
	}
	return fmt.Sprintf("%s, by %s", u.LastLogin.Local().Format(time.DateTime), u.LastClient)
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
