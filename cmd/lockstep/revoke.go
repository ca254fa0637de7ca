package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"lockstep/admin"
	"lockstep/internal/server"
	"lockstep/ldapsync"
)

const revokeUsage = `user revoke [OPTION ...] USER

Removes all keys of USER from the directory. From then on no code lets USER in. Exits with 1
if there is none.
`

func (a *app) revoke(args []string) error {
	var w writer
	fs := a.flags("user revoke", revokeUsage)
	w.define(fs)
	w.defineLDIF(fs)
	cfg, err := a.loadDirectory(fs, args, func() error { return errors.Join(wantArgs(fs, 1), w.check(fs.Name())) })
	if err != nil {
		return err
	}
	o, err := a.writeAs(w)
	if err != nil {
		return err
	}
	dir, err := server.OpenDirectory(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	name := fs.Arg(0)
	err = dir.Revoke(context.Background(), name, o)
	if !w.ldif {
		a.record(cfg, admin.Report{Action: "revoke", User: name, Error: failed(err)})
	}
	if err != nil {
		return revokeFailure(name, err)
	}
	if w.ldif {
		a.warnOfLDIF(nil, true)
		return nil
	}
	a.tellServer(cfg.Admin.Socket)
	return a.printLines(name + ": revoked")
}

func revokeFailure(name string, err error) error {
	err = fmt.Errorf("revoke %q: %w", name, err)
	badName := (*ldapsync.NameError)(nil)
	switch {
	case errors.Is(err, ldapsync.ErrUncertain):
		return &failure{status: statusError, err: err, hint: "run it again, until it says that there is no key"}
	case errors.Is(err, ldapsync.ErrAmbiguous):
		return &failure{status: statusNo, err: err, hint: oneName}
	case errors.Is(err, ldapsync.ErrNotEnrolled), errors.Is(err, ldapsync.ErrNoEntry), errors.As(err, &badName):
		return &failure{status: statusNo, err: err}
	}
	return err
}
