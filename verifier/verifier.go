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
//     is Accepted. A login is what was typed from one place: if it comes again
//     within 10 s, at another server, because the answer was lost, it is Accepted
//     again and spends nothing.
//   - The order is always: throttle, code, password, what [Request].Authorize
//     says, claim; but see [Verifier.SetSole]. A wrong code never reaches the directory, so strangers can
//     neither lock directory accounts nor try passwords; a wrong password, or a
//     person who is not allowed, does not spend the code. A code that is
//     out of step, as one guess in 170 is, does reach it where the client may be
//     challenged, but only among the first few failures of an account. So does
//     all that looks like a password and a code of an [Account] that is Delegated,
//     whose codes the directory checks: nothing but the throttle is before it.
//   - A [Request] leads to one bind at most, whatever was typed and however many
//     tokens there are.
//   - Every decision is yes, no with a reason, or an error. An error means that
//     nobody could tell. It is never Accepted and never counted.
//   - A right code is not stranded by a clock, the device's or the server's,
//     wherever it was set to and however often: one login, or two within five
//     minutes if the device was set by more than a minute or two, and everything
//     is as it was. (One exception: where server and device were both ahead by
//     more than a day, for hundreds of logins, and both are put right, the codes
//     of the days that they were ahead by count as spent.)
//   - Whether a name is enrolled cannot be told from the outcome: unknown names
//     go the same way with a key that nobody has. Their failures are remembered
//     for ten minutes at least, and those of 10,000 names at a time.
//
// # Tokens
//
// Somebody may have several tokens, each with a key of its own; a code of any of
// them is right. Each has its own clock, spent steps and half of a
// resynchronization, kept by its key. A code that is spent under one key and right
// under another is right. Failures are those of the person: they are counted on
// every token, any of them can hold up a login, and a login with one token forgets
// them on all. Where a crash comes between, what is left on the others is forgotten
// at the next login.
//
// A Delegated account has no key here. The directory gets password and code in one
// bind, and a code that it has accepted is refused here for ten minutes, whatever
// the directory would say. The store keeps 16 bits of such a code, and 16 of what
// was typed last, under a key; see [Verifier.SetClusterKey].
//
// # Logins that come again
//
// Appliances that see no answer turn to their next server and send the same again.
// What counts as the same login has the code that was spent last, comes within 10 s,
// as far as the servers know of each other's clocks, from the same Client and Source, for the same
// account, with the same input, a challenge's Kept included, and to a server that
// has not answered it and was there at the time. All else is asked anew: whether the account
// is locked, the password (but of a Delegated account), and Authorize. Whoever
// listens at one appliance is refused at any other, and everywhere after the next
// login or 10 s.
//
// Of the input 16 bits are kept, under the TOTP key. Without that they say nothing
// of the password. Who has the key can rule out all passwords but one in 65,536 by
// them, and with several of them, as in old copies of the store, all others: a
// store and its copies are not to lie beside the keys.
//
// # Clocks
//
// A code is that of one step s of the device's clock, from sP to (s+1)P, where P
// is the period (RFC 6238, section 4.2). It reaches the server at t, at most D =
// 48 s after the person has read it. So when it was read, between t-D and t, the
// device's clock was between sP and (s+1)P, and its offset θ, by which it is
// ahead of the server's, is known to lie in
//
//	sP - t  ≤  θ  ≤  (s+1)P - t + D
//
// which is P+D wide. Until the next login, a time Δ later, θ drifts at a rate ρ,
// at most 60 ppm either way. So then it lies in
//
//	[low + ρlow Δ, high + ρhigh Δ]
//
// and in what the next code says, and both together are less than either: after
// some logins there are seconds left. Where θ was when learning began and where
// it is now bound ρ,
//
//	(low now - high then) / Δ  ≤  ρ  ≤  (high now - low then) / Δ
//
// and ρ in turn what θ can have been then. None of that excludes the truth as long
// as the device keeps to an even rate within the 60 ppm and the person to D. If
// nothing is left, one of them has not, mostly because the device was set, and
// learning starts again. (A crystal that wanders by a few ppm over the year starts
// again now and then, and is refused about once in a thousand logins.) A device
// that was never seen is taken to be within a step of the server.
//
// The codes that let somebody in at t are those of the steps that such a device
// can have shown between t-D and t,
//
//	⌊(t - D + low) / P⌋ … ⌊(t + high) / P⌋
//
// and those of T and T-1 by the server's own clock, because a device that is set
// is set right mostly; less the spent ones, a set and not a mark. That makes two
// centres. For a week there is a third, where the device was before it was set
// the last time. Of an interval that has become wider than four minutes the middle
// counts. D is a compromise: a longer one refuses fewer people who
// type slowly, and lets more codes in.
//
// A code that is further off, but within a day (12 h with periods of 15 s), lets nobody in alone. It is
// remembered for five minutes with every step that it fits, and completed by a
// later code whose interval for θ has something in common with its own (RFC 6238,
// section 6). Nothing is learned from ordinary logins while the server's own
// clock is not known to be right, nor while many devices seem to have moved
// together, for an hour at most; what two codes have shown always counts, since
// whoever typed them could not get in otherwise, and so does an enrolment.
//
// Everything in a [Request] is hostile. What the Directory and the Store return
// is trusted.
package verifier

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"lockstep/internal/opaque"
)

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

	// Answering is set when Typed answers an earlier Challenged; Kept is that
	// Decision's Keep, and Asked its Asked. Both have to come back unaltered from
	// where the person cannot change them.
	Answering bool
	Kept      opaque.Bytes
	Asked     time.Time

	Policy Policy

	// Authorize, unless nil, is asked when code and password are right, before
	// the code is spent. Nil lets in; a [DeniedError] is a no, which is no failure
	// and spends nothing; any other error means that nobody can tell. Of a
	// Delegated account only the directory knows whether both are right, and it
	// has spent the code by then.
	Authorize func(ctx context.Context, a Account) error
}

// Outcome is what to do with a request that could be decided. The zero Outcome
// is Refused.
type Outcome int

// The outcomes.
const (
	Refused    Outcome = iota
	Accepted           // the code is spent; see Repeated
	Challenged         // ask for a code
)

// Decision is the answer to a [Request].
type Decision struct {
	Outcome Outcome
	Account string // canonical name; empty if there is no such account
	Reason  Reason // why not Accepted

	// NotEnrolled is set where there is no such account, also if the Reason is
	// that too much was tried at its name.
	NotEnrolled bool

	// Token is the label of the token that the code belongs to, of an account
	// that has several; empty otherwise, and where it is no token's.
	Token string

	// Of Challenged. Late is set where something like a code was looked at, which
	// can take long: the challenge should leave when a refusal would, or the time
	// shows whose code it was. NextCode is set where the code was right but out of step,
	// and the next one that the device shows completes the resynchronization; the
	// password is right then. Keep and Asked belong into the Request with the
	// answer.
	Late     bool
	NextCode bool
	Keep     opaque.Bytes
	Asked    time.Time

	// Of Accepted.
	Offset         time.Duration // how far the device's clock is ahead of the server's, about
	Resynchronized bool          // by two codes
	Password       PasswordInfo  // what the directory says of it; zero where it was not asked

	// Repeated is set where the same login was accepted before, Ago earlier, and
	// nothing was spent or changed for this one. Ago is negative where that was at
	// a server whose clock is ahead.
	Repeated bool
	Ago      time.Duration
}

// Verifier decides. [New] makes one. It is safe for concurrent use.
type Verifier struct {
	dir     Directory
	waiting Waiting // the dir where codes are claimed early; else nil
	store   Store
	now     func() time.Time

	most        atomic.Int64 // failures in a row
	forwardOnly atomic.Bool
	trusted     atomic.Pointer[func() bool]              // the server's clock; nil for always
	cluster     atomic.Pointer[opaque.Bytes]             // see SetClusterKey; nil for none
	server      uint64                                   // see SetServer; 0 for none
	unsure      remembered                               // logins that had no answer, for all that this server can tell
	told        remembered                               // logins of other servers that this one has let in again
	peers       atomic.Pointer[map[uint64]time.Duration] // see SetPeerClocks; nil for none known
	restored    atomic.Pointer[time.Time]                // see SetRestored; nil for never

	locks    locks
	searches *searches
	together together
	decoys   decoys
	decoy    Key // of unknown names
}

// New returns a Verifier that asks d and s.
func New(d Directory, s Store, now func() time.Time) *Verifier {
	v := &Verifier{dir: d, store: s, now: now, searches: newSearches()}
	v.SetMaxFailures(DefaultMaxFailures)
	v.decoys.init(s, now)
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
// It asks Directory.CheckPassword once at most, and never if the code is wrong, but
// of a Delegated account.
func (v *Verifier) Verify(ctx context.Context, r Request) (Decision, error) {
	a, refusal, err := v.account(r.User)
	if err != nil {
		return Decision{}, fmt.Errorf("look up account: %w", err)
	}
	turn, err := v.locks.acquire(ctx, a.lock)
	if err != nil {
		return Decision{}, fmt.Errorf("wait for other logins of the same account: %w", err)
	}
	defer v.locks.release(turn)
	d, err := a.decide(ctx, &r)
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
		d.Outcome, d.Repeated, d.Ago = Refused, false, 0
	}
	d.NotEnrolled = refusal.Kind == NotEnrolled
	if d.Reason.Kind != Locked {
		d.Reason = Reason{Kind: refusal.Kind, Cause: refusal.Cause}
	}
	return d
}

// SetMaxFailures sets after how many failures in a row an account locks until
// an admin unlocks it. Without it that is DefaultMaxFailures. It may be called
// at any time.
func (v *Verifier) SetMaxFailures(n int) { v.most.Store(int64(n)) }

func (v *Verifier) maxFailures() int { return int(v.most.Load()) }

// SetForwardOnly sets whether a code is refused, though it was never used, once
// a later one of its key was. Without it that is false. It may be called at any
// time.
func (v *Verifier) SetForwardOnly(yes bool) { v.forwardOnly.Store(yes) }

// SetTrusted gives the Verifier a function that says whether this server's clock
// is known to be right. While it is not, nothing is learned from ordinary
// logins. The function is called often and must be quick.
func (v *Verifier) SetTrusted(f func() bool) { v.trusted.Store(&f) }

// maxAlarm is how long an alarm keeps devices' clocks from being learned. By then
// the server has been put right, or it was put right in the first place.
const maxAlarm = time.Hour

// learning says whether devices' clocks may be learned now.
func (v *Verifier) learning(now time.Time) bool {
	if f := v.trusted.Load(); f != nil && !(*f)() {
		return false
	}
	alarm, on := v.together.alarm(now)
	return !on || now.Sub(alarm.Since) > maxAlarm
}

// Alarm returns whether the devices of many users seem to have moved together,
// which means that it was this server's clock.
func (v *Verifier) Alarm() (Alarm, bool) { return v.together.alarm(v.now()) }
