package verifier

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	togetherAge  = 15 * time.Minute // what is older does not count
	togetherMost = 4096             // keys remembered, those seen last

	movedBy    = 20 * time.Second // a device that has moved by more has been set, or the server has
	agreeBy    = 30 * time.Second // how near the median those are that have moved together
	togetherOf = 5                // how many it takes at least

	// clockSlack is by how much requests that are decided at once may see
	// different times. A clock that goes back further has been put back.
	clockSlack = time.Minute
)

// together notices when the devices of many users seem to have been set at the
// same time by the same amount: then it was the server's clock that was set.
//
// It tells an admin, stops learning for an hour at most, and decides about nobody.
// Who has half of the keys
// that are in use can raise the alarm by setting their devices; who has one
// cannot, as a key counts once, and neither can who has none, as only logins
// that were accepted show where a device is.
//
// The zero together is ready to use. Its methods may be called at once. They
// take as long as a few look-ups; a login of a device that has moved, as long as a
// binary search among those that have.
type together struct {
	mu     sync.Mutex               // guards the rest
	latest list.List                // of *sighting, one a key; the times never fall
	byID   map[string]*list.Element // into latest
	sorted []time.Duration          // moved, of all in latest where it is more than movedBy, which are few mostly
	on     bool                     // whether there is an alarm
	since  time.Time                // since when
}

// sighting is where the device of a key was last seen.
type sighting struct {
	id    string
	moved time.Duration
	at    time.Time
}

// Alarm says that the server's clock is suspected to have been set, because the
// devices of many users seem to have been, all by the same amount. It holds
// when, of the keys seen in the last 15 minutes, at least five and at least half
// are more than 20 s from where they were expected, on the same side, and within
// 30 s of the median of all those that are.
type Alarm struct {
	// Moved is that median: by how much the devices seem to have moved, positive
	// if they are ahead. The server's clock has moved the other way.
	Moved time.Duration

	Users int       // how many agree; one for each key
	Of    int       // how many were seen in the last 15 minutes; at most 4096
	Since time.Time // when this became true, by the server's clock; kept while it goes on
}

// String says it in words.
func (a Alarm) String() string {
	way := "back"
	if a.Moved < 0 {
		way = "forward"
	}
	return fmt.Sprintf("the codes of %d of the %d users seen in the last %d min say that this server's clock went %s by %s",
		a.Users, a.Of, togetherAge/time.Minute, way, Words(a.Moved.Abs()))
}

// note records an attempt to log in that showed where the device of key id is:
// by how much it has moved from where it was expected, positive if ahead, and 0
// if it was where expected. The latest attempt of a key counts.
func (m *together) note(id string, moved time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	m.put(sighting{id, moved, now})
	m.judge(now)
}

// alarm returns the Alarm as it is at now, if there is one.
func (m *together) alarm(now time.Time) (Alarm, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	return m.judge(now)
}

// forget drops what is too old, and what is of the future: the clock has been
// put back since, and it would be long until that is old.
func (m *together) forget(now time.Time) {
	for e := m.latest.Front(); e != nil && now.Sub(seen(e).at) > togetherAge; e = m.latest.Front() {
		m.remove(e)
	}
	for e := m.latest.Back(); e != nil && seen(e).at.Sub(now) > clockSlack; e = m.latest.Back() {
		m.remove(e)
	}
}

func seen(e *list.Element) *sighting { return e.Value.(*sighting) }

// put takes in s, in the place of what was there of its key, or, where there is no
// room, of the one seen longest ago.
func (m *together) put(s sighting) {
	if last := m.latest.Back(); last != nil && s.at.Before(seen(last).at) {
		s.at = seen(last).at // less than clockSlack later
	}
	e := m.byID[s.id]
	if e == nil && m.latest.Len() == togetherMost {
		e = m.latest.Front()
		delete(m.byID, seen(e).id)
	}
	if e == nil {
		e = m.latest.PushBack(&sighting{})
	}
	m.unsort(seen(e).moved)
	*seen(e) = s
	m.sort(s.moved)
	m.latest.MoveToBack(e)
	if m.byID == nil {
		m.byID = make(map[string]*list.Element)
	}
	m.byID[s.id] = e
}

func (m *together) remove(e *list.Element) {
	delete(m.byID, seen(e).id)
	m.unsort(seen(e).moved)
	m.latest.Remove(e)
}

func (m *together) sort(moved time.Duration) {
	if moved.Abs() > movedBy {
		i, _ := slices.BinarySearch(m.sorted, moved)
		m.sorted = slices.Insert(m.sorted, i, moved)
	}
}

func (m *together) unsort(moved time.Duration) {
	if moved.Abs() > movedBy {
		i, _ := slices.BinarySearch(m.sorted, moved)
		m.sorted = slices.Delete(m.sorted, i, i+1)
	}
}

// judge says whether there is an alarm, and keeps since when.
func (m *together) judge(now time.Time) (a Alarm, is bool) {
	behind, _ := slices.BinarySearch(m.sorted, 0)
	for _, side := range [...][]time.Duration{m.sorted[behind:], m.sorted[:behind]} {
		if median, n := agreeing(side); n >= togetherOf && 2*n >= m.latest.Len() {
			a, is = Alarm{Moved: median, Users: n, Of: m.latest.Len()}, true
			break
		}
	}
	if is && (!m.on || m.since.Sub(now) > clockSlack) {
		m.since = now
	}
	if m.on = is; is {
		a.Since = m.since
	}
	return a, is
}

// agreeing returns the median of sorted, all on one side, and how many are
// within agreeBy of it. The median is enough: a group of more than half of all
// users is more than half of those on its side, so the median is one of them.
func agreeing(sorted []time.Duration) (median time.Duration, n int) {
	if len(sorted) == 0 {
		return 0, 0
	}
	median = sorted[len(sorted)/2]
	// By the difference, which cannot overflow on one side of 0.
	from := func(moved, limit time.Duration) int { return cmp.Compare(moved-median, limit) }
	first, _ := slices.BinarySearchFunc(sorted, -agreeBy, from)
	end, _ := slices.BinarySearchFunc(sorted, agreeBy+1, from)
	return median, end - first
}
