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

	mu     sync.Mutex // guards those below, and Store on current
	end    func()     // ends the one in use
	giveUp func()     // ends the one that is to follow it; nil if none
}

// begin puts first in use, before it has been read.
func (d *directory) begin(ctx context.Context, wait *sync.WaitGroup, first *ldapsync.Directory) {
	ctx, d.end = context.WithCancel(ctx)
	d.current.Store(first)
	wait.Go(func() { d.run(ctx, first) })
}

// run follows the source of dir until ctx ends.
func (d *directory) run(ctx context.Context, dir *ldapsync.Directory) {
	if err := dir.Run(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("directory is not followed any more", "err", err)
	}
}

// replace reads next, and when it has been read puts it in use and calls then.
// One that was to come in use by an earlier call is given up: the last
// configuration counts, also when an earlier one's directory comes back.
func (d *directory) replace(ctx context.Context, wait *sync.WaitGroup, next *ldapsync.Directory, then func()) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.giveUp != nil {
		d.giveUp()
	}
	d.giveUp = cancel
	wait.Go(func() { d.run(ctx, next) })
	wait.Go(func() {
		if next.WaitReady(ctx) == nil {
			d.use(ctx, next, cancel, then)
		}
	})
}

// use puts next in use, unless ctx says that it has been given up.
func (d *directory) use(ctx context.Context, next *ldapsync.Directory, end, then func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	d.end()
	d.end, d.giveUp = end, nil
	d.current.Store(next)
	then()
}

func (d *directory) waitReady(ctx context.Context) error { return d.current.Load().WaitReady(ctx) }

func (d *directory) healthy() error { return d.current.Load().Healthy() }

// Account implements [verifier.Directory].
func (d *directory) Account(name string) (verifier.Account, error) {
	a, err := d.current.Load().Lookup(name)
	if err == nil {
		return account(a), nil
	}
	var (
		badName  *ldapsync.NameError
		unusable *ldapsync.UnusableError
	)
	switch {
	case errors.Is(err, ldapsync.ErrNoAccount), errors.As(err, &badName):
		return d.named(name), &verifier.AccountError{Kind: verifier.NotEnrolled}
	case errors.Is(err, ldapsync.ErrAmbiguous):
		return d.named(name), &verifier.AccountError{Kind: verifier.Unusable, Cause: err.Error()}
	case errors.As(err, &unusable):
		return d.named(name), &verifier.AccountError{Kind: verifier.Unusable, Cause: unusable.Why}
	}
	return verifier.Account{}, err
}

// named is an account that nobody has, by the name under which it would be known.
func (d *directory) named(name string) verifier.Account {
	canonical, err := d.current.Load().Canonical(name)
	if err != nil {
		return verifier.Account{}
	}
	return verifier.Account{Name: canonical}
}

// account is the one place where an account of the directory becomes one of the
// verifier's.
func account(a ldapsync.Account) verifier.Account {
	v := verifier.Account{ID: a.ID, Name: a.Name, Delegated: a.Delegated, Handle: &a}
	v.Keys = make([]verifier.Key, len(a.Tokens))
	for i, t := range a.Tokens {
		v.Keys[i] = verifier.Key{
			Bytes:     t.Key,
			Algorithm: verifier.Algorithm(t.Algorithm),
			Digits:    t.Digits,
			Period:    t.Period,
			Label:     t.Name,
		}
	}
	return v
}

// CheckPassword implements [verifier.Directory].
func (d *directory) CheckPassword(ctx context.Context, a verifier.Account, password opaque.Bytes) (verifier.PasswordInfo, error) {
	return d.CheckPasswordMeanwhile(ctx, a, password, nil)
}

// CheckPasswordMeanwhile implements [verifier.Waiting].
func (d *directory) CheckPasswordMeanwhile(ctx context.Context, a verifier.Account, password opaque.Bytes, meanwhile func() (late func())) (verifier.PasswordInfo, error) {
	current, entry, err := d.entry(a)
	if err != nil {
		return verifier.PasswordInfo{}, err
	}
	info, err := current.CheckPasswordMeanwhile(ctx, entry, password, meanwhile)
	if refused, ok := errors.AsType[*ldapsync.PasswordError](err); ok {
		return verifier.PasswordInfo{}, &verifier.PasswordError{Cause: cause(a, refused.Cause)}
	}
	return verifier.PasswordInfo(info), err
}

// cause is why a password of a's was refused. Where the directory checks the code
// too, its ordinary cause says nothing: either can be wrong.
func cause(a verifier.Account, said string) string {
	if a.Delegated && said == "invalid credentials" {
		return ""
	}
	return said
}

// entry returns the directory in use and what it has of a.
func (d *directory) entry(a verifier.Account) (*ldapsync.Directory, ldapsync.Account, error) {
	current := d.current.Load()
	if found, ok := a.Handle.(*ldapsync.Account); ok && current.Still(*found) {
		return current, *found, nil
	}
	entry, err := current.Entry(a.Name)
	if err == nil && entry.ID != a.ID {
		// The name went to somebody else since the code was looked at.
		err = fmt.Errorf("entry of %q has changed meanwhile", a.Name)
	}
	return current, entry, err
}
