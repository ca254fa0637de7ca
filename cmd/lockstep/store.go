package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/server"
	"lockstep/store"
	"lockstep/store/bolt"
)

const storeUsage = `store copy [-config FILE] FROM TO

Copies what is kept of each key, its spent codes above all, from one store to
another, and overwrites nothing there. FROM and TO are "bolt", the file that
store.path names, "bolt:FILE" for another file, or "etcd", the cluster that
store.endpoints name.

Stop the servers first, and start none before the end: a code that one accepts
meanwhile would be good again. Until all is there no server lets anybody in by TO.
After a copy that was cut short run the same one again: it goes on where it was.
`

func (a *app) storeCommand(args []string) error {
	if len(args) == 0 {
		return usagef("store: want backup, copy or restore; \"lockstep store backup -help\" says more")
	}
	if strings.HasPrefix(args[0], "-h") || args[0] == "--help" || args[0] == "help" {
		for _, usage := range []string{backupUsage, restoreUsage, storeUsage} {
			fmt.Fprint(a.out, "Usage:\n    lockstep "+usage+"\n")
		}
		return nil
	}
	switch args[0] {
	case "backup":
		return a.backupStore(args[1:])
	case "restore":
		return a.restoreStore(args[1:])
	case "copy":
		return a.copyCommand(args)
	}
	return usagef("store: no command %q; want backup, copy or restore", args[0])
}

func (a *app) copyCommand(args []string) error {
	fs := a.flags("store copy", storeUsage)
	path := configFlag(fs)
	if err := a.parse(fs, args[1:], -1); err != nil {
		return err
	}
	if fs.NArg() != 2 {
		return usagef("store copy: want FROM and TO, such as \"bolt etcd\"")
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return err
	}
	return a.copyStore(cfg, fs.Arg(0), fs.Arg(1))
}

func (a *app) copyStore(cfg *config.Config, from, to string) error {
	c := cfg.Store
	source, err := storeOf(c, from)
	if err != nil {
		return err
	}
	target, err := storeOf(c, to)
	if err != nil {
		return err
	}
	if same(source, target) {
		return usagef("store copy: FROM and TO are the same")
	}
	if err := isThere("store copy", source); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	one, err := openStopped(ctx, source, "store copy")
	if err != nil {
		return fmt.Errorf("store copy: %s: %w", from, err)
	}
	defer one.Close()
	other, err := openStopped(ctx, target, "store copy")
	if err != nil {
		return fmt.Errorf("store copy: %s: %w", to, err)
	}
	copied, err := a.copyAll(ctx, one, other)
	a.record(cfg, admin.Report{Action: "store-copy", Text: fmt.Sprintf("from %s to %s: %d copied, %d there already, %d differ", from, to, copied.Written, copied.Same, copied.Differ), Error: failed(err)})
	return errors.Join(a.tellCopied(copied, err), closed(other))
}

func (a *app) copyAll(ctx context.Context, from, to store.Store) (store.Copied, error) {
	p := a.progress("keys")
	defer p.end()
	return store.Copy(ctx, from, to, p.step, func(ctx context.Context) error {
		return errors.Join(stillStopped(ctx, from), stillStopped(ctx, to))
	})
}

func (a *app) tellCopied(c store.Copied, err error) error {
	fmt.Fprintf(a.out, "%d copied, %d there already\n", c.Written, c.Same)
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{status: statusError, err: errors.New("store copy: stopped before its end"), hint: "copy again: it goes on where it was; until then no server lets anybody in by TO"}
	case errors.Is(err, store.ErrInUse):
		return &failure{status: statusError, err: fmt.Errorf("store copy: %w", err), hint: "stop all servers, and copy to a new file, or to another store.prefix: by TO no server lets anybody in"}
	case err != nil:
		return fmt.Errorf("store copy: %w", err)
	case c.Differ > 0:
		return &failure{status: statusNo, err: fmt.Errorf("store copy: %d keys are there with another state, which is left as it is", c.Differ),
			hint: "has TO been in use since? Copy to a new file, or to another store.prefix"}
	}
	return nil
}

// closed closes s: for a file, what was written last may have to be moved yet.
func closed(s store.Store) error {
	if err := s.Close(); err != nil {
		return fmt.Errorf("store copy: %w", err)
	}
	return nil
}

// storeOf returns the configuration of the store that is called name.
func storeOf(c config.Store, name string) (config.Store, error) {
	file, isFile := strings.CutPrefix(name, "bolt:")
	switch {
	case isFile && file != "":
		c.Engine, c.Path = "bolt", file
	case name == "bolt":
		c.Engine = "bolt"
	case name != "etcd":
		return c, usagef("store copy: %q is no store; want \"bolt\", \"bolt:FILE\" or \"etcd\"", name)
	case len(c.Etcd.Endpoints) == 0:
		return c, usagef("store copy: the configuration names no store.endpoints")
	default:
		c.Engine = "etcd"
	}
	return c, nil
}

// isThere refuses a file that is not there to be copied from: an empty one would
// be made of a name that was mistyped.
func isThere(command string, c config.Store) error {
	if c.Engine != "bolt" {
		return nil
	}
	if _, err := os.Stat(c.Path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no file %s", command, printable(c.Path))
	}
	return nil
}

// same reports whether a and b are one store, also where a file goes by two names.
func same(a, b config.Store) bool {
	if a.Engine != b.Engine || a.Engine == "etcd" || a.Path == b.Path {
		return a.Engine == b.Engine
	}
	one, err := os.Stat(a.Path)
	if err != nil {
		return false
	}
	other, err := os.Stat(b.Path)
	return err == nil && os.SameFile(one, other)
}

const (
	reachTime  = 10 * time.Second       // for a cluster to answer
	reachEvery = 100 * time.Millisecond // it is asked meanwhile
	alive      = 30 * time.Second       // since a server was heard of that runs
	listenTime = 12 * time.Second       // in which each server that runs is heard of
)

// openStopped opens a store that no server may be using, and waits until it
// answers.
func openStopped(ctx context.Context, c config.Store, command string) (store.Store, error) {
	s, err := server.OpenStore(c, "lockstep "+command, slog.New(slog.DiscardHandler), time.Now)
	if errors.Is(err, bolt.ErrInUse) {
		return nil, &failure{status: statusError, err: err, hint: "stop the server first: a code that it accepts meanwhile would be good again"}
	}
	if err != nil {
		return nil, err
	}
	if err := reach(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// answers waits until s does.
func answers(ctx context.Context, s store.Store) error {
	within, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	return repeat(within, func() (bool, error) { err := s.Check(within); return err == nil, err })
}

func reach(ctx context.Context, s store.Store) error {
	if err := answers(ctx, s); err != nil {
		return err
	}
	if c, ok := s.(cluster); ok {
		return noneAlive(ctx, c, time.Now)
	}
	return nil
}

// stillStopped refuses a store for which a server has come up since it was opened.
// That of a file cannot.
func stillStopped(ctx context.Context, s store.Store) error {
	c, ok := s.(cluster)
	if !ok {
		return nil
	}
	err := noneAlive(ctx, c, time.Now)
	var used *failure
	if errors.As(err, &used) {
		used.err = fmt.Errorf("a server was started during the copy: %w", used.err)
		used.hint = "stop all servers, and run the same copy again: until then no server lets anybody in by TO. One that was killed counts for half a minute more"
	}
	return err
}

// cluster is a store that several servers use.
type cluster interface {
	Servers(ctx context.Context) ([]store.Peer, error)
}

// repeat asks until the answer is yes or ctx ends, and returns the last error.
func repeat(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	for {
		yes, err := ask()
		if yes {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// noneAlive refuses a store that servers use. An entry that looks old may be that
// of one whose clock is wrong: it is alive if it is renewed.
func noneAlive(ctx context.Context, c cluster, now func() time.Time) error {
	within, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	seen := make(map[store.Peer]bool)
	err := repeat(within, func() (bool, error) {
		all, err := c.Servers(ctx)
		if err != nil {
			return true, err
		}
		first := len(seen) == 0
		for _, p := range all {
			if now().Sub(p.Seen).Abs() < alive || !first && !seen[p] {
				return true, inUse(p.Name)
			}
			seen[p] = true
		}
		return len(all) == 0, nil
	})
	return errors.Join(err, ctx.Err())
}

func inUse(name string) error {
	return &failure{status: statusError, err: fmt.Errorf("%s uses it", printable(name)),
		hint: "stop all servers first: a code that one accepts meanwhile would be good again. One that was killed counts for half a minute more"}
}
