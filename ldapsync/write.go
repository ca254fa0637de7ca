package ldapsync

import (
	"reflect"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// replace makes entries the whole content. They must come from a complete
// refresh, which ended at now.
func (r *replica) replace(entries []*entry, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.params
	r.params = map[string]*entry{}
	for _, e := range entries {
		if e.isFrom {
			r.params[e.norm] = e
		}
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		seen[e.id] = true
		r.put(e)
	}
	for _, rec := range r.missing(seen) {
		r.remove(rec)
	}
	for norm := range was {
		r.rebuildIf(norm, was[norm])
	}
	for norm := range r.params {
		if was[norm] == nil {
			r.rebuildIf(norm, nil)
		}
	}
	if r.refreshed.Swap(&now) == nil {
		close(r.ready)
	}
}

// merge takes in what a search for changes found: each of entries is there and
// is as given, and of others nothing is said.
func (r *replica) merge(entries []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := map[string]*entry{}
	for _, e := range entries {
		was[e.norm] = r.params[e.norm]
		delete(r.params, e.norm)
		if e.isFrom {
			r.params[e.norm] = e
		}
	}
	for _, e := range entries {
		r.put(e)
	}
	for norm := range was {
		r.rebuildIf(norm, was[norm])
	}
}

// removals returns how many of how many enrolled entries would be removed if
// entries became the whole content.
func (r *replica) removals(entries []*entry) (gone, of int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		seen[e.id] = e.enrolled()
	}
	return len(r.missing(seen)), len(r.byDN)
}

func (r *replica) missing(seen map[string]bool) (gone []*record) {
	for _, rec := range r.byDN {
		if !seen[rec.entry.id] {
			gone = append(gone, rec)
		}
	}
	return gone
}

func (e *entry) enrolled() bool { return len(e.keys) > 0 && len(e.names) > 0 }

// put makes e known in place of what had its ID or its DN before.
func (r *replica) put(e *entry) {
	old := r.record(e.id)
	if other := r.byDN[e.norm]; other != nil && other.entry.id != e.id {
		// Deleted and made anew: a DN names one entry.
		r.remove(other)
	}
	switch {
	case !e.enrolled():
		if old != nil {
			r.remove(old)
		}
	case old == nil || !reflect.DeepEqual(old.entry, e):
		r.store(old, e)
	}
}

// store replaces old, which may be nil, by the record of e.
func (r *replica) store(old *record, e *entry) {
	rec := &record{entry: e}
	account, err := r.schema.account(e, func(norm string) *entry { return r.params[norm] })
	rec.account = account
	if err != nil {
		rec.account.Key, rec.err = opaque.Bytes{}, &UnusableError{Why: err.Error()}
		if old == nil || old.err == nil || old.err.Error() != rec.err.Error() {
			r.log.Warn("enrolled account cannot be used", "user", e.names[0], "reason", err.Error(), "dn", e.dn)
		}
	}
	if old == nil {
		r.enrolled.Add(1)
	} else {
		delete(r.byDN, old.entry.norm)
	}
	r.byDN[e.norm] = rec
	r.ids.Store(e.id, rec)
	for _, name := range e.names {
		r.setName(name, old, rec)
	}
	if old != nil {
		r.dropNames(old, e.names)
	}
}

func (r *replica) remove(rec *record) {
	r.enrolled.Add(-1)
	delete(r.byDN, rec.entry.norm)
	r.ids.Delete(rec.entry.id)
	r.dropNames(rec, nil)
}

// setName puts rec, in place of old, among the holders of name.
func (r *replica) setName(name string, old, rec *record) {
	held := &holders{records: []*record{rec}}
	before := 0
	if v, ok := r.names.Load(name); ok {
		before = len(v.(*holders).records)
		for _, other := range v.(*holders).records {
			if other != old {
				held.records = append(held.records, other)
			}
		}
	}
	r.names.Store(name, held)
	if len(held.records) > 1 && before < len(held.records) {
		r.log.Warn("several entries have one login name, all are refused", "user", name,
			"dn", held.records[0].entry.dn, "other", held.records[1].entry.dn)
	}
}

// dropNames takes rec from the holders of its names, but for those kept.
func (r *replica) dropNames(rec *record, kept []string) {
	for _, name := range rec.entry.names {
		if slices.Contains(kept, name) {
			continue
		}
		v, ok := r.names.Load(name)
		if !ok {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(v.(*holders).records), func(o *record) bool { return o == rec })
		if len(left) == 0 {
			r.names.Delete(name)
		} else {
			r.names.Store(name, &holders{records: left})
		}
	}
}

// rebuildIf makes the accounts anew that get parameters from the entry at
// norm, if that is not what it was.
func (r *replica) rebuildIf(norm string, was *entry) {
	is := r.params[norm]
	if reflect.DeepEqual(was, is) {
		return
	}
	for _, rec := range r.byDN {
		if rec.entry.from == norm {
			r.store(rec, rec.entry)
		}
	}
}
