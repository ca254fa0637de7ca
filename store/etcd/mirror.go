package etcd

import "sync"

// mirror remembers records, the ones used last, up to a number of bytes.
//
// Its rule: each entry holds what its key had at revision reached, or what it
// got later. Changes up to reached have been seen by the watch and applied here;
// later ones will be. Answers to questions may come in any order, and late, and are
// taken in only where they keep the rule.
type mirror struct {
	limit int

	mu      sync.Mutex // guards all below
	entries map[string]*entry
	bytes   int
	reached int64
	newest  entry // of the ring of entries: its next was used last, its prev longest ago
}

type entry struct {
	key        string
	is         record
	at         int64 // the revision of the last change that is known, or of the reading that found nothing
	pending    bool  // nothing is known but that no change came after at
	prev, next *entry
}

// entryBytes is about what an entry takes beside key and value.
const entryBytes = 200

func (e *entry) size() int { return entryBytes + len(e.key) + len(e.is.value) }

func newMirror(limit int) *mirror {
	m := &mirror{limit: limit}
	m.restart(0)
	return m
}

// restart forgets everything; the watch begins behind rev.
func (m *mirror) restart(rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.bytes, m.reached = map[string]*entry{}, 0, rev
	m.newest.prev, m.newest.next = &m.newest, &m.newest
}

func (m *mirror) get(key string) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	if e == nil || e.pending {
		return record{}, false
	}
	m.unlink(e)
	m.link(e)
	return e.is, true
}

// passed returns what key has, if that is later than rev, so that it cannot have
// rev again.
func (m *mirror) passed(key string, rev int64) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil && e.is.rev > rev {
		return e.is, true
	}
	return record{}, false
}

// expect makes room for key, if there is no entry, before a question is asked:
// the watch then notes what changes before the answer comes.
func (m *mirror) expect(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key] == nil {
		m.add(&entry{key: key, at: m.reached, pending: true})
	}
}

// learn takes an answer: at revision seen, key had is.
func (m *mirror) learn(key string, is record, seen int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := is.rev
	if at == 0 {
		at = seen
	}
	switch e := m.entries[key]; {
	case e == nil && seen >= m.reached:
		m.add(&entry{key: key, is: is, at: at})
	case e == nil: // changed meanwhile, for all we know
	case e.pending && seen >= e.at, at > e.at:
		m.set(e, is, at)
	}
}

// event is a change that the watch reports.
type event struct {
	key string
	is  record // with rev 0 if it was deleted
	rev int64
}

// apply takes all changes up to rev that the watch has not reported before.
func (m *mirror) apply(events []event, rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range events {
		if e := m.entries[c.key]; e != nil && c.rev > e.at {
			m.set(e, c.is, c.rev)
		}
	}
	m.reached = max(m.reached, rev)
}

func (m *mirror) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil {
		m.remove(e)
	}
}

func (m *mirror) position() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reached
}

// What follows is called with mu held.

func (m *mirror) set(e *entry, is record, at int64) {
	m.remove(e)
	m.add(&entry{key: e.key, is: is, at: at})
}

func (m *mirror) add(e *entry) {
	m.entries[e.key] = e
	m.link(e)
	m.bytes += e.size()
	for m.bytes > m.limit {
		m.remove(m.newest.prev)
	}
}

func (m *mirror) remove(e *entry) {
	delete(m.entries, e.key)
	m.unlink(e)
	m.bytes -= e.size()
}

func (m *mirror) link(e *entry) {
	e.prev, e.next = &m.newest, m.newest.next
	e.prev.next, e.next.prev = e, e
}

func (m *mirror) unlink(e *entry) { e.prev.next, e.next.prev = e.next, e.prev }
