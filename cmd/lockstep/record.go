package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
)

// record has the audit trail say what a command has done without the server: by the
// server where one runs, which has the file, and otherwise by itself. What cannot be
// recorded is done nevertheless, and a warning says so.
func (a *app) record(cfg *config.Config, r admin.Report) {
	err := admin.ErrUnreachable
	if cfg.Admin.Socket != "" {
		ctx, cancel := context.WithTimeout(context.Background(), tellTime)
		defer cancel()
		err = admin.NewClient(cfg.Admin.Socket).Report(ctx, r)
	}
	if errors.Is(err, admin.ErrUnreachable) {
		err = recordHere(cfg, r)
	}
	if err != nil {
		fmt.Fprintf(a.err, "lockstep: warning: not in the audit trail: %s\n", printable(err.Error()))
	}
}

// recordHere writes to the trail of the configuration, if it has one.
func recordHere(cfg *config.Config, r admin.Report) error {
	t, err := server.OpenTrail(cfg.Audit, slog.New(slog.DiscardHandler))
	if err != nil || t == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	facts := append([]slog.Attr{slog.String("action", r.Action)}, r.Facts()...)
	err = t.Record(ctx, "admin", append(facts, slog.Int("uid", os.Getuid()))...)
	return errors.Join(err, t.Close(ctx))
}

// failed is an error for a Report, empty for none.
func failed(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
