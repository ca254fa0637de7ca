// Package verifier decides whether what somebody typed lets them in: a
// directory password together with a TOTP code (RFC 6238), or the code alone.
//
// It opens no sockets, reads no files and knows neither RADIUS nor LDAP. The
// accounts and the password check come from a [Directory], spent steps and
// failure counters are kept in a [Store], both given by the caller.
//
// # What it promises
//
//   - A code is accepted at most once, on all servers that share one Store
//     (RFC 6238, section 5.2). The step is on disk as spent before the answer
//     is Accepted.
//   - The order is always: throttle, code, password, claim. A wrong code never
//     reaches the directory, so strangers can neither lock directory accounts
//     nor try passwords; a wrong password does not spend the code.
//   - Every decision is yes, no with a reason, or an error. An error means that
//     nobody could tell. It is never Accepted and never counted.
//   - Whether a name is enrolled cannot be told from the outcome: unknown names
//     go the same way with a key that nobody has.
//
// Everything in a [Request] is hostile. What the Directory and the Store return
// is trusted.
package verifier

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"lockstep/internal/opaque"
)

// Account is one enrolled person.
type Account struct {
	ID   string // never changes, also when the person is renamed
	Name string // canonical login name
	Key  Key
}

// Directory knows the accounts. Its methods may be called at once.
type Directory interface {
	// Account returns the account of a login name, as typed and hostile. It
	// asks no network. The error is an [AccountError] where there is none to
	// be had, with the canonical name in the Account's Name if there is such a
	// thing; any other error means that nobody can tell.
	Account(name string) (Account, error)

	// CheckPassword returns nil if password is a's, and a [PasswordError] if
	// it is refused; any other error means that nobody can tell.
	CheckPassword(ctx context.Context, a Account, password opaque.Bytes) error
}

// AccountError says that nobody can log in by that name. Kind is NotEnrolled or
// Unusable, and Cause holds nothing secret.
type AccountError struct {
	Kind  Kind
	Cause string
}

func (e *AccountError) Error() string { return Reason{Kind: e.Kind, Cause: e.Cause}.String() }

// PasswordError says that the directory refused the password. Cause is empty
// for an ordinary wrong one, else such as "expired"; it is never shown to the
// one who asked.
type PasswordError struct{ Cause string }

func (e *PasswordError) Error() string { return "password refused" + inBrackets(e.Cause) }

// Policy is what the client that asks for a login may do.
type Policy struct {
	CodeOnly  bool // the password is checked elsewhere; what is typed is the code
	Challenge bool // may be answered with Challenged
	Separator byte // accepted between password and code; 0 for none
}

// Request is one attempt to log in.
type Request struct {
	User   string       // as typed
	Typed  opaque.Bytes // password and code in either order, or one of them
	Client string       // who asks, for reasons: "replayed (40 s ago, by vpn2)"
	Source string       // where the person is, for the throttle

	// Answering is set when Typed answers an earlier Challenged; Kept is what
	// was typed then.
	Answering bool
	Kept      opaque.Bytes

	Policy Policy
}

// Outcome is what to do with a request that could be decided. The zero Outcome
// is Refused.
type Outcome int

// The outcomes.
const (
	Refused    Outcome = iota
	Accepted           // the code is spent
	Challenged         // ask for the code; what was typed is the password, perhaps
)

// Decision is the answer to a [Request].
type Decision struct {
	Outcome Outcome
	Account string        // canonical name; empty if there is no such account
	Reason  Reason        // why not Accepted
	Offset  time.Duration // Accepted: how far the device's step is from the server's
}

// Verifier decides. [New] makes one. It is safe for concurrent use.
type Verifier struct {
	Directory Directory
	Store     Store
	Now       func() time.Time

	most   atomic.Int64 // failures in a row
	locks  locks
	wrong  wrongInputs
	decoys decoys
	decoy  Key // of unknown names
}

// New returns a Verifier that asks d and s.
func New(d Directory, s Store, now func() time.Time) *Verifier {
	v := &Verifier{Directory: d, Store: s, Now: now}
	v.SetMaxFailures(DefaultMaxFailures)
	v.wrong.init()
	v.decoys.init(now)
	key := make([]byte, 20)
	rand.Read(key)
	v.decoy = Key{Bytes: opaque.Of(key), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
	return v
}

// Verify decides r and spends the code if it is right.
//
// A nil error means that the question was answered, by the Decision. An error
// means that it was not, because Directory or Store failed or ctx ended: the
// caller must not accept, and should not say no either. A RADIUS server stays
// silent then, so that the appliance turns to its next server.
//
// A login asks Directory.CheckPassword once if the code is right, and never if
// it is not.
func (v *Verifier) Verify(ctx context.Context, r Request) (Decision, error) {
	a, refusal, err := v.account(r.User)
	if err != nil {
		return Decision{}, fmt.Errorf("look up account: %w", err)
	}
	release, err := v.locks.acquire(ctx, a.account.ID)
	if err != nil {
		return Decision{}, fmt.Errorf("wait for another login of the same account: %w", err)
	}
	defer release()
	d, err := a.decide(ctx, r)
	if err != nil {
		return Decision{}, err
	}
	if refusal != nil {
		d = disguise(d, *refusal)
	}
	d.Account = a.account.Name
	return d, nil
}

// disguise gives the decision about a decoy its true reason. A decoy is never
// accepted, even if somebody guessed the code of a key that nobody has.
func disguise(d Decision, refusal AccountError) Decision {
	if d.Outcome == Accepted {
		d.Outcome = Refused
	}
	if d.Reason.Kind != Locked {
		d.Reason = Reason{Kind: refusal.Kind, Cause: refusal.Cause}
	}
	return d
}

// attempt is a request on its way through the checks.
type attempt struct {
	*Verifier
	account Account
	store   Store
	decoy   bool
}

// account returns the attempt on the named account, or, with the reason, on a
// decoy of that name.
func (v *Verifier) account(name string) (attempt, *AccountError, error) {
	a, err := v.Directory.Account(name)
	if err == nil {
		err = unusable(a.Key.Check())
	}
	if refusal := (*AccountError)(nil); errors.As(err, &refusal) {
		// Under its canonical name, or a lock that holds for other spellings
		// too would show that the name is somebody's.
		name = cmp.Or(a.Name, name)
		decoy := Account{ID: "decoy\x00" + name[:min(len(name), 253)], Name: a.Name, Key: v.decoy}
		return attempt{v, decoy, &v.decoys, true}, refusal, nil
	}
	return attempt{Verifier: v, account: a, store: v.Store}, nil, err
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
	now := a.Now()
	if reason, yes := state.throttled(r.Source, a.maxFailures(), now); yes {
		return Decision{Reason: reason}, nil
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

// readings returns the ways in which r's input can hold a code.
func readings(r Request, digits int) []split {
	typed := r.Typed.Reveal()
	switch {
	case r.Policy.CodeOnly:
		return alone(typed, digits)
	case r.Answering:
		ways := alone(typed, digits)
		for i := range ways {
			ways[i].password = r.Kept.Reveal()
		}
		return ways
	}
	return splits(typed, digits, r.Policy.Separator)
}

// finding is what the search for a code came to.
type finding struct {
	right  bool
	step   int64
	way    split
	reason Reason // if not right
}

// search finds the way in which what was typed is a right and unspent code, or
// says why there is none. It changes nothing.
func (a attempt) search(ways []split, state State, now time.Time) (finding, error) {
	key := a.account.Key
	if len(ways) == 0 {
		return finding{reason: Reason{Kind: NoCode, Digits: key.Digits}}, nil
	}
	c, typed, token := newCoder(key), codes(ways), state.token(key.ID())
	var best finding
	for _, step := range candidates(key, now) {
		i, err := c.match(step, typed)
		if err != nil {
			return finding{}, err
		}
		if i < 0 || best.right {
			continue
		}
		best = finding{step: step, way: ways[i]}
		spent, is := token.find(step)
		if best.right = !is; is {
			best.reason = replayed(spent, now)
		}
	}
	if best.right || best.reason.Kind == Replayed {
		return best, nil
	}
	return diagnose(c, key, typed, token, now)
}

// diagnose says which code it was that is not accepted now. It looks at the
// same number of steps whatever was typed.
func diagnose(c coder, key Key, typed [][]byte, token TokenState, now time.Time) (finding, error) {
	reason := Reason{Kind: WrongCode}
	for _, step := range diagnosed(key, now, token.Spent) {
		i, err := c.match(step, typed)
		if err != nil {
			return finding{}, err
		}
		if i < 0 || reason.Kind != WrongCode {
			continue
		}
		if spent, is := token.find(step); is {
			reason = replayed(spent, now)
		} else {
			offset := time.Duration(step-key.Step(now)) * key.Period
			reason = Reason{Kind: OutOfStep, Offset: offset}
		}
	}
	return finding{reason: reason}, nil
}

func replayed(s Spent, now time.Time) Reason {
	r := Reason{Kind: Replayed, Ago: -1, By: s.By}
	if !s.At.IsZero() {
		r.Ago = max(0, now.Sub(s.At))
	}
	return r
}

// finish checks the password that came with a right code, and claims the step.
func (a attempt) finish(ctx context.Context, r Request, f finding, s State, version Version) (Decision, error) {
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
	err := a.Directory.CheckPassword(ctx, a.account, opaque.Of(password))
	if refused := (*PasswordError)(nil); errors.As(err, &refused) {
		return &Reason{Kind: WrongPassword, Cause: refused.Cause}, nil
	}
	return nil, err
}

// claim spends step. Of several that claim it, on any server, one is accepted.
func (a attempt) claim(ctx context.Context, r Request, step int64, s State, version Version) (Decision, error) {
	key, now := a.account.Key, a.Now()
	for {
		if spent, is := s.token(key.ID()).find(step); is {
			return Decision{Reason: replayed(spent, now)}, nil
		}
		// Failures that another server counted meanwhile hold here too, or a
		// burst of guesses at several servers would get round the throttle.
		if reason, yes := s.throttled(r.Source, a.maxFailures(), now); yes {
			return Decision{Reason: reason}, nil
		}
		next := s.accepted(key.ID(), Spent{Step: step, At: stamp(now), By: r.Client}, r.Source)
		err := a.store.CompareAndSwap(ctx, a.account.ID, version, next)
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
func (s State) accepted(id TokenID, spent Spent, source string) State {
	s.setToken(s.token(id).spend(spent))
	s.Failures = 0
	s.forgive(source)
	return s
}

// miss decides a request in which no right code was found.
func (a attempt) miss(ctx context.Context, r Request, reason Reason) (Decision, error) {
	d := Decision{Reason: reason}
	if r.Policy.Challenge && !r.Policy.CodeOnly && !r.Answering {
		d.Outcome = Challenged
		if reason.Kind == NoCode {
			// A password alone is no guess at a code.
			return d, nil
		}
	}
	return a.count(ctx, r, d)
}

// count adds a failure to the account, unless the same input failed from the
// same source within the last minute: appliances try again by themselves.
func (a attempt) count(ctx context.Context, r Request, d Decision) (Decision, error) {
	now := a.Now()
	if a.repeated(r, now) {
		return d, nil
	}
	for {
		s, version, err := a.load(ctx)
		if err != nil {
			return Decision{}, err
		}
		err = a.store.CompareAndSwap(ctx, a.account.ID, version, s.failed(r.Source, now))
		if err == nil {
			a.remember(r, now)
			return d, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Decision{}, fmt.Errorf("count failure: %w", err)
		}
	}
}

func (a attempt) load(ctx context.Context) (State, Version, error) {
	s, version, err := a.store.Load(ctx, a.account.ID)
	if err != nil {
		return State{}, 0, fmt.Errorf("load state: %w", err)
	}
	return s, version, nil
}

// SetMaxFailures sets after how many failures in a row an account locks until
// an admin unlocks it. Without it that is DefaultMaxFailures. It may be called
// at any time.
func (v *Verifier) SetMaxFailures(n int) { v.most.Store(int64(n)) }

func (v *Verifier) maxFailures() int { return int(v.most.Load()) }
