package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/ldapsync"
	"lockstep/store"
	"lockstep/verifier"
)

// users is what admins may do with the running server.
type users struct {
	verifier *verifier.Verifier
	dir      *directory
	trusted  func() bool // this server's clock
	doctor   func(context.Context) ([]admin.Finding, error)
	backup   func(context.Context, io.Writer) error
}

func (u users) Doctor(ctx context.Context) ([]admin.Finding, error) { return u.doctor(ctx) }

func (u users) List(ctx context.Context) ([]admin.User, error) {
	dir := u.dir.current.Load()
	if !dir.Status().Ready {
		return nil, ldapsync.ErrNotReady // and not "nobody"
	}
	all := []admin.User{}
	for a := range dir.Accounts() {
		user, err := u.describe(ctx, a)
		if err != nil {
			return nil, err
		}
		all = append(all, user)
	}
	for name, why := range dir.Unusable() {
		all = append(all, admin.User{Name: name, Problem: why.Error()})
	}
	slices.SortFunc(all, func(a, b admin.User) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (u users) Show(ctx context.Context, name string) (admin.User, error) {
	a, err := u.lookup(name)
	if unusable := (*ldapsync.UnusableError)(nil); errors.As(err, &unusable) || errors.Is(err, ldapsync.ErrAmbiguous) {
		return admin.User{Name: u.dir.named(name).Name, Problem: err.Error()}, nil
	}
	if err != nil {
		return admin.User{}, err
	}
	return u.describe(ctx, a)
}

func (u users) Unlock(ctx context.Context, name string) (int, error) {
	a, err := u.lookup(name)
	if err != nil {
		return 0, err
	}
	return u.verifier.Unlock(ctx, account(a))
}

func (u users) lookup(name string) (ldapsync.Account, error) {
	a, err := u.dir.current.Load().Lookup(name)
	badName := (*ldapsync.NameError)(nil)
	if errors.Is(err, ldapsync.ErrNoAccount) || errors.As(err, &badName) {
		return a, fmt.Errorf("%q: %w", name, admin.ErrNoUser)
	}
	return a, err
}

func (u users) describe(ctx context.Context, a ldapsync.Account) (admin.User, error) {
	account := account(a)
	user := admin.User{Name: a.Name, DN: a.DN, Delegated: account.Delegated, UnusedTokens: a.Problems}
	if len(account.Keys) > 0 {
		k := account.Keys[0]
		user.Algorithm, user.Digits, user.Period = string(k.Algorithm), k.Digits, int(k.Period/time.Second)
	}
	st, err := u.verifier.Standing(ctx, account)
	if errors.Is(err, store.ErrDamaged) {
		user.Problem = err.Error() + "; restore the store, or enrol anew, which makes a new one"
		return user, nil
	}
	if unusable := (*verifier.AccountError)(nil); errors.As(err, &unusable) {
		user.Problem = unusable.Cause
		return user, nil
	}
	if err != nil {
		return admin.User{}, err
	}
	user.Failures, user.Locked, user.Pending = st.Failures, st.Locked, pending(st) && !user.Delegated
	if !u.trusted() && !user.Delegated {
		user.Unlearned = "this server's clock is not kept right, as far as the kernel knows, or has just jumped"
	}
	describeWaits(&user, st)
	describeTokens(&user, st)
	return user, nil
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
