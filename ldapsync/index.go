package ldapsync

import "sync/atomic"

// index finds records by a hash without a lock, at some 14 octets a record: a
// table of pointers with open addressing. One goroutine at a time may change it,
// any number may read meanwhile. A reader sees each record in its old state or
// in its new one, never none and never half of one.
type index struct {
	slots atomic.Pointer[[]atomic.Pointer[record]]
	used  int // slots that are not nil, those of removed records included
	live  int
}

// removed stands in the slot of a record that has gone, so that those behind it
// are still found.
var removed = new(record)

const fewestSlots = 64

func newIndex() *index {
	x := &index{}
	x.slots.Store(newSlots(0))
	return x
}

// newSlots returns a table that is at most 3/8 full with live records.
func newSlots(live int) *[]atomic.Pointer[record] {
	n := fewestSlots
	for n*3/8 < live {
		n *= 2
	}
	slots := make([]atomic.Pointer[record], n)
	return &slots
}

// each calls yield with the records that may have hash, and others, until it
// returns false.
func (x *index) each(hash uint64, yield func(*record) bool) {
	slots := *x.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch r := slots[i].Load(); {
		case r == nil:
			return
		case r != removed && !yield(r):
			return
		}
	}
}

// full says whether there must be a rebuild before so many more are added.
func (x *index) full(more int) bool { return x.used+more > len(*x.slots.Load())*3/4 }

// rebuild makes a table of what all yields, each with a hash.
func (x *index) rebuild(live int, all func(yield func(hash uint64, r *record))) {
	slots := newSlots(live)
	x.used, x.live = 0, 0
	all(func(hash uint64, r *record) { x.insert(*slots, hash, r) })
	x.slots.Store(slots)
}

func (x *index) insert(slots []atomic.Pointer[record], hash uint64, r *record) {
	mask := uint64(len(slots) - 1)
	i := hash & mask
	for old := slots[i].Load(); old != nil && old != removed; old = slots[i].Load() {
		i = (i + 1) & mask
	}
	if slots[i].Load() == nil {
		x.used++
	}
	x.live++
	slots[i].Store(r)
}

// add puts r in. The index must not be full.
func (x *index) add(hash uint64, r *record) { x.insert(*x.slots.Load(), hash, r) }

// swap puts new in the place of old, which was added with hash.
func (x *index) swap(hash uint64, old, new *record) {
	slots := *x.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := hash & mask; slots[i].Load() != nil; i = (i + 1) & mask {
		if slots[i].Load() == old {
			slots[i].Store(new)
			return
		}
	}
}

// remove takes out r, which was added with hash.
func (x *index) remove(hash uint64, r *record) {
	x.swap(hash, r, removed)
	x.live--
}

// all calls yield with every record. One that was added with several hashes
// comes as often. Changes meanwhile may or may not be seen.
func (x *index) all(yield func(*record) bool) {
	slots := *x.slots.Load()
	for i := range slots {
		r := slots[i].Load()
		if r != nil && r != removed && !yield(r) {
			return
		}
	}
}
