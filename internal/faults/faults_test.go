package faults

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// long returns how long the long form is to run; 0 for the short form.
func long(t testing.TB) time.Duration {
	t.Helper()
	switch text := os.Getenv("LOCKSTEP_FAULTS"); text {
	case "":
		return 0
	case "long":
		return 20 * time.Minute
	default:
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("LOCKSTEP_FAULTS: %v", err)
		}
		return d
	}
}

// only returns those of faults whose name holds LOCKSTEP_FAULTS_ONLY.
func only(faults []fault) []fault {
	name := os.Getenv("LOCKSTEP_FAULTS_ONLY")
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, name) })
}

// One server with a store of its own.
func TestFaultsAlone(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	if d := long(t); d > 0 {
		newRun(t, false, 80, 10*time.Second, 30*time.Second).goOn(d, only(faultsAlone))
		return
	}
	r := newRun(t, false, 50, 1500*time.Millisecond, 15*time.Second)
	for _, f := range only(faultsAlone) {
		r.play(f)
	}
	r.killEverything()
	r.finish()
}

// goOn plays all faults again and again for so long, each time in another order.
func (r *run) goOn(d time.Duration, faults []fault) {
	order := slices.Clone(faults)
	if len(order) == 0 {
		r.Fatal("no fault has that name")
	}
	for until, n := time.Now().Add(d), 0; time.Now().Before(until) && !r.Failed(); n++ {
		if n%len(order) == 0 {
			r.lot.shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		r.play(order[n%len(order)])
		if n%6 == 5 {
			r.killEverything()
		}
	}
	r.killEverything()
	r.finish()
}

var faultsAlone = []fault{
	{name: "kill -9 of the server", do: killed(serverAt(0))},
	{name: "kill -9 of slapd", do: killSlapd},
	{name: "server stopped", do: frozen(serverAt(0))},
	{name: "full disk", do: fullDisk(func(r *run) []*disk { return []*disk{r.disk} })},
	{name: "slow disk", do: slowDisk(serverAt(0), 100*time.Millisecond)},
	{name: "slapd cut off", do: directory(manner{cut: true})},
	{name: "slapd unreachable", do: directory(manner{hold: true})},
	{name: "datagrams lost, repeated, late", do: roughAir},
}

func killSlapd(r *run) {
	r.slapd.Kill(r)
	r.lasts()
	r.slapd.Start(r)
}

func freezeSlapd(r *run) {
	r.slapd.Freeze(r)
	r.lasts()
	r.slapd.Thaw(r)
}

// directory treats what all servers and slapd say in a manner.
func directory(m manner) func(*run) {
	return func(r *run) {
		set := func(m manner) {
			for _, n := range r.servers {
				n.directory.set("", m)
			}
		}
		set(m)
		r.lasts()
		set(manner{})
	}
}

func roughAir(r *run) {
	for _, n := range r.servers {
		n.weather(weather{loss: 0.2, again: 0.2, delay: 300 * time.Millisecond})
	}
	r.lasts()
	for _, n := range r.servers {
		n.weather(weather{})
	}
}

// Three servers, three nodes of etcd.
func TestFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	testenv.Tool(t, "etcd")
	if d := long(t); d > 0 {
		newRun(t, true, 150, 12*time.Second, 30*time.Second).goOn(d, only(faultsTogether))
		return
	}
	r := newRun(t, true, 70, 2*time.Second, 15*time.Second)
	for _, f := range only(short) {
		r.play(f)
	}
	r.killEverything()
	r.finish()
}

// short are those of the short form.
var short = []fault{
	{name: "one server without the quorum", do: cutOff(manner{hold: true})},
	{name: "kill -9 of etcd's leader", do: killed(leader)},
	{name: "kill -9 of a server", do: killed(anyServer)},
	{name: "etcd's leader stopped", do: frozen(leader)},
	clockStep(2, -15*time.Second),
	{name: "etcd's leader alone", do: splitLeader(manner{hold: true})},
	{name: "a server stopped", do: frozen(anyServer)},
	{name: "kill -9 of slapd", do: killSlapd},
	{name: "full disk of etcd's leader", do: fullDisk(leadersDisk)},
	{name: "datagrams lost, repeated, late", do: roughAir},
}

var faultsTogether = append([]fault{
	{name: "kill -9 of a follower", do: killed(follower)},
	{name: "a follower stopped", do: frozen(follower)},
	{name: "etcd's leader stops and goes", do: pulsing(leader)},
	{name: "a server stops and goes", do: pulsing(anyServer)},
	{name: "slow disk of etcd's leader", do: slowDisk(leader, 200*time.Millisecond)},
	{name: "slow disk of a follower", do: slowDisk(follower, 500*time.Millisecond)},
	{name: "full disks of all of etcd", do: fullDisk(func(r *run) []*disk { return r.etcd.disks })},
	{name: "one server cut off from etcd", do: cutOff(manner{cut: true})},
	{name: "one server without etcd's answers", do: cutOff(manner{deaf: true})},
	{name: "etcd's leader cut off", do: splitLeader(manner{cut: true})},
	{name: "no quorum at all", do: noQuorum(manner{hold: true})},
	{name: "no node hears another", do: noQuorum(manner{cut: true})},
	{name: "slow way to etcd", do: slowWay},
	{name: "etcd's nodes far apart", do: farApart},
	{name: "slapd cut off", do: directory(manner{cut: true})},
	{name: "slapd unreachable", do: directory(manner{hold: true})},
	{name: "slapd without answers", do: directory(manner{deaf: true})},
	{name: "slow way to slapd", do: directory(manner{delay: 300 * time.Millisecond})},
	{name: "slapd stopped", do: freezeSlapd},
	clockStep(2, 45*time.Second),
	clockStep(2, -45*time.Second),
	clockStep(2, 10*time.Minute),
	clockStep(2, -10*time.Minute),
}, short...)

// cutOff keeps one server from all nodes of etcd: it has to be silent.
func cutOff(m manner) func(*run) {
	return func(r *run) {
		i := r.lot.n(len(r.servers))
		r.servers[i].reach(m, 0, 1, 2)
		end := r.silent(i)
		r.lasts()
		end()
		r.servers[i].reach(manner{}, 0, 1, 2)
	}
}

// reach treats what goes between a server and nodes of etcd in a manner.
func (n *instance) reach(m manner, nodes ...int) {
	for _, j := range nodes {
		n.store[j].set("", m)
	}
}

// splitLeader keeps etcd's leader from the others, with one server that reaches
// no other node than it.
func splitLeader(m manner) func(*run) {
	return func(r *run) {
		leader, _ := r.etcd.leader(r)
		others := []int{(leader + 1) % 3, (leader + 2) % 3}
		i := r.lot.n(len(r.servers))
		r.etcd.split([]int{leader}, m)
		r.servers[i].reach(m, others...)
		end := r.silent(i)
		r.lasts()
		end()
		r.etcd.split([]int{leader}, manner{})
		r.servers[i].reach(manner{}, others...)
	}
}

// noQuorum keeps all nodes of etcd from one another.
func noQuorum(m manner) func(*run) {
	return func(r *run) {
		for j := range r.etcd.all {
			r.etcd.split([]int{j}, m)
		}
		end := r.silent(0, 1, 2)
		r.lasts()
		end()
		for j := range r.etcd.all {
			r.etcd.split([]int{j}, manner{})
		}
	}
}

func slowWay(r *run) {
	i := r.lot.n(len(r.servers))
	r.servers[i].reach(manner{delay: 100 * time.Millisecond}, 0, 1, 2)
	r.lasts()
	r.servers[i].reach(manner{}, 0, 1, 2)
}

func farApart(r *run) {
	r.etcd.split([]int{0}, manner{delay: 40 * time.Millisecond})
	r.lasts()
	r.etcd.split([]int{0}, manner{})
}

func leadersDisk(r *run) []*disk {
	leader, _ := r.etcd.leader(r)
	return []*disk{r.etcd.disks[leader]}
}
