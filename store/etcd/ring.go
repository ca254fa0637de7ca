package etcd

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"lockstep/internal/opaque"
	"lockstep/store"
)

// ring is what one server knows of the keys: the record that was decoded last, and
// what has gone by since, by a clock that nobody sets. What is done with a key goes
// by that as far as it can: when to seal with it, for all servers see a new one at
// once, and that an old one stays. The zero ring has seen nothing.
type ring struct {
	mu     sync.Mutex // guards all below
	rev    int64
	keys   keyring
	found  uint32                   // keys up to this ID were there before us
	came   map[uint32]time.Duration // when each key was seen first
	clocks clocks                   // the last that was heard of them
	since  time.Duration            // since when nothing else is known than that they agree
}

// moment is a point in time, as a server can tell it.
type moment struct {
	now     time.Time     // by our clock, which may be wrong
	elapsed time.Duration // by one that nobody sets
	clocks  clocks
}

// clocks is how our clock compares to those of the other servers.
type clocks int

const (
	clocksUnheard clocks = iota // there is one that is not known yet, and none is known to differ
	clocksAgree                 // to within clockSlack, all of them
	clocksDiffer
)

var errKeysGone = errors.New("they were there, and are gone: somebody has deleted them; restart all servers if that was meant")

// turn takes in what the record is. It returns the keys to use, or, where it is time for
// that, the record as it should be.
func (r *ring) turn(is record, at moment) (store.SharedKeys, *keyring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.decode(is, at.elapsed); err != nil {
		return store.SharedKeys{}, nil, err
	}
	if at.clocks == clocksDiffer || r.since == 0 {
		r.since = at.elapsed
	}
	r.clocks = at.clocks
	if next, due := r.rotate(at); due {
		return store.SharedKeys{}, &next, nil
	}
	return r.shared(at), nil, nil
}

// What follows is called with mu held.

// decode takes in what is holds, which is no keys if there is none yet.
func (r *ring) decode(is record, elapsed time.Duration) error {
	switch {
	case is.rev == 0 && r.rev != 0:
		return errKeysGone
	case is.rev == r.rev:
		return nil
	}
	k, err := decodeKeyring(is.value)
	if err != nil {
		return err
	}
	if r.rev != 0 && !bytes.Equal(k.Cluster, r.keys.Cluster) {
		return errors.New("the key of the cluster has changed; restart all servers if that was meant")
	}
	if r.rev == 0 {
		r.found = k.last().ID
	}
	came := make(map[uint32]time.Duration)
	for _, key := range k.Sealing {
		came[key.ID] = elapsed
		if first, ok := r.came[key.ID]; ok {
			came[key.ID] = first
		}
	}
	r.rev, r.keys, r.came = is.rev, k, came
	return nil
}

// rotate returns the keys as they should be, and whether that is another thing. The
// first are made whatever the clocks say, since nobody is let in without.
func (r *ring) rotate(at moment) (next keyring, due bool) {
	if r.keys.Cluster == nil {
		return keyring{Cluster: newKey(), Sealing: []sealingKey{{ID: 1, Key: newKey(), From: at.now.UTC()}}}, true
	}
	over := r.over(at)
	sealing := slices.Clone(r.keys.Sealing[over:])
	add := r.wantsKey(at) && len(sealing) < maxSealing
	if add {
		sealing = append(sealing, sealingKey{ID: r.keys.last().ID + 1, Key: newKey(), From: at.now.Add(publishLead).UTC()})
	}
	return keyring{Cluster: r.keys.Cluster, Sealing: sealing}, add || over > 0
}

// wantsKey reports whether it is time for another key. The last one may be of a clock
// that was ahead, and its time not come for a year.
func (r *ring) wantsKey(at moment) bool {
	age := at.now.Sub(r.keys.last().From)
	return r.clocks == clocksAgree && (age >= rotateEvery || age < -(publishLead+clockSlack))
}

// over returns how many keys, the oldest, no server seals with any more: those before
// one whose time came long ago, which we have seen for as long, with no clock known
// to be wrong meanwhile. A server whose clock was slow may have sealed with
// an old key until it was put right.
func (r *ring) over(at moment) int {
	if r.clocks != clocksAgree || at.elapsed-r.since < openTail {
		return 0
	}
	for i := len(r.keys.Sealing) - 1; i > 0; i-- {
		key := r.keys.Sealing[i]
		if at.now.Sub(key.From) >= openTail && at.elapsed-r.came[key.ID] >= openTail {
			return i
		}
	}
	return 0
}

// shared returns the keys, the one to seal with first: the last that is known to
// all, or the oldest if none is.
func (r *ring) shared(at moment) store.SharedKeys {
	shared := store.SharedKeys{Cluster: opaque.Of(r.keys.Cluster)}
	seals := 0
	for i, key := range r.keys.Sealing {
		if r.known(key, at) {
			seals = i
		}
		shared.Sealing = append(shared.Sealing, store.SealingKey{ID: key.ID, Key: opaque.Of(key.Key)})
	}
	first := shared.Sealing[seals]
	shared.Sealing = slices.Insert(slices.Delete(shared.Sealing, seals, seals+1), 0, first)
	return shared
}

// known reports whether all servers have key by now. We know if we have seen it for as
// long. Who has just started, or has been cut off, goes by the clock, or it would
// seal with the key before, which may be about to be deleted.
func (r *ring) known(key sealingKey, at moment) bool {
	if at.elapsed-r.came[key.ID] >= publishLead {
		return true
	}
	return !key.From.After(at.now) && (r.clocks == clocksAgree || key.ID <= r.found)
}

func newKey() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key)
	return key
}
