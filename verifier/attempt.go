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
		return r.otherwise(reason), nil
	}
	found := a.search(readings(r, a.account.Key.Digits), state, now)
	found.at = now
	switch {
	case found.right != nil:
		return a.finish(ctx, r, found, state, version)
	case found.reason.Kind == Replayed, found.near:
		// Not counted: whoever sends it has seen a right code, and appliances
		// that send the last login again must not lock anybody out.
		return Decision{Reason: found.reason}, nil
	case found.far != nil:
		return a.outOfStep(ctx, r, found, state)
	}
	return a.miss(ctx, r, found.reason)
}

// held says whether an attempt has to be refused unseen. Whoever was asked for a
// code may answer once without waiting, as long as nothing else has failed from
// there since: a password that looks like one with a wrong code counts as a
// failure, and its delay must not meet the right code that follows. So may
// whoever typed a code out of step, since the next one may complete a
// resynchronization.
func (a attempt) held(s State, r Request, now time.Time) (Reason, bool) {
	reason, yes := s.throttled(r.Source, a.maxFailures(), now)
	if !yes || reason.Until.IsZero() {
		return reason, yes
	}
	last := s.source(r.Source).Last
	answers := r.Answering && !last.After(r.Asked)
	completes := s.Far.Source == sourceName(r.Source) && last.Equal(s.Far.At)
	if answers || completes {
		return Reason{}, false
	}
	return reason, true
}

// otherwise is the decision about an attempt in which no right code was found.
func (r Request) otherwise(reason Reason) Decision {
	d := Decision{Reason: reason}
	if r.Policy.Challenge && !r.Policy.CodeOnly && !r.Answering {
		d.Outcome, d.Keep, d.Late = Challenged, r.Typed, len(splits(r.Typed.Reveal(), 6, 0)) > 0
	}
	return d
}

// finish checks the password that came with a right code, and claims its step.
func (a attempt) finish(ctx context.Context, r Request, f finding, s State, version Version) (Decision, error) {
	if !r.Policy.CodeOnly {
		refusal, err := a.password(ctx, r, f.way.password, s)
		if err != nil {
			return Decision{}, err
		}
		if refusal != nil && refusal.Kind == NoPassword {
			return Decision{Reason: *refusal}, nil // nothing has been guessed
		}
		if refusal != nil {
			return a.count(ctx, r, Decision{Reason: *refusal}, nil)
		}
	}
	denial, err := a.authorize(ctx, r)
	if err != nil {
		return Decision{}, err
	}
	if denial != nil {
		return Decision{Reason: *denial}, nil // nothing has been guessed, either
	}
	return a.claim(ctx, r, f, s, version)
}

// authorize says why somebody with the right code and password may not log in
// here, or nil.
func (a attempt) authorize(ctx context.Context, r Request) (*Reason, error) {
	if r.Authorize == nil || a.decoy {
		return nil, nil
	}
	err := r.Authorize(ctx, a.account)
	if denied := (*DeniedError)(nil); errors.As(err, &denied) {
		return &Reason{Kind: Denied, Cause: denied.Cause}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	return nil, nil
}

// outOfStep decides a request with a code that is far from where the device's
// clock was expected. Where the next code can be asked for, it is, but that
// shows that this one was no wrong one: only to somebody whose password is
// right.
func (a attempt) outOfStep(ctx context.Context, r Request, f finding, s State) (Decision, error) {
	d := r.otherwise(f.reason)
	// Guesses get here, too, so that not many may ask for a password.
	if r.Policy.Challenge && !r.Policy.CodeOnly && s.Failures < freeFailures {
		refusal, err := a.password(ctx, r, f.way.password, s)
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
	d, err := a.count(ctx, r, d, &Far{At: stamp(a.now()), Source: sourceName(r.Source), Steps: f.far})
	d.Asked = stamp(a.now()) // not before the failure
	return d, err
}

// password says why the password of r is refused, or nil. The directory counts
// what it is asked, so it is not asked again what it has just refused.
func (a attempt) password(ctx context.Context, r Request, password []byte, s State) (*Reason, error) {
	if kind, again := a.repeated(r, s, a.now()); again && kind == WrongPassword {
		return &Reason{Kind: kind, Cause: "the same as a moment ago"}, nil
	}
	refusal, err := a.checkPassword(ctx, password)
	if err != nil {
		return nil, fmt.Errorf("check password: %w", err)
	}
	return refusal, nil
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

// claim spends what was found. Of several that claim it, on any server, one is
// accepted.
func (a attempt) claim(ctx context.Context, r Request, f finding, s State, version Version) (Decision, error) {
	for now := a.now(); ; now = a.now() {
		if reason, yes := a.taken(f, s, now); yes {
			return Decision{Reason: reason}, nil
		}
		// Failures that another server counted meanwhile hold here too, or a
		// burst of guesses at several servers would get round the throttle.
		if reason, yes := a.held(s, r, now); yes {
			return Decision{Reason: reason}, nil
		}
		next := a.accepted(s, f, r, now)
		err := a.store.CompareAndSwap(ctx, a.id, version, next)
		if err == nil {
			a.note(s, f.right, now)
			offset, _ := next.Clock.at(a.account.Key, now).Likely()
			return Decision{Outcome: Accepted, Offset: offset, Resynchronized: len(f.right) > 1}, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Decision{}, fmt.Errorf("spend step: %w", err)
		}
		if s, version, err = a.load(ctx); err != nil {
			return Decision{}, err
		}
	}
}

// taken says whether what was found has been spent since.
func (a attempt) taken(f finding, s State, now time.Time) (Reason, bool) {
	for _, step := range f.right {
		switch {
		case s.spent(step):
			return replayed(s.details(step), now), true
		case a.behind(s, step):
			return tooEarly(a.account.Key, s.mark(), step, now), true
		}
	}
	return Reason{}, false
}

// accepted returns s with the steps spent, the clock learned and the failures
// forgotten.
func (a attempt) accepted(s State, f finding, r Request, now time.Time) State {
	key, last := a.account.Key, f.right[len(f.right)-1]
	for _, step := range f.right {
		s = s.spend(key, Spent{Step: step, At: stamp(now), By: r.Client})
	}
	switch {
	case len(f.right) > 1:
		s = s.resynchronized(key, f.right[0], last, f.began, f.at)
	case a.learning(now):
		s = s.learn(key, last, f.at)
	default:
		s = s.recall(key, last, f.at)
	}
	s.Far = Far{}
	s.Failures = 0
	s.forgive(r.Source)
	return s
}

// miss decides a request in which no right code was found.
func (a attempt) miss(ctx context.Context, r Request, reason Reason) (Decision, error) {
	d := r.otherwise(reason)
	var err error
	// A password alone is no guess at a code, and nothing at all is none either.
	if reason.Kind != NoCode || d.Outcome == Refused && r.Typed.Len() > 0 {
		d, err = a.count(ctx, r, d, nil)
	}
	d.Asked = stamp(a.now()) // not before the failure
	return d, err
}

// countTime is how long the store may take to count a failure.
const countTime = 5 * time.Second

// count adds a failure to the account, and what was out of step if there is
// such. The same input from the same source within a minute is not counted
// again: appliances try again by themselves.
//
// What was looked at is counted also if the request has run out of time.
func (a attempt) count(ctx context.Context, r Request, d Decision, far *Far) (Decision, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTime)
	defer cancel()
	for {
		s, version, err := a.load(ctx)
		if err != nil {
			return Decision{}, err
		}
		next, changed := a.failed(s, r, d.Reason.Kind, far)
		if !changed {
			return d, nil
		}
		err = a.store.CompareAndSwap(ctx, a.id, version, next)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Decision{}, fmt.Errorf("count failure: %w", err)
		}
	}
}

// failed returns s with one more failure, and whether it differs from s.
func (a attempt) failed(s State, r Request, kind Kind, far *Far) (State, bool) {
	now := a.now()
	if was, again := a.repeated(r, s, now); again {
		// A code that was out of step may have come to be right since, and the
		// password has been refused; or it was not looked for at first.
		next := s.restated(r.Source, kind)
		if far != nil {
			next = next.remember(*far)
		}
		return next, was != kind || !next.Far.At.Equal(s.Far.At)
	}
	s = s.failed(SourceFailures{Source: sourceName(r.Source), Last: stamp(now), Input: a.input(r), Kind: kind})
	if far != nil {
		far.At = stamp(now)
		s = s.remember(*far)
	}
	return s, true
}

func (a attempt) load(ctx context.Context) (State, Version, error) {
	s, version, err := a.store.Load(ctx, a.id)
	if err != nil {
		return State{}, 0, fmt.Errorf("load state: %w", err)
	}
	return s, version, nil
}

// note tells those who watch the server's own clock where a device was.
func (a attempt) note(s State, steps []int64, now time.Time) {
	if !a.decoy {
		a.together.note(a.id, s.moved(a.account.Key, steps[len(steps)-1], now), now)
	}
}
