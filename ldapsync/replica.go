package ldapsync

import (
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/ldapsync/sealed"
)

// replica holds the enrolled entries. Readers take no lock, and no refresh makes
// them wait. Changes become visible one by one, each as a whole.
type replica struct {
	log     *slog.Logger
	now     func() time.Time
	schema  schema
	keyring *sealed.Keyring // nil opens nothing
	realm   string
	ready   chan struct{} // closed after the first complete refresh
	seed    maphash.Seed

	// plaintext keys are refused; a source may find out that they must be
	sealedOnly atomic.Bool

	names, ids, dns *index
	changes         atomic.Uint64             // of the indexes, so far; counted when they can be seen
	refreshed       atomic.Pointer[time.Time] // the last complete refresh
	enrolled        atomic.Int64              // records with a name and a token

	mu      sync.Mutex // guards writing to all above, and:
	turn    uint32     // of the refresh under way, or of the last
	many    bool       // a refresh is under way
	shelf   shelf      // for what a refresh puts
	changed []*record  // since somebody was last told of what cannot be used
	text    []byte     // for packing
	norm    []byte     // for normalising
}

func newReplica(s schema, c Config) *replica {
	r := &replica{
		log: c.Log, now: c.Now, schema: s, keyring: c.Keyring, realm: c.Realm,
		ready: make(chan struct{}), seed: maphash.MakeSeed(),
		names: newIndex(), ids: newIndex(), dns: newIndex(),
	}
	r.sealedOnly.Store(c.SealedOnly)
	return r
}

func (r *replica) plaintextForbidden() bool { return r.sealedOnly.Load() }

func (r *replica) state() (ready bool, entries int, refreshed time.Time) {
	if at := r.refreshed.Load(); at != nil {
		ready, refreshed = true, *at
	}
	return ready, int(r.enrolled.Load()), refreshed
}

// lookup returns the account of a canonical name.
func (r *replica) lookup(name string, to depth) (Account, error) {
	if r.refreshed.Load() == nil {
		return Account{}, ErrNotReady
	}
	var few [4]*record
	records, err := r.holders(few[:0], name)
	switch {
	case err != nil:
		return Account{}, err
	case len(records) == 0:
		return Account{}, ErrNoAccount
	}
	return r.build(name, records, to)
}

// holders appends to all, which must be empty, the records that have name, all of one
// person.
func (r *replica) holders(all []*record, name string) ([]*record, error) {
	ambiguous := false
	r.names.each(r.hash(name), func(rec *record) bool {
		if rec.has(fieldName, name) && !contains(all, rec) {
			ambiguous = ambiguous || len(all) > 0 && !r.samePerson(all[0], rec)
			all = append(all, rec)
		}
		return true
	})
	if ambiguous {
		return all, ErrAmbiguous
	}
	return all, nil
}

// contains tells whether all has rec, or another state of the same entry, which a
// reader may meet while the entry is renamed.
func contains(all []*record, rec *record) bool {
	for _, other := range all {
		if other == rec || other.id() == rec.id() {
			return true
		}
	}
	return false
}

// samePerson tells whether both records are tokens of one owner.
func (r *replica) samePerson(a, b *record) bool {
	x, y := a.first(fieldOwner), b.first(fieldOwner)
	return x != "" && y != "" && (x == y || normalizeDN(x) == normalizeDN(y))
}

// record returns the record of an ID, or nil.
func (r *replica) record(id string) (found *record) {
	r.ids.each(r.hash(id), func(rec *record) bool {
		if rec.id() == id {
			found = rec
		}
		return found == nil
	})
	return found
}

// byDN returns the record of the entry that dn names in any spelling, or nil.
func (r *replica) byDN(dn string) *record {
	var buffer [128]byte
	return r.byNorm(appendDN(buffer[:0], dn))
}

func (r *replica) byNorm(norm []byte) (found *record) {
	r.dns.each(r.hashOf(norm), func(rec *record) bool {
		if normalizeDN(rec.first(fieldDN)) == string(norm) {
			found = rec
		}
		return found == nil
	})
	return found
}

func (r *replica) hash(s string) uint32 { return uint32(maphash.String(r.seed, s)) }

func (r *replica) hashOf(b []byte) uint32 { return uint32(maphash.Bytes(r.seed, b)) }

// people calls yield once for each person with their records, under their first
// name.
func (r *replica) people(yield func(name string, records []*record, err error) bool) {
	r.ids.all(func(rec *record) bool {
		name := rec.first(fieldName)
		if name == "" {
			return true
		}
		records, err := r.holders(nil, name)
		// Those that have the name beside a first one of their own are told by that.
		first := slices.IndexFunc(records, func(r *record) bool { return r.first(fieldName) == name })
		if first < 0 || records[first].id() != rec.id() {
			return true // told with another, or gone
		}
		return yield(name, records, err)
	})
}

func (r *replica) accounts(yield func(Account) bool) {
	r.people(func(name string, records []*record, err error) bool {
		if err == nil {
			var a Account
			if a, err = r.build(name, records, opened); err == nil {
				return yield(a)
			}
		}
		return true
	})
}

func (r *replica) unusable(yield func(string, error) bool) {
	r.people(func(name string, records []*record, err error) bool {
		if err == nil {
			_, err = r.build(name, records, opened)
		}
		if err == nil || err == ErrNoAccount {
			return true
		}
		return yield(name, err)
	})
}
