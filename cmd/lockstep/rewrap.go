package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os/signal"
	"slices"
	"syscall"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
	"lockstep/ldapsync"
)

const rewrapUsage = `user rewrap [OPTION ...]

Seals all keys of the directory anew: those in clear, and those that are sealed to another key
than the first of directory.sealing_key_file (or seal_to). Nobody notices: each key stays what
it is. Before that, reload all servers, so that they can open what is sealed to the new key.
Prints how many keys were sealed, were so before, and failed, and why. Exits with 1 if some
failed. It may be interrupted, and run again.
`

func (a *app) rewrap(args []string) error {
	var w writer
	fs := a.flags("user rewrap", rewrapUsage)
	w.define(fs)
	dryRun := fs.Bool("dry-run", false, "write nothing: say what would be done")
	asJSON := fs.Bool("json", false, "print JSON")
	cfg, err := a.loadDirectory(fs, args, func() error { return errors.Join(wantArgs(fs, 0), w.check(fs.Name())) })
	if err != nil {
		return err
	}
	if cfg.Directory.SealTo == nil {
		return &failure{status: statusUsage, err: errors.New("user rewrap: neither directory.sealing_key_file nor seal_to says to whom keys are sealed"),
			hint: "\"lockstep keygen\" makes the file"}
	}
	o, err := a.writeAs(w)
	if err != nil {
		return err
	}
	o.DryRun = *dryRun
	if o.BindDN != "" && cfg.Directory.BindDN == "" {
		cfg.Directory.BindDN, cfg.Directory.BindPassword = o.BindDN, o.BindPassword
	}
	if err := a.serverOpens(cfg); err != nil {
		return err
	}
	return a.rewrapIn(cfg, o, *asJSON)
}

// serverOpens makes sure that a server that runs here can open what is to be sealed:
// one that was not reloaded would refuse everybody.
func (a *app) serverOpens(cfg *config.Config) error {
	if cfg.Admin.Socket == "" {
		return nil
	}
	ids, err := admin.NewClient(cfg.Admin.Socket).SealingKeys(context.Background())
	if errors.Is(err, admin.ErrUnreachable) {
		return nil
	}
	if id := cfg.Directory.SealTo.ID(); err == nil && !slices.Contains(ids, id) {
		err = &failure{status: statusNo, err: fmt.Errorf("user rewrap: the running server cannot open what is sealed to %s", id),
			hint: "reload it, and all others, first: everybody would be refused"}
	}
	return err
}

func (a *app) rewrapIn(cfg *config.Config, o ldapsync.EnrollOptions, asJSON bool) error {
	dir, err := server.OpenDirectory(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if err := dir.Refresh(ctx); err != nil {
		return err
	}
	p := a.progress("sealing")
	result, err := dir.Rewrap(ctx, o, p.step)
	p.end()
	if result.Sealed > 0 && !o.DryRun {
		a.tellServer(cfg.Admin.Socket)
	}
	if !o.DryRun {
		a.record(cfg, admin.Report{Action: "rewrap", Text: fmt.Sprintf("%d sealed, %d kept, %d failed", result.Sealed, result.Kept, len(result.Failed)), Error: failed(err)})
	}
	if e := a.printRewrapped(result, o.DryRun, asJSON); e != nil {
		return e
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return &failure{status: statusError, err: errors.New("interrupted"), hint: "run it again to seal the others"}
	case err != nil:
		return err
	case len(result.Failed) > 0:
		return no()
	}
	return nil
}

// rewrapped is a [ldapsync.Rewrapped] as JSON.
type rewrapped struct {
	Sealed int               `json:"sealed"`
	Kept   int               `json:"kept"`
	Failed map[string]string `json:"failed"` // by user: why
}

func (a *app) printRewrapped(r ldapsync.Rewrapped, dryRun, asJSON bool) error {
	if asJSON {
		all := rewrapped{r.Sealed, r.Kept, map[string]string{}}
		for name, err := range r.Failed {
			all.Failed[name] = err.Error()
		}
		return a.printJSON(all)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Failed)) {
		lines = append(lines, fmt.Sprintf("%s: %v", name, r.Failed[name]))
	}
	done := "sealed"
	if dryRun {
		done = "to be sealed"
	}
	return a.printLines(append(lines, fmt.Sprintf("%d %s, %d kept, %d failed", r.Sealed, done, r.Kept, len(r.Failed)))...)
}

// interruptible returns a context that ends with the first interrupt. A second one
// ends the program.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
