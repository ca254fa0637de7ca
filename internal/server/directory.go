package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"lockstep/internal/opaque"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

// directory is the ldapsync.Directory in use, as the verifier sees it. A reload
// puts another in its place.
type directory struct {
	log     *slog.Logger
	current atomic.Pointer[ldapsync.Directory]

	mu   sync.Mutex // guards last
	last context.CancelFunc
}

// follow runs next, and puts it in use when it has been read, or at once if
// there is none so far. A follow that has not come that far is given up.
func (d *directory) follow(ctx context.Context, wait *sync.WaitGroup, next *ldapsync.Directory) {
	ctx, cancel := context.WithCancel(ctx)
	wait.Go(func() {
		if err := next.Run(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("directory is not followed any more", "err", err)
		}
	})
	if d.current.CompareAndSwap(nil, next) {
		d.mu.Lock()
		d.last = cancel
		d.mu.Unlock()
		return
	}
	wait.Go(func() {
		if next.WaitReady(ctx) != nil {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.last()
		d.last = cancel
		d.current.Store(next)
		d.log.Info("reloaded directory in use", "entries", next.Status().Entries)
	})
}

func (d *directory) waitReady(ctx context.Context) error { return d.current.Load().WaitReady(ctx) }

func (d *directory) healthy() error { return d.current.Load().Healthy() }

// Account implements [verifier.Directory].
func (d *directory) Account(name string) (verifier.Account, error) {
	a, err := d.current.Load().Lookup(name)
	var (
		badName  *ldapsync.NameError
		unusable *ldapsync.UnusableError
	)
	switch {
	case err == nil:
		return account(a), nil
	case errors.Is(err, ldapsync.ErrNoAccount), errors.As(err, &badName):
		return named(name), &verifier.AccountError{Kind: verifier.NotEnrolled}
	case errors.Is(err, ldapsync.ErrAmbiguous):
		return named(name), &verifier.AccountError{Kind: verifier.Unusable, Cause: err.Error()}
	case errors.As(err, &unusable):
		return named(name), &verifier.AccountError{Kind: verifier.Unusable, Cause: unusable.Why}
	}
	return verifier.Account{}, err
}

func named(name string) verifier.Account {
	canonical, err := ldapsync.Canonical(name)
	if err != nil {
		return verifier.Account{}
	}
	return verifier.Account{Name: canonical}
}

func account(a ldapsync.Account) verifier.Account {
	return verifier.Account{ID: a.ID, Name: a.Name, Key: verifier.Key{
		Bytes:     a.Key,
		Algorithm: verifier.Algorithm(a.Algorithm),
		Digits:    a.Digits,
		Period:    a.Period,
	}}
}

// CheckPassword implements [verifier.Directory].
func (d *directory) CheckPassword(ctx context.Context, a verifier.Account, password opaque.Bytes) error {
	current := d.current.Load()
	entry, err := current.Lookup(a.Name)
	if err != nil {
		return err
	}
	if entry.ID != a.ID {
		// The name went to somebody else since the code was looked at.
		return fmt.Errorf("entry of %q has changed meanwhile", a.Name)
	}
	err = current.CheckPassword(ctx, entry, password)
	if refused := (*ldapsync.PasswordError)(nil); errors.As(err, &refused) {
		return &verifier.PasswordError{Cause: refused.Cause}
	}
	return err
}
