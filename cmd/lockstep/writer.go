package main

import (
	"flag"
	"fmt"

	"lockstep/config"
	"lockstep/ldapsync"
)

// writer is how a command writes to the directory.
type writer struct {
	bindDN, bindPasswordFile string
	ldif                     bool
}

func (w *writer) define(fs *flag.FlagSet) {
	fs.StringVar(&w.bindDN, "bind-dn", "", "write to the directory as `DN` and not as the service account")
	fs.StringVar(&w.bindPasswordFile, "bind-password-file", "", "read the password of -bind-dn from `FILE`; asked for if absent")
}

func (w *writer) defineLDIF(fs *flag.FlagSet) {
	fs.BoolVar(&w.ldif, "ldif", false, "write nothing: print the change as LDIF for ldapmodify, and all else to stderr")
}

func (w *writer) check(command string) error {
	if w.bindDN == "" && w.bindPasswordFile != "" {
		return usagef("%s: -bind-password-file goes with -bind-dn", command)
	}
	return nil
}

// writeAs returns the options that w stands for. It may ask for a password.
func (a *app) writeAs(w writer) (ldapsync.EnrollOptions, error) {
	o := ldapsync.EnrollOptions{BindDN: w.bindDN}
	if w.ldif {
		o.LDIF = a.out
	}
	var err error
	switch {
	case w.bindPasswordFile != "":
		if o.BindPassword, err = config.ReadSecret(w.bindPasswordFile); err != nil {
			return o, &failure{status: statusUsage, err: fmt.Errorf("-bind-password-file: %w", err)}
		}
	case w.bindDN != "":
		o.BindPassword, err = a.ask("Password of "+w.bindDN+": ", false)
	}
	return o, err
}
