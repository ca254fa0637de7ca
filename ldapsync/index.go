package ldapsync

import "sync/atomic"

// index finds records by a hash without a lock, at some 18 octets a record: a
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

func newTable(slots int) *table {
	n := max(slots, fewestSlots)
	return &table{make([]atomic.Uint32, n), make([]atomic.Pointer[record], n)}
}

// start is the slot at which a search for hash begins. There is any number of slots:
// with a power of two, half of the memory would be empty after most refreshes.
func (t *table) start(hash uint32) int { return int(uint64(hash) * uint64(len(t.slots)) >> 32) }

// next is the slot behind i.
func (t *table) next(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

// each calls yield with the records that have hash until it returns false.
func (x *index) each(hash uint32, yield func(*record) bool) {
	t := x.table.Load()
	for i := t.start(hash); ; i = t.next(i) {
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
	i := t.start(hash)
	old := t.slots[i].Load()
	for old != nil && old != removed {
		i = t.next(i)
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
func (x *index) rebuild() { x.resize(2 * (x.live + 1)) }

// trim gives back room that a refresh has made and not used.
func (x *index) trim() {
	if want := x.live + x.live/2; len(x.table.Load().slots) > max(fewestSlots, want+want/8) {
		x.resize(want)
	}
}

func (x *index) resize(slots int) {
	from, to := x.table.Load(), newTable(slots)
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
	for i := t.start(hash); t.slots[i].Load() != nil; i = t.next(i) {
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
