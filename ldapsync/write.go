package ldapsync

import (
	"slices"
	"time"
)

// begin starts a refresh, which calls put or keep for each entry that is there
// and end when that was all of them. One that is not ended changes what it has
// put, and drops nothing. Only one may be under way.
func (r *replica) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	r.many = true
}

// put makes e known, in place of what had its ID or its DN before. Nothing is
// written where nothing has changed.
func (r *replica) put(e rawEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := entryID(e)
	r.text = r.schema.pack(r.text[:0], id, e)
	old := r.record(id)
	if old != nil && old.text == string(r.text) {
		old.seen = r.turn
		return
	}
	rec := r.newRecord()
	r.norm = appendDN(r.norm[:0], rec.first(fieldDN))
	rec.dn = r.hashOf(r.norm)
	if other := r.byNorm(r.norm); other != nil && other.id() != id {
		// Deleted and made anew: a DN names one entry.
		r.drop(other)
	}
	switch {
	case r.schema.matters(rec):
		r.store(old, rec)
	case old != nil:
		r.drop(old)
	}
}

// keep says that the entry of id is there and as it was, and returns whether it
// is known.
func (r *replica) keep(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.record(id)
	if rec != nil {
		rec.seen = r.turn
	}
	return rec != nil
}

// delete drops the entry of id, if it is known.
func (r *replica) delete(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.record(id); rec != nil {
		r.drop(rec)
	}
}

// missing returns how many of how many entries the refresh under way has not seen.
func (r *replica) missing() (gone, of int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids.all(func(rec *record) bool {
		if rec.seen != r.turn {
			gone++
		}
		return true
	})
	return gone, r.ids.live
}

// sweep drops what the refresh under way, which must be complete, has not seen.
func (r *replica) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids.all(func(rec *record) bool {
		if rec.seen != r.turn {
			r.drop(rec)
		}
		return true
	})
}

// complete says that the refresh under way is complete, at now: what is known is
// what is there.
func (r *replica) complete(now time.Time) {
	if r.refreshed.Swap(&now) == nil {
		close(r.ready)
	}
	r.mu.Lock()
	r.many, r.shelf = false, shelf{}
	for _, x := range []*index{r.names, r.ids, r.dns} {
		x.trim()
	}
	r.mu.Unlock()
	r.settle()
}

// settle tells of what has been put and cannot be used.
func (r *replica) settle() {
	r.mu.Lock()
	changed := r.changed
	r.changed = nil
	r.mu.Unlock()
	r.told(changed)
}

// mostTold is how many unusable accounts are named in the log at once.
const mostTold = 20

// fewToOpen is how many changed accounts have their sealed keys opened, to see
// whether they can be. Of more, as at the first refresh, the form is looked at.
const fewToOpen = 100

// told logs which of those that have changed cannot be used. It is called when all
// that came together has been put, since entries refer to one another.
func (r *replica) told(changed []*record) {
	all := opened
	if len(changed) > fewToOpen {
		all = unopened
	}
	bad, said := 0, map[string]bool{}
	for _, rec := range changed {
		to := all
		if r.record(rec.id()) != rec {
			continue
		}
		for name := range rec.each(fieldName) {
			records, err := r.holders(nil, name)
			if err == nil {
				_, err = r.build(name, records, to)
				to = unopened // by one name is enough: all have the same keys
			}
			if err == nil || err == ErrNoAccount || said[name] {
				continue
			}
			said[name] = true
			if bad++; bad <= mostTold {
				r.tell(name, records, err)
			}
			break
		}
	}
	if bad > mostTold {
		r.log.Warn("more enrolled accounts cannot be used, see \"lockstep user list\"", "entries", bad-mostTold)
	}
}

func (r *replica) tell(name string, records []*record, err error) {
	if err == ErrAmbiguous {
		r.log.Warn("several entries have one login name, all are refused", "user", name,
			"dn", records[0].first(fieldDN), "other", records[1].first(fieldDN))
		return
	}
	r.log.Warn("enrolled account cannot be used", "user", name, "reason", err.(*UnusableError).Why, "dn", records[0].first(fieldDN))
}

// store replaces old, which may be nil, by rec.
func (r *replica) store(old, rec *record) {
	r.count(rec, 1)
	r.changed = append(r.changed, rec)
	if old == nil {
		r.ids.add(r.hash(rec.id()), rec)
	} else {
		r.count(old, -1)
		r.ids.swap(r.hash(rec.id()), old, rec)
	}
	if old != nil && old.dn == rec.dn {
		r.dns.swap(rec.dn, old, rec)
	} else {
		r.dns.add(rec.dn, rec)
		if old != nil {
			r.dns.remove(old.dn, old)
		}
	}
	r.storeNames(old, rec)
	r.changes.Add(1)
}

// storeNames puts rec under its names before old goes from those that are no more,
// so that a reader finds one of them.
func (r *replica) storeNames(old, rec *record) {
	var was []string
	if old != nil {
		was = old.all(fieldName)
	}
	names := rec.all(fieldName)
	for _, name := range names {
		if slices.Contains(was, name) {
			r.names.swap(r.hash(name), old, rec)
		} else {
			r.names.add(r.hash(name), rec)
		}
	}
	for _, name := range was {
		if !slices.Contains(names, name) {
			r.names.remove(r.hash(name), old)
		}
	}
}

func (r *replica) drop(rec *record) {
	r.count(rec, -1)
	r.ids.remove(r.hash(rec.id()), rec)
	r.dns.remove(rec.dn, rec)
	for _, name := range rec.all(fieldName) {
		r.names.remove(r.hash(name), rec)
	}
	r.changes.Add(1)
}

func (r *replica) count(rec *record, by int64) {
	if d := rec.digest(); d.first[fieldName] != "" && (d.holds() || d.is(classToken)) {
		r.enrolled.Add(by)
	}
}
