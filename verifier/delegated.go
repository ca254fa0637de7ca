package verifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
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

// delegate returns what stands for a's tokens. The key, by which a failure is told
// from its repetition, is one that this process alone has: with any in the store,
// who reads it could try passwords on what is kept. So a repetition at another
// server counts again.
func (v *Verifier) delegate(a Account) token {
	return token{key: v.decoy, id: "delegated:" + a.ID}
}

// delegated decides about an account whose password and code the directory checks
// in one bind. There is no telling a code from the end of a password before: where
// the code can be asked for, it is, whatever was typed.
func (a attempt) delegated(ctx context.Context, r Request, t token) (Decision, error) {
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
	used := a.tag(way.code)
	if reason, yes := t.usedUp(used, a.now()); yes {
		return Decision{Reason: reason}, nil
	}
	way.password = slices.Concat(way.password, way.code)
	return a.finish(ctx, r, finding{way: way, right: []int64{used}}, []token{t})
}

// lastDigits reads 6 or 8 digits at the end as the code. Which of them it is does
// not matter, except to a separator.
func (r Request) lastDigits() (way split, ok bool) {
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
func (a attempt) tag(code []byte) int64 {
	h := sha256.New()
	fmt.Fprintf(h, "lockstep delegated code\x00%d:%s", len(a.account.ID), a.account.ID)
	h.Write(code[len(code)-6:])
	return 1 + int64(binary.BigEndian.Uint16(h.Sum(nil)))
}

// usedUp says whether a code with that tag was accepted lately. One of the future
// counts: the server's clock was put back since.
func (s State) usedUp(tag int64, now time.Time) (Reason, bool) {
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
	s.Recent = append([]Spent{n}, s.Recent[:kept]...)
	return s
}
