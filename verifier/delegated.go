package verifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// Some directories check codes themselves: FreeIPA, and OpenLDAP with its overlay
// for one-time passwords. Their users bind with the password and the code after
// it, and the keys stay where they are. Such an account has no clock here and no
// steps: only its failures are kept, and which codes were accepted lately.

const (
	usedAge = 10 * time.Minute // how long an accepted code is refused here, whatever the directory says
	maxUsed = 256              // of them, the latest
)

// eitherWrong is why a directory refuses what it gives no cause for.
const eitherWrong = "password or code, the directory does not say which"

// elsewhere is said of the codes of a Delegated account.
var elsewhere = Reason{Kind: Unusable, Cause: "the directory checks the codes of this account, and nothing is known of them here"}

// delegate returns what stands for a's tokens. By its key a login is told from its
// repetition: at this server alone, unless SetClusterKey has given one.
func (v *Verifier) delegate(a Account) token {
	k := v.decoy
	if shared := v.cluster.Load(); shared != nil {
		k.Bytes = *shared
	}
	return token{key: k, id: "delegated:" + a.ID}
}

// SetClusterKey gives the key, 32 octets, by which the servers of one Store know
// the logins of Delegated accounts again that another of them has decided: a wrong
// one that was counted, and a right one that was accepted. Without it, or with an
// empty one, a server knows its own alone, since it started. It may be called at
// any time; logins from before are not known again.
//
// The store keeps 16 bits of the last input under this key. Who reads the store
// and has the key, which may well stand there too, can try passwords on them. The
// code in the input is one of about fifteen, because the store also keeps 16 bits
// of that, under no key. So one password in 4,400 fits what is kept of one login,
// and those that fit several, as in old copies of the store, become few. A key of
// the process gives away nothing.
func (v *Verifier) SetClusterKey(key opaque.Bytes) {
	if key.Len() == 0 {
		v.cluster.Store(nil)
		return
	}
	v.cluster.Store(&key)
}

// delegated decides about an account whose password and code the directory checks
// in one bind. There is no telling a code from the end of a password before: where
// the code can be asked for, it is, whatever was typed.
func (a *attempt) delegated(ctx context.Context, r *Request, t *kept) (Decision, error) {
	if r.Policy.CodeOnly {
		return Decision{Reason: Reason{Kind: Unusable, Cause: "the directory checks password and code together, and this client sends the code alone"}}, nil
	}
	if d := r.otherwise(Reason{Kind: NoCode, Delegated: true}); d.Outcome == Challenged {
		d.Asked = stamp(a.now())
		return d, nil
	}
	way, ok := r.lastDigits()
	switch {
	case !ok:
		return Decision{Reason: Reason{Kind: NoCode}}, nil // nothing has been guessed
	case len(bytes.TrimSpace(way.password)) == 0:
		return Decision{Reason: Reason{Kind: NoPassword, Delegated: true}}, nil
	}
	if reason, yes := t.heldBack(a.now()); yes {
		return Decision{Reason: reason}, nil
	}
	used := a.tag(way.code)
	way.password = slices.Concat(way.password, way.code)
	f := finding{way: way, right: []int64{used}}
	if f.reason, f.again = t.usedUp(used, a.now()); f.again {
		return a.usedAgain(ctx, r, &f, t)
	}
	return a.finish(ctx, r, &f, []kept{*t})
}

// usedAgain decides about a code that was accepted lately. The directory has
// spent it, and would refuse a login that comes again. So what is kept of the input
// has to do, which is 16 bits: whoever saw the code may guess at a password, from
// the same place and for againAge, with a chance of 1 in 65,536 each. That is why
// these guesses count, and the throttle leaves half a dozen of them.
func (a *attempt) usedAgain(ctx context.Context, r *Request, f *finding, t *kept) (Decision, error) {
	now := a.now()
	if _, yes := a.again(r, f.right[0], t, now); yes {
		return a.finish(ctx, r, f, []kept{*t})
	}
	d := Decision{Reason: f.reason}
	if _, yes := a.lately(r, f.right[0], t, now); yes {
		return a.count(ctx, r, d, nil)
	}
	return d, nil
}

// usedSince decides about a code that the directory has refused, where it has been
// accepted since: the same login was at another server, which was quicker. Where
// that server has bound and not yet claimed, this one still says no.
func (a *attempt) usedSince(ctx context.Context, r *Request, f *finding) (d Decision, decided bool, err error) {
	all, err := a.load(ctx)
	if err != nil {
		return Decision{}, false, err
	}
	since := *f
	if since.reason, since.again = all[0].usedUp(f.right[0], a.now()); !since.again {
		return Decision{}, false, nil
	}
	d, err = a.usedAgain(ctx, r, &since, &all[0])
	return d, true, err
}

// lastDigits reads 6 or 8 digits at the end as the code. Which of them it is does
// not matter, except to a separator.
func (r *Request) lastDigits() (way split, ok bool) {
	for _, digits := range []int{6, 8} {
		ways := readings(r, digits)
		if len(ways) == 0 || !r.Answering && !bytes.HasSuffix(r.Typed.Reveal(), ways[0].code) {
			continue
		}
		separated := len(ways[0].password)+digits < r.Typed.Len()
		if !ok || separated {
			way, ok = ways[0], true
		}
	}
	return way, ok
}

// tag returns 16 bits that tell a code from others of the account, and not what
// it was. The password has no part in them: who reads the store could try others
// on it.
func (a *attempt) tag(code []byte) int64 {
	h := sha256.New()
	fmt.Fprintf(h, "lockstep delegated code\x00%d:%s", len(a.account.ID), a.account.ID)
	h.Write(code[len(code)-6:])
	return 1 + int64(binary.BigEndian.Uint16(h.Sum(nil)))
}

// usedUp says whether a code with that tag was accepted lately. One of the future
// counts: the server's clock was put back since.
func (s *State) usedUp(tag int64, now time.Time) (Reason, bool) {
	for _, used := range s.Recent {
		if used.Step == tag && now.Sub(used.At) < usedAge {
			return replayed(used, now), true
		}
	}
	return Reason{}, false
}

// use returns s with the tag of a code that was accepted, and those before it as
// long as they count, and a few for admins to see.
func (s State) use(n Spent) State {
	kept := 0
	for _, used := range s.Recent[:min(len(s.Recent), maxUsed-1)] {
		if kept >= keptRecent-1 && n.At.Sub(used.At) >= usedAge {
			break
		}
		kept++
	}
	return s.note(n, kept)
}
