package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"lockstep/admin"
	"lockstep/config"
)

const userHelp = `Usage:
    lockstep user enroll  [-config FILE] [OPTION ...] USER
    lockstep user enroll  [-config FILE] -from FILE [OPTION ...]
    lockstep user revoke  [-config FILE] [OPTION ...] USER
    lockstep user rewrap  [-config FILE] [-dry-run] [OPTION ...]
    lockstep user show    [-config FILE] [-json] USER
    lockstep user explain [-config FILE] [-json] USER
    lockstep user resync  [-config FILE] [-reset] USER
    lockstep user list    [-config FILE] [-json]
    lockstep user unlock  [-config FILE] USER

    enroll   Make a key for USER, show it as a QR code, and write it to the directory once
             a code has shown that it has arrived. -from does so for all in a file.
    revoke   Remove all keys of USER from the directory.
    rewrap   Seal all keys of the directory anew.
    show     How USER stands: key, failures, the clock of the device, the last logins, and
             what to do.
    explain  Ask for a code of USER and say what it is: right now, spent, from a clock that
             is ahead or slow, or none of theirs. Nothing is spent by that.
    resync   Ask for two codes in a row and learn from them where the clock of the device
             is. -reset forgets what was learned.
    list     All enrolled users, a line each.
    unlock   Forget the failures of USER.

enroll, revoke and rewrap write to the directory, as the service account or by -bind-dn as
somebody else, and the running server, if there is one here, looks at once. They need no
more of the configuration than [directory]. All others ask the running server through its
admin socket. Codes are read from the terminal or from standard input. explain exits with 0
if the code would let USER in now, together with the password. "lockstep user enroll -help"
lists the options.
`

const userCommands = "enroll, revoke, rewrap, show, explain, resync, list or unlock"

func (a *app) user(args []string) error {
	if len(args) == 0 {
		return usagef("user: want %s", userCommands)
	}
	commands := map[string]func([]string) error{
		"enroll": a.enroll, "show": a.show, "explain": a.explain, "resync": a.resync, "list": a.list, "unlock": a.unlock,
		"revoke": a.revoke, "rewrap": a.rewrap,
	}
	if command, ok := commands[args[0]]; ok {
		return command(args[1:])
	}
	if strings.HasPrefix(args[0], "-h") || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(a.out, userHelp)
		return nil
	}
	return usagef("user: no command %q; want %s", args[0], userCommands)
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

// adminClient reads the command line and then where the admin socket is, and returns
// a client for that. Those who may use it need not be able to read the secrets that
// the rest of the configuration names.
func (a *app) adminClient(fs *flag.FlagSet, args []string, want int) (*admin.Client, error) {
	path := configFlag(fs)
	if err := a.parse(fs, args, want); err != nil {
		return nil, err
	}
	c, err := config.LoadAdmin(*path)
	if err != nil {
		return nil, err
	}
	return clientOf(&config.Config{Admin: c}, *path)
}

func clientOf(cfg *config.Config, path string) (*admin.Client, error) {
	if cfg.Admin.Socket == "" {
		return nil, usagef("%s: admin.socket is empty, so the running server cannot be asked", path)
	}
	return admin.NewClient(cfg.Admin.Socket), nil
}

// clientForCodes is adminClient for a command that asks for codes of a user. A
// code among the arguments is refused, and not quoted.
func (a *app) clientForCodes(fs *flag.FlagSet, args []string) (*admin.Client, error) {
	c, err := a.adminClient(fs, args, 1)
	if fs.NArg() > 1 {
		return nil, &failure{status: statusUsage, err: fmt.Errorf("%s: want the name of a user and nothing after it", fs.Name()),
			hint: "leave codes out of the command line, where others can see them: they are asked for"}
	}
	return c, err
}

// usable checks the user before anybody has to read out a code.
func usable(c *admin.Client, name string) error {
	u, err := c.Show(context.Background(), name)
	if err != nil {
		return notEnrolled(err)
	}
	if u.Problem != "" {
		return &failure{status: statusNo, err: fmt.Errorf("%s: %s", u.Name, u.Problem), hint: whatToDo(u)[0]}
	}
	if u.Delegated {
		return &failure{status: statusNo, err: fmt.Errorf("%s: the directory checks the codes, and nothing is known of them here", u.Name), hint: whatToDo(u)[0]}
	}
	return nil
}

// notEnrolled turns "no such user" into a plain no.
func notEnrolled(err error) error {
	if errors.Is(err, admin.ErrNoUser) {
		return &failure{status: statusNo, err: err, hint: "\"lockstep user list\" shows who is enrolled; the directory is read again within seconds"}
	}
	return err
}

func standing(u admin.User) string {
	switch {
	case u.Problem != "":
		return u.Problem
	case u.Locked:
		return fmt.Sprintf("locked after %d failures in a row; \"lockstep user unlock\" lifts it", u.Failures)
	case u.LockedUntil != nil:
		return "some source has to wait until " + local(*u.LockedUntil)
	case u.Pending:
		return "pending: has not logged in yet"
	}
	return "active"
}

func lastLogin(u admin.User) string {
	if u.LastLogin == nil {
		return "never"
	}
	return fmt.Sprintf("%s, by %s", local(*u.LastLogin), u.LastClient)
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
