package faults

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// fault is something that goes wrong. do brings it about, waits for r.length,
// and ends it.
type fault struct {
	name    string
	stepped []int // servers whose clocks it steps
	calm    bool  // is none
	do      func(r *run)
}

// run is a load with faults.
type run struct {
	testing.TB
	*load
	length time.Duration // of each fault
	known  time.Time     // up to when the record of each Accept was looked for
	replay int           // how many were
	away   []int         // servers that this fault stops, or keeps from the quorum
	undone string        // why this fault did not come about
}

// backWithin is how long a part may take to come back by itself: much longer than
// it does, as the machine may have other things to do.
const backWithin = 40 * time.Second

// mutedWithin is the same for a server that has lost the quorum.
const mutedWithin = 15 * time.Second

func newRun(t *testing.T, withEtcd bool, rate int, length, period time.Duration) *run {
	t.Helper()
	s := newSite(t, withEtcd, period)
	for i, n := range s.servers {
		testenv.Eventually(t, n.name+" to be ready", func() bool { return s.servers[i].status(t.Context(), s.lot.n, tryEvery) })
	}
	r := &run{TB: t, load: startLoad(t, s, rate), length: length}
	r.play(fault{name: "none", calm: true, do: (*run).lasts})
	return r
}

func (r *run) lasts() { wait(r.ctx, r.length) }

// play goes through one fault, and returns when all servers have recovered.
func (r *run) play(f fault) {
	was := r.starts()
	r.away, r.undone = nil, ""
	w := window{Name: f.name, Calm: f.calm, Stepped: f.stepped, From: time.Now()}
	f.do(r)
	w.To, w.Away, w.Undone = time.Now(), r.away, r.undone
	if r.allRecovered() {
		w.Recovered = time.Now()
	}
	for i, n := range r.starts() {
		if n > was[i] {
			w.Killed = append(w.Killed, i)
		}
	}
	r.record.window(w)
}

// starts returns how often each server was started.
func (r *run) starts() (n []int) {
	for _, s := range r.servers {
		n = append(n, s.started())
	}
	return n
}

func (r *run) allRecovered() bool {
	back := make([]bool, len(r.servers))
	var wg sync.WaitGroup
	for i := range r.servers {
		wg.Go(func() { back[i] = r.recovered(i, backWithin) })
	}
	wg.Wait()
	for _, b := range back {
		if !b {
			return false
		}
	}
	return true
}

// killEverything kills all parts at once, and tries all codes that were accepted
// since it did so last.
func (r *run) killEverything() {
	since := r.known
	r.play(fault{name: "kill -9 of everything", do: func(r *run) { r.known = time.Now(); r.killAll(r) }})
	r.replay += r.replayAll(since)
}

// finish ends the load and says what came of it.
func (r *run) finish() {
	if !r.drain(drainWithin) {
		r.Errorf("not everybody got in within %v of the last fault", drainWithin)
	}
	h := r.record.history()
	h.Reasons, h.Period, h.Alone = r.reasons(), r.period, r.etcd == nil
	broken := check(h)
	text := table(h, broken)
	r.Logf("seed %d, %d codes replayed after kill -9 of everything\n%s", r.seed, r.replay, text)
	if path := os.Getenv("FAULTS_TABLE"); path != "" {
		if err := appendFile(path, text); err != nil {
			r.Error(err)
		}
	}
	for _, n := range r.servers {
		if n.died() > 0 {
			r.Errorf("%s ended by itself %d times", n.name, n.died())
		}
	}
	r.complain(h, broken)
}

// complain tells the stories of the first violations of each rule.
func (r *run) complain(h history, broken []violation) {
	const stories = 4
	seen := map[string]int{}
	for _, v := range broken {
		if seen[v.rule]++; seen[v.rule] <= stories {
			r.Errorf("%s\n%s", v, h.story(v.login))
		}
	}
	for rule, n := range seen {
		r.Errorf("%s: %d times", rule, n)
	}
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// silent waits until a server is silent, and returns what ends the time in which
// it has to be.
func (r *run) silent(servers ...int) (end func()) {
	r.away = append(r.away, servers...)
	until := time.Now().Add(mutedWithin)
	for _, i := range servers {
		for missed := 0; missed < 3; missed++ {
			if r.servers[i].status(r.ctx, r.lot.n, tryEvery) {
				missed = -1
			}
			if time.Now().After(until) {
				r.Errorf("server %d answers Status-Server %v after it has lost the quorum", i+1, mutedWithin)
				return func() {}
			}
		}
	}
	from := time.Now()
	return func() {
		for _, i := range servers {
			r.record.mute(mute{i, from, time.Now()})
		}
	}
}

// drainWithin is how long after the last fault the last people may come in: time
// for three codes.
const drainWithin = 100 * time.Second

// killed is kill -9 of a process, and its restart.
func killed(which func(r *run) *process) func(*run) {
	return func(r *run) {
		p := which(r)
		p.kill()
		r.lasts()
		p.start(r)
	}
}

func frozen(which func(r *run) *process) func(*run) {
	return func(r *run) {
		p := which(r)
		if i := slices.IndexFunc(r.servers, func(n *instance) bool { return n.process == p }); i >= 0 {
			r.away = append(r.away, i)
		}
		p.freeze(r)
		r.lasts()
		p.thaw(r)
	}
}

// pulsing stops a process again and again for a moment, as a bad disk would.
func pulsing(which func(r *run) *process) func(*run) {
	return func(r *run) {
		p := which(r)
		for until := time.Now().Add(r.length); time.Now().Before(until); {
			p.freeze(r)
			wait(r.ctx, 150*time.Millisecond)
			p.thaw(r)
			wait(r.ctx, 50*time.Millisecond)
		}
	}
}

func anyServer(r *run) *process { return r.servers[r.lot.n(len(r.servers))].process }
func serverAt(i int) func(r *run) *process {
	return func(r *run) *process { return r.servers[i].process }
}

func leader(r *run) *process {
	leader, _ := r.etcd.leader(r)
	return r.etcd.all[leader]
}

func follower(r *run) *process {
	_, follower := r.etcd.leader(r)
	return r.etcd.all[follower]
}

// notDone says that a fault did not come about. That is a failure where everything
// has to be there: a table would say that it was survived.
func (r *run) notDone(why string) {
	r.undone = why
	if testenv.All() {
		r.Errorf("fault not done: %s", why)
		return
	}
	r.Log("fault not done:", why)
}

// clockStep steps the clock of a server, and puts it right again.
func clockStep(i int, by time.Duration) fault {
	return fault{name: fmt.Sprintf("clock of server %d %+v", i+1, by), stepped: []int{i}, do: func(r *run) {
		r.servers[i].step(r, by)
		r.lasts()
		r.servers[i].step(r, 0)
	}}
}
