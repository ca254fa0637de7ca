package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// againAge is how long a login that was accepted may come again: appliances that
// have not seen the answer ask their next server.
const againAge = 10 * time.Second

// mostAge is what a store may say of the age, at most: one that other servers write
// to knows it by what it has asked, which it does each second or so.
const mostAge = againAge + 2*time.Second

// Login tells the login that was accepted last from others. The zero Login is
// none.
type Login struct {
	From   uint64 // a hash of where it came from; 0 for none
	Server uint64 // a hash of the name of the server that accepted it; 0 for one without
	Input  uint16 // tells what was typed from other input, with a chance of error of 1 in 65,536
}

// SetServer names this server among those of its Store. A login that another one
// accepted is known by that when it comes again. It must stay the same across
// restarts: what a server has accepted before its last one is as used up as what
// it has since. Without a name no login comes again. It is called before the first
// Verify.
func (v *Verifier) SetServer(name string) { v.server = named(name) }

// SetPeerClocks says by how much the clocks of other servers, by their names, are
// ahead of this one's, so that the age of what they have accepted is known. One
// that is not named is taken to have the same clock. It may be called at any time.
func (v *Verifier) SetPeerClocks(ahead map[string]time.Duration) {
	byHash := make(map[uint64]time.Duration, len(ahead))
	for name, d := range ahead {
		byHash[named(name)] = d
	}
	v.peers.Store(&byHash)
}

// ahead is by how much the clock of a server is ahead of this one's.
func (v *Verifier) ahead(server uint64) time.Duration {
	if peers := v.peers.Load(); peers != nil {
		return (*peers)[server]
	}
	return 0
}

// login returns what is kept of r once a code of key k in it is accepted.
func (a *attempt) login(r *Request, k Key) Login {
	return Login{From: r.from(), Server: a.server, Input: a.input(r, k)}
}

// from returns a hash of r's Client and Source, which is no secret. The Client
// counts also where there is a better Source: what an appliance says of where the
// person is can be chosen by whoever controls another one.
func (r *Request) from() uint64 {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 128), uint32(len(r.Client)))
	return hashed(append(append(b, r.Client...), r.Source...))
}

func named(s string) uint64 { return hashed([]byte(s)) }

// hashed returns a hash, which is 0 for nothing alone.
func hashed(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// again says whether r, which has the code of step, is the login that t's State
// was changed by last, come again, and how long ago that was: less than nothing
// where another server's clock is ahead.
func (a *attempt) again(r *Request, step int64, t *kept, now time.Time) (ago time.Duration, yes bool) {
	ago, yes = a.lately(r, step, t, now)
	return ago, yes && t.Last.Input == a.input(r, t.key)
}

// lately says whether step is the one spent last, a moment ago, by a login from
// where r comes from, and this server has not said so. What was typed then is not
// looked at.
func (a *attempt) lately(r *Request, step int64, t *kept, now time.Time) (ago time.Duration, yes bool) {
	if len(t.Recent) == 0 || t.Recent[0].Step != step || t.Last.From != r.from() {
		return 0, false
	}
	ago = between(t.Recent[0].At, now) + a.ahead(t.Last.Server)
	return ago, ago.Abs() <= againAge && a.untold(t, now) && !a.old(t)
}

// old says whether t's State has been there for longer than any clock may say: one
// of them may have been set in between.
func (a *attempt) old(t *kept) bool {
	ager, ok := a.store.(Ager)
	return ok && ager.Older(t.version, mostAge)
}

// untold says whether the login that t's State was changed by last had its answer
// from another server, or none: where that was this one's, whoever sends the same
// again has seen it.
func (a *attempt) untold(t *kept, now time.Time) bool {
	elsewhere := a.server != 0 && t.Last.Server != 0 && t.Last.Server != a.server && !a.told.has(t.id, t.Last, now)
	return elsewhere || a.unsure.has(t.id, t.Last, now)
}
