package ldapsync

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// replica holds the enrolled accounts. Readers take no lock. Changes become
// visible one by one, each as a whole.
type replica struct {
	log   *slog.Logger
	ready chan struct{} // closed after the first complete refresh

	names sync.Map // canonical name → *holders
	ids   sync.Map // account ID → *record

	refreshed atomic.Pointer[time.Time] // of the last complete refresh
	enrolled  atomic.Int64

	schema schema

	mu     sync.Mutex         // guards writing to all above, and:
	byDN   map[string]*record // by normalised DN
	params map[string]*entry  // entries with parameters, by normalised DN
}

// record is an enrolled entry and what became of it. It is never changed.
type record struct {
	entry   *entry
	account Account
	err     error // *UnusableError or nil
}

// holders are the records that have one name, in no order. Never changed.
type holders struct{ records []*record }

func newReplica(s schema, log *slog.Logger) *replica {
	return &replica{
		log:    log,
		schema: s,
		ready:  make(chan struct{}),
		byDN:   map[string]*record{},
		params: map[string]*entry{},
	}
}

func (r *replica) state() (ready bool, entries int, refreshed time.Time) {
	if at := r.refreshed.Load(); at != nil {
		ready, refreshed = true, *at
	}
	return ready, int(r.enrolled.Load()), refreshed
}

func (r *replica) lookup(name string) (Account, error) {
	if r.refreshed.Load() == nil {
		return Account{}, ErrNotReady
	}
	v, ok := r.names.Load(name)
	if !ok {
		return Account{}, ErrNoAccount
	}
	held := v.(*holders).records
	if len(held) > 1 {
		return Account{}, ErrAmbiguous
	}
	a := held[0].account
	a.Name = name
	return a, held[0].err
}

// record returns the record of an account ID, or nil.
func (r *replica) record(id string) *record {
	if v, ok := r.ids.Load(id); ok {
		return v.(*record)
	}
	return nil
}

func (r *replica) accounts(yield func(Account) bool) {
	r.names.Range(func(name, v any) bool {
		held := v.(*holders).records
		// Once for each entry, under its first name.
		if len(held) > 1 || held[0].err != nil || held[0].account.Name != name {
			return true
		}
		return yield(held[0].account)
	})
}

func (r *replica) unusable(yield func(string, error) bool) {
	r.names.Range(func(name, v any) bool {
		held := v.(*holders).records
		switch {
		case len(held) > 1:
			return yield(name.(string), ErrAmbiguous)
		case held[0].err != nil && held[0].account.Name == name:
			return yield(name.(string), held[0].err)
		}
		return true
	})
}
