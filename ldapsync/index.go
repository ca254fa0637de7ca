package ldapsync

import "sync/atomic"

// index finds records by a hash without a lock, at some 20 octets a record: a
// table with open addressing. One goroutine at a time may change it, any number
// may read meanwhile. A reader sees each record in its old state or in its new
// one, never none and never half of one.
type index struct {
	table atomic.Pointer[table]
	used  int // slots that are not nil, those of removed records included
	live  int
}

// table holds the hash of each record beside it, so that a search need not look
// at the records that it passes: they lie all over the memory.
type table struct {
	hashes []atomic.Uint32 // written before the record
	slots  []atomic.Pointer[record]
}

// removed stands in the slot of a record that has gone, so that those behind it
// are still found.
var removed = new(record)

const fewestSlots = 64

func newIndex() *index {
	x := &index{}
	x.table.Store(newTable(0))
	return x
}

// newTable returns a table that is at most half full with live records.
func newTable(live int) *table {
	n := fewestSlots
	for n < 2*live {
		n *= 2
	}
	return &table{make([]atomic.Uint32, n), make([]atomic.Pointer[record], n)}
}

// each calls yield with the records that have hash until it returns false.
func (x *index) each(hash uint32, yield func(*record) bool) {
	t := x.table.Load()
	mask := uint32(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch r := t.slots[i].Load(); {
		case r == nil:
			return
		case r != removed && t.hashes[i].Load() == hash && !yield(r):
			return
		}
	}
}

// insert puts r into the first slot that is free, and says whether it had never
// been used.
func (t *table) insert(hash uint32, r *record) (fresh bool) {
	mask := uint32(len(t.slots) - 1)
	i := hash & mask
	old := t.slots[i].Load()
	for old != nil && old != removed {
		i = (i + 1) & mask
		old = t.slots[i].Load()
	}
	t.hashes[i].Store(hash)
	t.slots[i].Store(r)
	return old == nil
}

// add puts r in.
func (x *index) add(hash uint32, r *record) {
	if x.used+1 > len(x.table.Load().slots)*3/4 {
		x.rebuild()
	}
	x.live++
	if x.table.Load().insert(hash, r) {
		x.used++
	}
}

// rebuild makes a table without removed records, and with room for as many again.
func (x *index) rebuild() {
	from, to := x.table.Load(), newTable(x.live+1)
	x.used = x.live
	for i := range from.slots {
		if r := from.slots[i].Load(); r != nil && r != removed {
			to.insert(from.hashes[i].Load(), r)
		}
	}
	x.table.Store(to)
}

// swap puts next in the place of old, which was added with hash.
func (x *index) swap(hash uint32, old, next *record) {
	t := x.table.Load()
	mask := uint32(len(t.slots) - 1)
	for i := hash & mask; t.slots[i].Load() != nil; i = (i + 1) & mask {
		if t.slots[i].Load() == old && t.hashes[i].Load() == hash {
			t.slots[i].Store(next)
			return
		}
	}
}

// remove takes out r, which was added with hash.
func (x *index) remove(hash uint32, r *record) {
	x.swap(hash, r, removed)
	x.live--
}

// all calls yield with every record until it returns false. One that was added
// with several hashes comes as often. Changes meanwhile may or may not be seen.
func (x *index) all(yield func(*record) bool) {
	t := x.table.Load()
	for i := range t.slots {
		r := t.slots[i].Load()
		if r != nil && r != removed && !yield(r) {
			return
		}
	}
}
