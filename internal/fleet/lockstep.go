package fleet

import (
	"context"
	"time"

	"lockstep/internal/opaque"
	"lockstep/verifier"
)

const lockstepName = "lockstep"

// lockstep is package verifier with one account, a clock that is set, and a
// store in memory.
type lockstep struct {
	key      verifier.Key
	verifier *verifier.Verifier
	store    memory
	now      time.Time
}

// enrollLockstep returns a verifier of its own for each person: what it keeps
// of its own, beside the store, goes by one clock.
func enrollLockstep(ctx context.Context, k verifier.Key, step int64, t time.Time) (Checker, error) {
	l := &lockstep{key: k, now: t}
	l.verifier = verifier.New(directory{k}, &l.store, func() time.Time { return l.now })
	return l, l.verifier.Seed(ctx, k.ID(), k.Period, step, t)
}

// Acceptable implements [Checker].
func (l *lockstep) Acceptable(_ context.Context, t time.Time) (int, error) {
	return len(l.store.state.Acceptable(l.key, t)), nil
}

// Accept implements [Checker].
func (l *lockstep) Accept(ctx context.Context, step int64, t time.Time) (bool, error) {
	code, err := l.key.Code(step)
	if err != nil {
		return false, err
	}
	l.now = t
	d, err := l.verifier.Verify(ctx, verifier.Request{
		User: "user", Typed: opaque.Text(code), Client: "vpn", Source: "home",
		Policy: verifier.Policy{CodeOnly: true},
	})
	return err == nil && d.Outcome == verifier.Accepted, err
}

// directory has one account, whatever its name.
type directory struct{ key verifier.Key }

// Account implements [verifier.Directory].
func (d directory) Account(name string) (verifier.Account, error) {
	return verifier.Account{ID: name, Name: name, Keys: []verifier.Key{d.key}}, nil
}

// CheckPassword implements [verifier.Directory]. All passwords are right.
func (d directory) CheckPassword(context.Context, verifier.Account, opaque.Bytes) (verifier.PasswordInfo, error) {
	return verifier.PasswordInfo{}, nil
}

// memory is a store of one State, for one goroutine.
type memory struct {
	state   verifier.State
	version verifier.Version
}

// Load implements [verifier.Store].
func (m *memory) Load(context.Context, string) (verifier.State, verifier.Version, error) {
	return m.state, m.version, nil
}

// CompareAndSwap implements [verifier.Store].
func (m *memory) CompareAndSwap(_ context.Context, _ string, old verifier.Version, next verifier.State) error {
	if old != m.version {
		return verifier.ErrConflict
	}
	m.state = next
	m.version++
	return nil
}
