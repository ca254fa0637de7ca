package etcd

import (
	"fmt"
	"testing"
	"time"

	"lockstep/store"
)

// fleet is a number of servers that share a record of keys, with clocks that are
// ahead by so much. Each asks for the keys every few seconds. What it checks
// throughout is that whatever one seals each other opens for stateOpen.
type fleet struct {
	t       *testing.T
	at      time.Time
	servers []*sealer
	record  record
	sealed  map[uint32]time.Time // when a key was last sealed with
	failed  bool
}

type sealer struct {
	ahead  time.Duration
	ring   ring
	peers  peers
	keys   store.SharedKeys
	copied time.Time
}

// stateOpen is more than a State lives, and copyKept how long callers may keep the keys.
const (
	stateOpen = 5 * time.Minute
	copyKept  = time.Minute
)

func newFleet(t *testing.T, ahead ...time.Duration) *fleet {
	f := &fleet{t: t, at: noon, sealed: make(map[uint32]time.Time)}
	for i, d := range ahead {
		f.servers = append(f.servers, &sealer{ahead: d, peers: peers{own: fmt.Sprint(i)}})
		f.restart(i)
	}
	return f
}

// restart has a server begin anew.
func (f *fleet) restart(i int) {
	s := &sealer{ahead: f.servers[i].ahead, peers: peers{own: fmt.Sprint(i)}}
	s.peers.restart(nil, f.elapsed())
	f.servers[i] = s
}

func (f *fleet) elapsed() time.Duration { return f.at.Sub(noon) + time.Hour }

// set sets the clock of a server, which the others learn within a second.
func (f *fleet) set(i int, ahead time.Duration) {
	f.servers[i].ahead = ahead
	f.beat(i)
}

func (f *fleet) beat(i int) {
	value := fmt.Appendf(nil, `{"name":"%d","clock":"%s"}`, i, f.at.Add(f.servers[i].ahead).UTC().Format(time.RFC3339Nano))
	for _, s := range f.servers {
		s.peers.learn(fmt.Sprint(i), record{rev: int64(f.at.Sub(noon)) + 1, value: value}, f.elapsed(), true)
	}
}

// run lets time go by, in steps.
func (f *fleet) run(until time.Time, step time.Duration) {
	f.t.Helper()
	beaten := f.at.Add(-beatEvery)
	for ; f.at.Before(until) && !f.failed; f.at = f.at.Add(step) {
		if f.at.Sub(beaten) >= beatEvery {
			beaten = f.at
			for i := range f.servers {
				f.beat(i)
			}
		}
		for _, s := range f.servers {
			f.ask(s)
		}
		f.check()
	}
}

// ask has s ask for the keys, and seal with what it has.
func (f *fleet) ask(s *sealer) {
	for {
		at := moment{now: f.at.Add(s.ahead), elapsed: f.elapsed()}
		at.clocks = s.peers.clocks(at.now, at.elapsed)
		keys, next, err := s.ring.turn(f.record, at)
		if err != nil {
			f.t.Fatal(err)
		}
		if next == nil {
			if f.at.Sub(s.copied) >= copyKept {
				s.keys, s.copied = keys, f.at
			}
			break
		}
		value, err := encodeKeyring(*next)
		if err != nil {
			f.t.Fatal(err)
		}
		f.record = record{rev: f.record.rev + 1, value: value}
	}
	f.sealed[s.keys.Sealing[0].ID] = f.at
}

func (f *fleet) check() {
	for id, at := range f.sealed {
		if f.at.Sub(at) > stateOpen {
			continue
		}
		for i, s := range f.servers {
			if !opens(s.keys, id) {
				f.t.Errorf("%v after noon: server %d does not have key %d, which was sealed with %v ago", f.at.Sub(noon), i, id, f.at.Sub(at))
				f.failed = true
			}
		}
	}
}

func opens(keys store.SharedKeys, id uint32) bool {
	for _, k := range keys.Sealing {
		if k.ID == id {
			return true
		}
	}
	return false
}

// rotated fails the test unless the servers seal with a new key daily.
func (f *fleet) rotated(days int) {
	f.t.Helper()
	before := len(f.sealed)
	f.run(f.at.Add(time.Duration(days)*24*time.Hour), 2*time.Minute)
	if n := len(f.sealed) - before; !f.failed && (n < days-1 || n > days+1) {
		f.t.Errorf("in %d days the servers have gone on to %d new keys", days, n)
	}
	if n := len(f.servers[0].ring.keys.Sealing); n > 2 {
		f.t.Errorf("%d keys are left", n)
	}
}

func TestKeysRotateWhileClocksDiffer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0, 30*time.Second, -30*time.Second)
	f.run(noon.Add(30*time.Hour), 15*time.Second)
	f.rotated(10)
}

const day = 24 * time.Hour

// The clock of one of three servers goes wrong for 20 minutes, at any time of what
// happens to the keys, and is put right. No challenge is lost by it, and the keys
// rotate afterwards as they did before.
func TestAClockThatIsWrongForAWhile(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{day, 365 * day, -day, -365 * day, 2 * time.Minute, -2 * time.Minute} {
		for _, from := range []time.Duration{5 * time.Second, time.Hour, day - 10*time.Minute, day + 5*time.Second, day + 4*time.Minute, day + 14*time.Minute} {
			t.Run(fmt.Sprintf("%v from %v on", wrong, from), func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, 10*time.Second, 0, -10*time.Second)
				f.run(noon.Add(from), 30*time.Second)
				before := f.record.rev
				f.set(1, wrong)
				f.run(f.at.Add(20*time.Minute), 5*time.Second)
				if f.record.rev != before {
					t.Errorf("the keys were changed %d times while it was wrong", f.record.rev-before)
				}
				f.set(1, 0)
				f.run(f.at.Add(time.Hour), 10*time.Second)
				if from == time.Hour {
					f.rotated(40)
				} else {
					f.rotated(2)
				}
			})
		}
	}
}

// The same where the server has started with that clock, or starts while it is wrong.
func TestAServerThatStartsWithAWrongClock(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{day, 365 * day, -day, -365 * day} {
		for _, from := range []time.Duration{0, time.Hour, day + 4*time.Minute, day + 13*time.Minute} {
			t.Run(fmt.Sprintf("%v from %v on", wrong, from), func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, 0, 0, 0)
				f.run(noon.Add(from), 30*time.Second)
				f.set(0, wrong)
				f.restart(0)
				f.run(f.at.Add(20*time.Minute), 5*time.Second)
				f.set(0, 0)
				f.run(f.at.Add(time.Hour), 5*time.Second)
				f.rotated(3)
			})
		}
	}
}

// A server that is alone with a wrong clock rotates, for it cannot know. The others
// then find a key whose time comes in a year, and take another in its place.
func TestKeysOfAServerThatWasAloneWithAWrongClock(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{day, 365 * day, -365 * day} {
		t.Run(wrong.String(), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 0)
			f.run(noon.Add(time.Hour), 5*time.Second)
			f.set(0, wrong)
			f.run(f.at.Add(16*time.Minute), 5*time.Second)
			f.set(0, 0)
			f.servers = append(f.servers, &sealer{}, &sealer{})
			f.restart(1)
			f.restart(2)
			f.run(f.at.Add(time.Hour), 5*time.Second)
			f.rotated(40)
		})
	}
}

// A server that was cut off while the keys rotated goes by its clock, for the key
// that it has sealed with may be deleted soon.
func TestAServerThatWasCutOffUsesTheKeyOfTheOthers(t *testing.T) {
	var r ring
	one := firstKeys()
	two := keyring{Cluster: one.Cluster, Sealing: append(one.Sealing, sealingKey{ID: 2, Key: newKey(), From: noon.Add(day)})}
	for i, step := range []struct {
		keys keyring
		at   moment
		want uint32
	}{
		{one, moment{noon, 1, clocksAgree}, 1},
		{two, moment{noon.Add(day + 11*time.Minute), day, clocksUnheard}, 1},
		{two, moment{noon.Add(day + 11*time.Minute), day + 1, clocksAgree}, 2},
		{two, moment{noon.Add(day - 1), day + 2, clocksAgree}, 1},
		{two, moment{noon.Add(-day), day + publishLead, clocksDiffer}, 2},
	} {
		value, err := encodeKeyring(step.keys)
		if err != nil {
			t.Fatal(err)
		}
		keys, next, err := r.turn(record{rev: int64(len(step.keys.Sealing)), value: value}, step.at)
		if err != nil || next != nil || keys.Sealing[0].ID != step.want {
			t.Errorf("step %d: seals with %v, others in their place %v, %v; want %d", i, keys.Sealing, next != nil, err, step.want)
		}
	}
}

func TestClocksOfPeers(t *testing.T) {
	entry := func(rev int64, ahead time.Duration) record {
		return record{rev: rev, value: fmt.Appendf(nil, `{"name":"b","clock":"%s"}`, noon.Add(ahead).Format(time.RFC3339Nano))}
	}
	p := peers{own: "a"}
	for _, step := range []struct {
		name string
		do   func()
		at   time.Duration
		want clocks
	}{
		{"before the first restart", func() {}, 0, clocksUnheard},
		{"alone", func() { p.restart(nil, 0) }, 0, clocksAgree},
		{"with an entry of before", func() { p.restart(map[string]record{"a": entry(1, 0), "b": entry(2, 0)}, 0) }, 0, clocksUnheard},
		{"which is not heard", func() {}, unheard, clocksAgree},
		{"and is then, from a clock that is like ours", func() { p.learn("b", entry(3, clockSlack), 0, true) }, 0, clocksAgree},
		{"and from one that is not", func() { p.learn("b", entry(4, -clockSlack-1), 0, true) }, 0, clocksDiffer},
		{"and falls silent", func() {}, forgotten, clocksDiffer},
		{"and leaves", func() { p.learn("b", record{}, 0, true) }, 0, clocksAgree},
	} {
		step.do()
		if got := p.clocks(noon.Add(step.at), step.at); got != step.want {
			t.Errorf("%s: %v; want %v", step.name, got, step.want)
		}
	}
}
