package etcd

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"lockstep/verifier"
)

func state(n uint32) verifier.State { return verifier.State{Failures: n} }

// A store of one key after another, an unreliable way for answers, and a watch
// that lags: whatever the mirror says was the case at the position of the watch or later.
func TestTheMirrorKeepsItsRule(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := newMirror([]int{1 << 20, 3 * (entryBytes + 10)}[seed%2])
		m.restart(1)
		w := &world{rev: 1, history: map[string][]record{}}
		var late []answered
		watched := 0
		for range 400 {
			key := fmt.Sprint("k", r.IntN(5))
			switch r.IntN(7) {
			case 0, 1:
				w.change(key, r.IntN(4) == 0)
			case 2, 3: // ask; the answer comes at once or later
				m.expect(key)
				a := answered{key, w.at(key, w.rev), w.rev}
				if r.IntN(2) == 0 {
					m.learn(a.key, a.is, a.seen)
				} else {
					late = append(late, a)
				}
			case 4: // an answer that was late
				if len(late) > 0 {
					i := r.IntN(len(late))
					m.learn(late[i].key, late[i].is, late[i].seen)
					late = append(late[:i], late[i+1:]...)
				}
			case 5: // the watch goes on
				if n := len(w.events) - watched; n > 0 {
					next := w.events[watched : watched+1+r.IntN(n)]
					watched += len(next)
					m.apply(next, next[len(next)-1].rev)
				}
			case 6:
				if r.IntN(4) == 0 {
					m.forget(key)
				}
			}
			for i := range 5 {
				key := fmt.Sprint("k", i)
				if is, ok := m.get(key); ok && !w.since(key, is, m.position()) {
					t.Fatalf("seed %d: %s has revision %d at position %d; want %d or later", seed, key, is.rev, m.position(), w.at(key, m.position()).rev)
				}
			}
		}
	}
}

type answered struct {
	key  string
	is   record
	seen int64
}

// world is what etcd holds, and held.
type world struct {
	rev     int64
	history map[string][]record // by key; with rev the revision of the change, and no value where it was deleted
	events  []event
}

func (w *world) change(key string, deleted bool) {
	w.rev++
	is := record{rev: w.rev, value: []byte{1}}
	e := event{key: key, is: is, rev: w.rev}
	if deleted {
		if w.at(key, w.rev).rev == 0 {
			return
		}
		is.value, e.is = nil, record{}
	}
	w.history[key] = append(w.history[key], is)
	w.events = append(w.events, e)
}

func (w *world) at(key string, rev int64) (is record) {
	for _, h := range w.history[key] {
		if h.rev <= rev {
			is = h
		}
	}
	if is.value == nil {
		return record{}
	}
	return is
}

// since reports whether key had is at some revision from rev on.
func (w *world) since(key string, is record, rev int64) bool {
	for at := rev; at <= w.rev; at++ {
		if w.at(key, at).rev == is.rev {
			return true
		}
	}
	return false
}

// The watch brings what has been answered already, and what came before it.
func TestTheMirrorDoesNotGoBack(t *testing.T) {
	m := newMirror(1 << 20)
	m.restart(1)
	m.expect("a")
	m.learn("a", record{rev: 9, value: []byte{9}}, 9)
	m.apply([]event{{key: "a", is: record{rev: 7, value: []byte{7}}, rev: 7}}, 7)
	m.apply([]event{{key: "a", rev: 8}}, 8)
	m.learn("a", record{rev: 6, value: []byte{6}}, 6)
	m.learn("a", record{}, 5)
	if is, ok := m.get("a"); !ok || is.rev != 9 {
		t.Errorf("a has revision %d, %v; want 9", is.rev, ok)
	}
}

func TestTheMirrorForgetsWhatWasUsedLongestAgo(t *testing.T) {
	const size = entryBytes + 1 + 100
	m := newMirror(3 * size)
	for i, key := range []string{"a", "b", "c"} {
		m.learn(key, record{rev: int64(i) + 1, value: make([]byte, 100)}, 3)
	}
	m.get("a")
	m.learn("d", record{rev: 4, value: make([]byte, 100)}, 4)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, ok := m.get(key); ok != want {
			t.Errorf("%s is remembered: %v; want %v", key, ok, want)
		}
	}
	if m.bytes != 3*size || len(m.entries) != 3 {
		t.Errorf("%d bytes in %d entries; want %d in 3", m.bytes, len(m.entries), 3*size)
	}
}

func TestThePulseTrustsWhatTheWatchHasBrought(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		do    func(*pulse)
		at    time.Duration
		fresh bool
	}{
		{"nothing was heard", func(p *pulse) {}, 0, false},
		{"heard, and the watch is there", func(p *pulse) { p.reach(5); p.hear(1*s, 2*s, 5) }, 2 * s, true},
		{"it counts from the question on", func(p *pulse) { p.reach(5); p.hear(1*s, 2*s, 5) }, 1*s + trust + 1, false},
		{"heard, and the watch behind", func(p *pulse) { p.reach(4); p.hear(1*s, 2*s, 5) }, 2 * s, false},
		{"the watch comes up", func(p *pulse) { p.reach(4); p.hear(1*s, 2*s, 5); p.reach(5) }, 2 * s, true},
		{"it comes up with the first of two answers", func(p *pulse) { p.reach(4); p.hear(1*s, 2*s, 5); p.hear(9*s, 9*s, 6); p.reach(5) }, 9 * s, false},
		{"it comes up with both", func(p *pulse) { p.reach(4); p.hear(1*s, 2*s, 5); p.hear(9*s, 9*s, 6); p.reach(6) }, 10 * s, true},
		{"it comes up in between", func(p *pulse) {
			p.reach(4)
			p.hear(1*s, 2*s, 5)
			p.hear(8*s, 8*s, 7)
			p.hear(9*s, 9*s, 8)
			p.reach(7)
		}, 9 * s, false},
		{"a late answer does not make it older", func(p *pulse) { p.reach(5); p.hear(9*s, 9*s, 5); p.hear(1*s, 9*s, 4) }, 9 * s, true},
	} {
		p := &pulse{}
		tt.do(p)
		if got := p.fresh(tt.at); got != tt.fresh {
			t.Errorf("%s: fresh %v; want %v", tt.name, got, tt.fresh)
		}
	}
}

// What comes while a transaction is under way makes the next one.
func TestWhatWaitsGoesTogether(t *testing.T) {
	const many = 200
	var sizes []int
	underWay, more := make(chan bool), make(chan bool)
	b := newBatcher(func(group []*request) {
		if sizes = append(sizes, len(group)); len(sizes) == 1 {
			close(underWay)
			<-more
		}
		for _, r := range group {
			r.answer <- outcome{done: true}
		}
	})
	b.start(writers)
	var all sync.WaitGroup
	ask := func(i int) {
		if o := b.do(t.Context(), &request{key: fmt.Sprint(i)}); !o.done || o.err != nil {
			t.Errorf("%+v", o)
		}
	}
	all.Go(func() { ask(0) })
	<-underWay
	for i := range many {
		all.Go(func() { ask(i + 1) })
	}
	for len(b.queue) < many {
		runtime.Gosched()
	}
	close(more)
	all.Wait()
	b.close()
	if len(sizes) != 3 || sizes[1] != maxGroup || sizes[2] != many-maxGroup {
		t.Errorf("transactions of %v; want 1, %d and %d", sizes, maxGroup, many-maxGroup)
	}
}

func TestAGroupHoldsNoKeyTwiceAndNotTooMuch(t *testing.T) {
	var held []*request
	for i := range 300 {
		held = append(held, &request{key: fmt.Sprint(i / 2), value: make([]byte, 10)})
	}
	big := &request{key: "big", value: make([]byte, maxGroupBytes)}
	held = append([]*request{big}, held...)
	gone := held[5]
	gone.taken.Store(true)
	seen := map[*request]bool{}
	for len(held) > 0 {
		var group []*request
		group, held = choose(held)
		keys, size := map[string]bool{}, 0
		for _, r := range group {
			if keys[r.key] || seen[r] || r == gone {
				t.Fatalf("%q is chosen twice, or has given up", r.key)
			}
			keys[r.key], seen[r] = true, true
			size += len(r.value) + len(r.key)
		}
		if len(group) == 0 || len(group) > maxGroup || (len(group) > 1 && size > maxGroupBytes) {
			t.Fatalf("a group of %d with %d bytes", len(group), size)
		}
	}
	if len(seen) != 300 {
		t.Errorf("%d are sent; want all but one", len(seen))
	}
}
