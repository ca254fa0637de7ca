package verifier

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/internal/opaque"
)

// attempt is a request on its way through the checks.
type attempt struct {
	*Verifier
	account Account
	id      string // of the State
	store   Store
	decoy   bool
}

// account returns the attempt on the named account, or, with the reason, on a
// decoy of that name.
func (v *Verifier) account(name string) (attempt, *AccountError, error) {
	a, err := v.dir.Account(name)
	if err == nil {
		err = unusable(a.Key.Check())
	}
	if refusal := (*AccountError)(nil); errors.As(err, &refusal) {
		// Under its canonical name, or a lock that holds for other spellings
		// too would show that the name is somebody's.
		name = cmp.Or(a.Name, name)
		id := "decoy:" + name[:min(len(name), 253)]
		return attempt{v, Account{Name: a.Name, Key: v.decoy}, id, &v.decoys, true}, refusal, nil
	}
	return attempt{v, a, a.Key.ID(), v.store, false}, nil, err
}

func unusable(err error) error {
	if err == nil {
		return nil
	}
	return &AccountError{Kind: Unusable, Cause: err.Error()}
}

// decide goes through the checks in the order that the package promises.
func (a attempt) decide(ctx context.Context, r Request) (Decision, error) {
	state, version, err := a.load(ctx)
	if err != nil {
		return Decision{}, err
	}
	now := a.now()
	if reason, yes := a.held(state, r, now); yes {
		// Asked for the code like anybody, or the answer would show that there
		// is such an account. What is answered is not looked at either.
		return Decision{Outcome: r.otherwise(), Reason: reason}, nil
	}
	ways := readings(r, a.account.Key.Digits)
	found, err := a.search(ways, state, now)
	if err != nil {
		return Decision{}, err
	}
	switch {
	case found.right:
		return a.finish(ctx, r, found, state, version)
	case found.reason.Kind == Replayed:
		// Not counted: whoever sends it has seen a right code, and appliances
		// that send the last login again must not lock anybody out.
		return Decision{Reason: found.reason}, nil
	}
	return a.miss(ctx, r, found.reason)
}

// held says whether an attempt has to be refused unseen. Whoever was asked for a
// code may answer once without waiting, as long as nothing else has failed from
// there since: a password that looks like one with a wrong code counts as a
// failure, and its delay must not meet the right code that follows.
func (a attempt) held(s State, r Request, now time.Time) (Reason, bool) {
	reason, yes := s.throttled(r.Source, a.maxFailures(), now)
	if yes && !reason.Until.IsZero() && r.Answering && !s.source(r.Source).Last.After(r.Asked) {
		return Reason{}, false
	}
	return reason, yes
}

// otherwise is the outcome for an attempt in which no right code was found.
func (r Request) otherwise() Outcome {
	if r.Policy.Challenge && !r.Policy.CodeOnly && !r.Answering {
		return Challenged
	}
	return Refused
}

// finish checks the password that came with a right code, and claims the step.
func (a attempt) finish(ctx context.Context, r Request, f finding, s State, version Version) (Decision, error) {
	if kind, again := a.repeated(r, a.now()); again && kind == WrongPassword {
		// The directory has said so a moment ago, and counts what it is asked.
		return Decision{Reason: Reason{Kind: kind, Cause: "the same as a moment ago"}}, nil
	}
	if !r.Policy.CodeOnly {
		refusal, err := a.checkPassword(ctx, f.way.password)
		if err != nil {
			return Decision{}, fmt.Errorf("check password: %w", err)
		}
		if refusal != nil && refusal.Kind == NoPassword {
			return Decision{Reason: *refusal}, nil // nothing has been guessed
		}
		if refusal != nil {
			return a.count(ctx, r, Decision{Reason: *refusal})
		}
	}
	return a.claim(ctx, r, f.step, s, version)
}

// checkPassword asks the directory. A password that is empty, blank or holds a
// NUL never gets there: to a directory an empty one means an anonymous bind,
// which succeeds (RFC 4513, section 5.1.2).
func (a attempt) checkPassword(ctx context.Context, password []byte) (*Reason, error) {
	if len(bytes.TrimSpace(password)) == 0 {
		return &Reason{Kind: NoPassword}, nil
	}
	if bytes.IndexByte(password, 0) >= 0 {
		return &Reason{Kind: WrongPassword, Cause: "holds a NUL"}, nil
	}
	if a.decoy {
		return &Reason{Kind: NotEnrolled}, nil
	}
	err := a.dir.CheckPassword(ctx, a.account, opaque.Of(password))
	if refused := (*PasswordError)(nil); errors.As(err, &refused) {
		return &Reason{Kind: WrongPassword, Cause: refused.Cause}, nil
	}
	return nil, err
}

// claim spends step. Of several that claim it, on any server, one is accepted.
func (a attempt) claim(ctx context.Context, r Request, step int64, s State, version Version) (Decision, error) {
	key, now := a.account.Key, a.now()
	for {
		if spent, is := s.find(step); is {
			return Decision{Reason: replayed(spent, now)}, nil
		}
		// Failures that another server counted meanwhile hold here too, or a
		// burst of guesses at several servers would get round the throttle.
		if reason, yes := a.held(s, r, now); yes {
			return Decision{Reason: reason}, nil
		}
		next := s.accepted(Spent{Step: step, At: stamp(now), By: r.Client}, r.Source)
		err := a.store.CompareAndSwap(ctx, a.id, version, next)
		if err == nil {
			offset := time.Duration(step-key.Step(now)) * key.Period
			return Decision{Outcome: Accepted, Offset: offset}, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Decision{}, fmt.Errorf("spend step: %w", err)
		}
		if s, version, err = a.load(ctx); err != nil {
			return Decision{}, err
		}
	}
}

// accepted returns s with the step spent and the failures forgotten.
func (s State) accepted(spent Spent, source string) State {
	s = s.spend(spent)
	s.Failures = 0
	s.forgive(source)
	return s
}

// miss decides a request in which no right code was found.
func (a attempt) miss(ctx context.Context, r Request, reason Reason) (Decision, error) {
	d := Decision{Outcome: r.otherwise(), Reason: reason}
	if d.Outcome == Refused {
		return a.count(ctx, r, d)
	}
	var err error
	if reason.Kind != NoCode { // a password alone is no guess at a code
		d, err = a.count(ctx, r, d)
	}
	if err != nil {
		return Decision{}, err
	}
	d.Asked = stamp(a.now()) // not before the failure
	return d, nil
}

// count adds a failure to the account, unless the same input failed from the
// same source within the last minute: appliances try again by themselves.
func (a attempt) count(ctx context.Context, r Request, d Decision) (Decision, error) {
	now := a.now()
	if _, again := a.repeated(r, now); again {
		a.restate(r, d.Reason.Kind, now)
		return d, nil
	}
	for {
		s, version, err := a.load(ctx)
		if err != nil {
			return Decision{}, err
		}
		err = a.store.CompareAndSwap(ctx, a.id, version, s.failed(r.Source, now))
		if err == nil {
			a.remember(r, d.Reason.Kind, now)
			return d, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Decision{}, fmt.Errorf("count failure: %w", err)
		}
	}
}

func (a attempt) load(ctx context.Context) (State, Version, error) {
	s, version, err := a.store.Load(ctx, a.id)
	if err != nil {
		return State{}, 0, fmt.Errorf("load state: %w", err)
	}
	return s, version, nil
}
