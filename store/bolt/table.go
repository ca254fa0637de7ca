package bolt

import (
	"maps"
	"slices"
	"sync"

	"lockstep/store/bolt/journal"
)

// change is what the log has of an id and the file may not have yet. It is
// never changed itself, so it may be used without a lock.
type change struct {
	version uint64 // for deleted, the one given last by then
	deleted bool
	record  []byte // the encoded State; nil if deleted
}

// entryBytes is about what an entry takes in memory beside its id and record.
const entryBytes = 112

// table holds the changes of some segments of the log, of each id the last.
type table struct {
	changes map[string]change
	bytes   int
	last    uint64 // the highest Version, of deleted changes too

	// Once sealed: the end of what the table holds.
	through uint64 // number of the last segment
	mark    journal.Mark
}

func newTable() *table { return &table{changes: map[string]change{}} }

func (t *table) put(id string, c change) {
	if old, ok := t.changes[id]; ok {
		t.bytes -= cap(old.record)
	} else {
		t.bytes += len(id) + entryBytes
	}
	t.bytes += cap(c.record)
	t.changes[id] = c
	t.last = max(t.last, c.version)
}

// tables are the changes that the file may not have: the active table takes
// those that come, the sealed one is being put into the file. The one before,
// which the file has, is kept for who reads: a person's next login finds it there
// mostly, and a look into the file is dear.
type tables struct {
	mu     sync.RWMutex // guards all; never held across a call
	active *table
	sealed *table // nil if there is none
	folded *table // nil if there is none
}

// get returns the change of id that counts. Where there is none, look into the
// file afterwards, in a transaction that begins after get: a table is dropped
// when the file has all of it, and to look the other way round could miss a
// change in both.
func (t *tables) get(id string) (change, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, newest := range [...]*table{t.active, t.sealed, t.folded} {
		if newest == nil {
			continue
		}
		if c, ok := newest.changes[id]; ok {
			return c, true
		}
	}
	return change{}, false
}

// publish shows changes to readers. They must be on disk.
func (t *tables) publish(changes map[string]change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, c := range changes {
		t.active.put(id, c)
	}
}

// filled says how much of limit the active table takes: 1 is all of it.
func (t *tables) filled(limit int) float64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return float64(t.active.bytes) / float64(limit)
}

// seal begins a new active table. There must be no sealed one.
func (t *tables) seal(through uint64, mark journal.Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sealed, t.active = t.active, newTable()
	t.sealed.through, t.sealed.mark = through, mark
}

// pending returns the sealed table, or nil.
func (t *tables) pending() *table {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.sealed
}

// drop takes note that the file has all of the sealed table.
func (t *tables) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sealed, t.folded = nil, t.sealed
}

// clear forgets all.
func (t *tables) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active, t.sealed, t.folded = newTable(), nil, nil
}

// snapshot returns all changes, with their ids in order.
func (t *tables) snapshot() (ids []string, changes map[string]change) {
	t.mu.RLock()
	changes = map[string]change{}
	if t.sealed != nil {
		maps.Copy(changes, t.sealed.changes)
	}
	maps.Copy(changes, t.active.changes)
	t.mu.RUnlock()
	return slices.Sorted(maps.Keys(changes)), changes
}
