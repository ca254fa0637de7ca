// Lockstep is an authentication server: people log in with their directory
// password and a TOTP code, over RADIUS.
//
// This package is the command line: it reads flags, prints, and turns the three
// outcomes into exit statuses. What it is given on stdin is secret mostly, and
// is never echoed or logged. Package server is what runs behind "serve".
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := noCoreDumps(); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep: error: %v\n", err)
		os.Exit(statusError)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// noCoreDumps keeps keys and passwords from being written to disk by a crash,
// and from being read through ptrace by another process of the same user.
func noCoreDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	return nil
}

// Exit statuses. They are part of the program's interface: the systemd unit
// does not restart on 2.
const (
	statusOK    = 0 // yes, or done
	statusNo    = 1
	statusUsage = 2 // wrong command line or configuration
	statusError = 3 // could not tell
)

const help = `Usage:
    lockstep serve  [-config FILE]
    lockstep check  [-config FILE]
    lockstep demo   [-once]
    lockstep login  [-server ADDR] [-secret-file FILE] USER
    lockstep user   enroll|revoke|rewrap|show|explain|resync|list|unlock [OPTION ...] [USER]
    lockstep doctor [-config FILE] [-json] [-strict] [-user NAME]
    lockstep store  backup|restore [OPTION ...] BACKUP | copy [OPTION ...] FROM TO
    lockstep audit  verify [-json] FILE ...
    lockstep keygen -out FILE | -public FILE
    lockstep version [-json]

Commands:
    serve    Answer RADIUS requests until SIGTERM. SIGHUP reloads.
    check    Read the configuration, print what is wrong with it and how strong
             it is, and exit.
    demo     Try it without installing anything.
    login    Ask a RADIUS server as an appliance would, challenges included.
    user     Enroll people, one or many, and revoke; see how they stand, say why
             a code is refused, put the clock of a device right, unlock.
    doctor   Say what is wrong with clocks, directory, store and clients, and
             what to do about it.
    store    Back up what is kept of each key, put it back, or copy it to another
             store.
    audit    Check that nothing in an audit trail was changed or left out.
    keygen   Make the private key that opens sealed keys, and print the public key
             that enrolment needs.
    version  Say which build this is.

"lockstep COMMAND -help" says more. FILE is /etc/lockstep/lockstep.toml unless
-config names another. Passwords, codes and secrets are read from the terminal,
from files or from standard input, never from the command line.

Exit status is 0 for yes or done, 1 for no, 2 for a wrong command line or
configuration, 3 if the question could not be answered.

Example:
    # lockstep check && systemctl reload lockstep
`

// run carries out one command line and returns the exit status.
func run(args []string, in io.Reader, out, err io.Writer) int {
	a := newApp(in, out, err)
	if len(args) == 0 {
		fmt.Fprint(err, help)
		return statusUsage
	}
	commands := map[string]func([]string) error{
		"serve": a.serve, "check": a.check, "demo": a.demo, "login": a.login, "user": a.user, "doctor": a.doctor, "keygen": a.keygen, "store": a.storeCommand, "audit": a.auditCommand, "version": a.version,
		"help": a.help, "-h": a.help, "-help": a.help, "--help": a.help, "-version": a.version, "--version": a.version,
	}
	command, ok := commands[args[0]]
	if !ok {
		return a.report(usagef("no command %q; \"lockstep help\" lists them", args[0]))
	}
	return a.report(command(args[1:]))
}

func (a *app) help([]string) error {
	fmt.Fprint(a.out, help)
	return nil
}
