package verifier

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"lockstep/internal/opaque"
)

// attempt is a request on its way through the checks.
type attempt struct {
	*Verifier
	account Account
	tokens  []token // one at least
	lock    string  // what all attempts on the account share
	store   Store
	decoy   bool
}

// account returns the attempt on the named account, or, with the reason, on a
// decoy of that name.
func (v *Verifier) account(name string) (attempt, *AccountError, error) {
	var by attempt
	a, err := v.dir.Account(name)
	if err == nil {
		by, err = v.attempt(a)
	}
	if refusal, ok := errors.AsType[*AccountError](err); ok {
		// Under its canonical name, or a lock that holds for other spellings
		// too would show that the name is somebody's.
		name = cmp.Or(a.Name, name)
		id := "decoy:" + name[:min(len(name), 253)]
		return attempt{v, Account{Name: a.Name}, []token{{key: v.decoy, id: id}}, id, &v.decoys, true}, refusal, nil
	}
	return by, nil, err
}

// attempt returns the attempt on an account, or an AccountError if it cannot be
// used.
func (v *Verifier) attempt(a Account) (attempt, error) {
	if err := a.Check(); err != nil {
		return attempt{}, &AccountError{Kind: Unusable, Cause: err.Error()}
	}
	tokens := a.tokens()
	if a.Delegated {
		tokens = []token{v.delegate(a)}
	}
	return attempt{v, a, tokens, a.ID, v.store, false}, nil
}

// decide goes through the checks in the order that the package promises.
func (a *attempt) decide(ctx context.Context, r *Request) (Decision, error) {
	all, err := a.load(ctx)
	if err != nil {
		return Decision{}, err
	}
	now := a.now()
	if reason, yes := a.held(all, r, now); yes {
		// Asked for the code like anybody, or the answer would show that there
		// is such an account. What is answered is not looked at either.
		return r.otherwise(reason), nil
	}
	if a.account.Delegated {
		return a.delegated(ctx, r, &all[0])
	}
	found := a.search(all, func(digits int) []split { return readings(r, digits) }, now)
	d, err := a.settle(ctx, r, &found, all)
	if len(all) > 1 && found.rank() > 0 && err == nil && d.Reason.Kind != Locked {
		d.Token = all[found.token].key.Label
	}
	return d, err
}

// settle decides r by what was found in it.
func (a *attempt) settle(ctx context.Context, r *Request, found *finding, all []kept) (Decision, error) {
	switch {
	case found.right != nil:
		return a.finish(ctx, r, found, all)
	case found.reason.Kind == Replayed && a.isAgain(r, found, all):
		again := *found
		again.right, again.again = []int64{found.spent}, true
		return a.finish(ctx, r, &again, all)
	case found.reason.Kind == Replayed, found.near:
		// Not counted: whoever sends it has seen a right code, and appliances
		// that send the last login again must not lock anybody out.
		return Decision{Reason: found.reason}, nil
	case found.far != nil:
		return a.outOfStep(ctx, r, found, all)
	}
	return a.miss(ctx, r, found.reason)
}

// isAgain says whether what was found is the login accepted last, come again.
func (a *attempt) isAgain(r *Request, f *finding, all []kept) bool {
	_, yes := a.again(r, f.spent, &all[f.token], f.at)
	return yes
}

// otherwise is the decision about an attempt in which no right code was found.
func (r *Request) otherwise(reason Reason) Decision {
	d := Decision{Reason: reason}
	if r.Policy.Challenge && !r.Policy.CodeOnly && !r.Answering {
		d.Outcome, d.Keep, d.Late = Challenged, r.Typed, len(splits(r.Typed.Reveal(), 6, 0)) > 0
	}
	return d
}

// finish checks the password that came with a right code, and whether the account
// may log in, and claims the step. All of that holds for a login that comes again,
// too. Only the directory that has spent a code itself cannot be asked twice.
func (a *attempt) finish(ctx context.Context, r *Request, f *finding, all []kept) (Decision, error) {
	var e early
	info, refusal, err := a.permitted(ctx, r, f, all, &e)
	switch {
	case err != nil:
		return Decision{}, err
	case refusal != nil:
		refusal.Spent = f.again
		return a.refuse(ctx, r, f, *refusal)
	}
	if !e.begun {
		e.claim, e.err = a.spend(ctx, r, f, all)
	}
	if e.err != nil {
		return Decision{}, e.err
	}
	d := a.claimed(ctx, r, f, &e.claim)
	if d.Outcome == Accepted {
		d.Password = info
	}
	return d, nil
}

// permitted says why somebody with a right code is refused all the same, or nil. If
// nothing, it may have claimed the step meanwhile, by e.
func (a *attempt) permitted(ctx context.Context, r *Request, f *finding, all []kept, e *early) (info PasswordInfo, no *Reason, err error) {
	yes := false
	defer func() {
		if !yes { // be it by a panic, which the server may survive
			a.giveBack(ctx, e)
		}
	}()
	if !r.Policy.CodeOnly && !(f.again && a.account.Delegated) {
		var meanwhile func() (late func())
		if a.mayBeEarly(r, f, &all[f.token]) {
			meanwhile = func() (late func()) {
				e.begun = true
				e.claim, e.err = a.spend(ctx, r, f, all)
				return func() {
					a.giveBack(ctx, e)
					*e = early{} // and claim it when the password is known to be right
				}
			}
		}
		info, no, err = a.password(ctx, r, f.way.password, &all[f.token], meanwhile)
	}
	if err == nil && no == nil {
		no, err = a.denied(ctx, r)
	}
	yes = err == nil && no == nil
	return info, no, err
}

// refuse decides a request whose password is refused, or that is denied.
func (a *attempt) refuse(ctx context.Context, r *Request, f *finding, refusal Reason) (Decision, error) {
	if refusal.Kind == NoPassword || refusal.Kind == Denied {
		return Decision{Reason: refusal}, nil // nothing has been guessed
	}
	if a.account.Delegated {
		if d, decided, err := a.usedSince(ctx, r, f); decided || err != nil {
			return d, err
		}
	}
	return a.count(ctx, r, Decision{Reason: refusal}, nil)
}

// outOfStep decides a request with a code that is far from where the device's
// clock was expected. Where the next code can be asked for, it is, but that
// shows that this one was no wrong one: only to somebody whose password is
// right.
func (a *attempt) outOfStep(ctx context.Context, r *Request, f *finding, all []kept) (Decision, error) {
	d := r.otherwise(f.reason)
	// Guesses get here, too, so that not many may ask for a password.
	if r.Policy.Challenge && !r.Policy.CodeOnly && failures(all) < freeFailures {
		_, refusal, err := a.password(ctx, r, f.way.password, &all[f.token], nil)
		switch {
		case err != nil: // and the code alone decides, as it does without a challenge
			d.Reason.Cause = "password not checked"
		case refusal == nil:
			d.Outcome, d.NextCode, d.Late, d.Keep = Challenged, true, false, opaque.Of(f.way.password)
		case refusal.Kind == WrongPassword:
			d.Reason = *refusal
			d.Reason.OutOfStep = f.reason.Offset
		}
	}
	d, err := a.count(ctx, r, d, f.far)
	d.Asked = stamp(a.now()) // not before the failure
	return d, err
}

// password says why the password of r, whose code is t's, is refused, or nil. The
// directory counts what it is asked, so it is not asked again what it has just
// refused. Meanwhile, unless nil, may be called while it is asked.
func (a *attempt) password(ctx context.Context, r *Request, password []byte, t *kept, meanwhile func() (late func())) (PasswordInfo, *Reason, error) {
	if kind, again := a.repeated(r, t.key, t.State, a.now()); again && kind == WrongPassword {
		return PasswordInfo{}, &Reason{Kind: kind, Cause: "the same as a moment ago", Delegated: a.account.Delegated}, nil
	}
	info, refusal, err := a.checkPassword(ctx, password, meanwhile)
	if err != nil {
		return PasswordInfo{}, nil, fmt.Errorf("check password: %w", err)
	}
	return info, refusal, nil
}

// checkPassword asks the directory. A password that is empty, blank or holds a
// NUL never gets there: to a directory an empty one means an anonymous bind,
// which succeeds (RFC 4513, section 5.1.2).
func (a *attempt) checkPassword(ctx context.Context, password []byte, meanwhile func() (late func())) (PasswordInfo, *Reason, error) {
	switch {
	case len(bytes.TrimSpace(password)) == 0:
		return PasswordInfo{}, &Reason{Kind: NoPassword, Delegated: a.account.Delegated}, nil
	case bytes.IndexByte(password, 0) >= 0:
		return PasswordInfo{}, &Reason{Kind: WrongPassword, Delegated: a.account.Delegated, Cause: "holds a NUL"}, nil
	case a.decoy:
		return PasswordInfo{}, &Reason{Kind: NotEnrolled}, nil
	}
	info, err := a.ask(ctx, opaque.Of(password), meanwhile)
	if err == nil {
		return info, nil, nil
	}
	if no, ok := errors.AsType[*PasswordError](err); ok {
		refused := Reason{Kind: WrongPassword, Delegated: a.account.Delegated, Cause: no.Cause}
		if a.account.Delegated {
			refused.Cause = cmp.Or(no.Cause, eitherWrong)
		}
		return PasswordInfo{}, &refused, nil
	}
	return PasswordInfo{}, nil, err
}

func (a *attempt) ask(ctx context.Context, password opaque.Bytes, meanwhile func() (late func())) (PasswordInfo, error) {
	if meanwhile != nil {
		return a.waiting.CheckPasswordMeanwhile(ctx, a.account, password, meanwhile)
	}
	return a.dir.CheckPassword(ctx, a.account, password)
}

// denied says which rule keeps the account from logging in, or nil.
func (a *attempt) denied(ctx context.Context, r *Request) (*Reason, error) {
	if r.Authorize == nil || a.decoy {
		return nil, nil
	}
	err := r.Authorize(ctx, a.account)
	if no, ok := errors.AsType[*DeniedError](err); ok {
		return &Reason{Kind: Denied, Cause: no.Cause, Delegated: a.account.Delegated}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask whether the account may log in: %w", err)
	}
	return nil, nil
}
