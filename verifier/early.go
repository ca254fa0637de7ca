package verifier

import (
	"context"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// The disk takes as long as the directory, and neither needs the other's answer. So
// where nobody could be misled by it, a code is claimed while its password is on the
// way, and given back if the answer is no.

// Waiting is a Directory that can have something done while it waits.
type Waiting interface {
	// CheckPasswordMeanwhile is CheckPassword, and calls meanwhile once at most: as
	// soon as the question is on its way, and before it returns. If the answer does
	// not come soon it calls what meanwhile has returned, before it looks further.
	CheckPasswordMeanwhile(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() (late func())) (PasswordInfo, error)
}

// SetSole says whether no other server uses the Store. Without it that is false. If
// so, and the Directory is [Waiting], a code is claimed while the password is asked
// about, unless failures are to be forgotten with it. Nobody is accepted before both are done, and a code whose password is wrong
// is given back before that is said, and as soon as the answer is late. It stays spent only if this server ends within
// the same moment, or the store cannot be written any more: as it may with a right
// password. It is called before the first Verify.
func (v *Verifier) SetSole(yes bool) {
	v.waiting, _ = v.dir.(Waiting)
	if !yes {
		v.waiting = nil
	}
}

// early is a claim that does not wait for the password.
type early struct {
	begun bool
	claim
	err error
}

// mayBeEarly says whether f, of t, may be claimed before the password is known to be
// right. All attempts on the account wait for this one, and no other server sees it.
//
// Not where the server has a name among others, whatever SetSole was told. Not where
// failures would be forgotten by it: an admin who unlocks meanwhile, or
// whoever is at another account with the same key, would not find them, and they could
// not be brought back then.
func (a *attempt) mayBeEarly(r *Request, f *finding, t *kept) bool {
	return a.waiting != nil && a.server == 0 && !a.decoy && !a.account.Delegated && !f.again &&
		t.Failures == 0 && t.source(r.Source).Count == 0
}

// giveBackTime is how long the store may take to make a code good again.
const giveBackTime = 5 * time.Second

// giveBack makes the State as it was before the claim, if it is as the claim has left
// it: what an admin has changed since stays, and the code with it. Nor is anything
// given back that the store cannot write. The code is spent then, and the next one is
// good, but the same login may come again.
func (a *attempt) giveBack(ctx context.Context, e *early) {
	if e.claim.of == nil {
		return // nothing was written
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	err := a.change(ctx, e.of.id, func(s State, _ Version) (State, error) {
		if !s.leftBy(&e.next) {
			return s, errNoChange
		}
		return e.of.State, nil
	})
	if err == nil {
		a.unsure.settle(e.of.id)
	} else {
		a.unsure.note(e.of.id, e.next.Last, a.now())
	}
}

// leftBy says whether nothing has changed since next was written: neither a login nor
// anything that an admin can do leaves all of this as it was.
func (s *State) leftBy(next *State) bool {
	return s.Last == next.Last && len(s.Recent) > 0 && s.Recent[0].Step == next.Recent[0].Step &&
		s.Clock.At.Equal(next.Clock.At) && s.Failures == next.Failures &&
		slices.EqualFunc(s.Sources, next.Sources, func(a, b SourceFailures) bool {
			return a.Source == b.Source && a.Count == b.Count && a.Last.Equal(b.Last)
		})
}
