package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/wire"
)

// binder is a connection to one server over which passwords are checked. It must be
// used by one goroutine at a time: a server abandons a bind when the next comes on the
// same connection (RFC 4511, section 4.2.1).
//
// It does without go-ldap, which has two goroutines for each connection and wakes both
// for each answer: with many logins at once that is most of what a bind takes here.
type binder struct {
	server *server
	wire   *wire.Conn
	born   time.Time
	used   time.Time
	broken bool // must not be used again

	looked time.Time // at what the server can do; zero before
	plain  bool      // it knew nothing of password policies then
}

// maxAnswer is the size of the largest answer to a bind that is read, in octets. It
// leaves room for a text and a list of referrals.
const maxAnswer = 16 << 10

// Controls that binds are sent with.
var (
	ordinary = []wire.Control{wire.AskPolicy}

	// withCode has FreeIPA's control that makes it want a code also of people whose
	// password alone would do elsewhere.
	withCode = []wire.Control{wire.AskPolicy, {OID: "2.16.840.1.113730.3.8.10.7", Critical: true}}
)

// controls are those for the bind of a, code telling whether one is wanted.
func (b *binder) controls(ctx context.Context, a Account, code bool) ([]wire.Control, error) {
	switch {
	case code:
		return withCode, nil
	case a.Delegated:
		return ordinary, nil
	}
	asks, err := b.asks(ctx)
	if !asks {
		return nil, err
	}
	return ordinary, err
}

// dialBinder connects to s, TLS included, within ctx and the timeout.
func dialBinder(ctx context.Context, s *server) (*binder, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	c, err := s.speak(ctx, maxAnswer)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	return &binder{server: s, wire: c, born: now, used: now}, nil
}

// checkPassword binds as a. The verdict is nil, a [*PasswordError], or an error
// that means that it could not be told. With code, the server is to want one.
// Meanwhile may be nil.
func (b *binder) checkPassword(ctx context.Context, a Account, password opaque.Bytes, code bool, meanwhile func() (late func())) (PasswordInfo, error) {
	if a.DN == "" {
		// A bind without a name is anonymous, and succeeds.
		return PasswordInfo{}, errors.New("account has no DN")
	}
	controls, err := b.controls(ctx, a, code)
	if err != nil {
		b.broken = true
		return PasswordInfo{}, err
	}
	r, err := b.wire.TryBind(ctx, a.DN, password, controls, meanwhile)
	b.used = b.server.cfg.Now()
	if err != nil {
		b.broken = true
		return PasswordInfo{}, b.lost(err)
	}
	if r.Told {
		b.server.policies.Store(true)
	}
	if err = verdict(r); !isVerdict(err) {
		err = fmt.Errorf("%s: %w", b.server.name, err)
	}
	return passwordInfo(r.Policy), err
}

// lost is err for who decides whether to ask again.
func (b *binder) lost(err error) error {
	lost, ok := errors.AsType[*wire.LostError](err)
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", b.server.name, err)
	case lost.Timeout:
		return &linkError{err: fmt.Errorf("no answer from %s: %w", b.server.name, err), timeout: true}
	}
	return &linkError{err: fmt.Errorf("%s: %w", b.server.name, err), answered: lost.Answered}
}

func (b *binder) at() *server { return b.server }

// usable implements link.
func (b *binder) usable(now time.Time) bool {
	return !b.broken && b.wire.Usable() && now.Sub(b.born) < maxLife && now.Sub(b.used) < maxIdle
}

// lull is how long a connection is not looked at before it is used again. The look
// takes a system call, and a server that has just answered is there.
const lull = 100 * time.Millisecond

// open implements link.
func (b *binder) open(now time.Time) bool { return now.Sub(b.used) < lull || b.wire.Idle() }

func (b *binder) close() {
	b.broken = true
	b.wire.Close()
}
