package etcd

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// The servers have etcd forget, each of them could, one at a time does.
func TestHistoryIsCompacted(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	opts := Options{Endpoints: c.Endpoints(), Compact: true, compactEvery: 50 * time.Millisecond, keepHistory: 200 * time.Millisecond}
	s := open(t, opts)
	open(t, opts)
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	first, _ := s.cluster.known()
	step := int64(1)
	testenv.Eventually(t, "etcd to forget the beginning", func() bool {
		step++
		if err := storetest.Claim(t.Context(), s, "alice", step); err != nil {
			t.Fatal(err)
		}
		_, err := s.cluster.nodes[0].get(t.Context(), &pb.RangeRequest{Key: []byte("x"), Revision: first})
		return isCompacted(err)
	})
	if got := present(t, s, "alice"); len(got.Spent)+int(got.Floor) != int(step) {
		t.Errorf("%d steps are spent above %d; want %d", len(got.Spent), got.Floor, step)
	}
}

func TestOneOfSeveralServersCompacts(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	one, two := open(t, Options{Endpoints: c.Endpoints()}), open(t, Options{Endpoints: c.Endpoints()})
	for step := range int64(20) {
		if err := storetest.Claim(t.Context(), one, "alice", step+1); err != nil {
			t.Fatal(err)
		}
	}
	rev, _ := one.cluster.known()
	seen := one.compactTo(rev-15, 0)
	if other := two.compactTo(rev-5, 0); other != seen {
		t.Errorf("the other server sees revision %d of the note; want %d", other, seen)
	}
	kept := func(rev int64) bool {
		_, err := one.cluster.nodes[0].get(t.Context(), &pb.RangeRequest{Key: []byte("x"), Revision: rev})
		return err == nil
	}
	if kept(rev-16) || !kept(rev-6) {
		t.Errorf("of two servers that compact, one after the other: history of 16 back is kept: %v, of 6 back: %v; want false, true", kept(rev-16), kept(rev-6))
	}
	two.compactTo(rev-5, seen)
	if kept(rev - 6) {
		t.Error("the other server does not take over")
	}
}

// What a server remembers is no longer complete once changes were compacted
// that its watch had not brought.
func TestAWatchThatMissesChangesStartsAfresh(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	p := newProxy(t, c.Node(0).Address())
	s := open(t, Options{Endpoints: []string{p.url}})
	other := open(t, Options{Endpoints: c.Endpoints()})
	for _, id := range []string{"alice", "bob"} {
		if err := storetest.Claim(t.Context(), s, id, 1); err != nil {
			t.Fatal(err)
		}
	}
	p.mute.Store(true)
	if err := storetest.Claim(t.Context(), other, "alice", 2); err != nil {
		t.Fatal(err)
	}
	if err := other.Delete(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	for step := range int64(10) {
		if err := storetest.Claim(t.Context(), other, "carol", step+1); err != nil {
			t.Fatal(err)
		}
	}
	rev, _ := other.cluster.known()
	compact := func(ctx context.Context, to *node) (*pb.CompactionResponse, error) { return to.compact(ctx, rev) }
	if _, _, err := ask(t.Context(), other.cluster, compact); err != nil {
		t.Fatal(err)
	}
	p.cut()
	p.mute.Store(false)
	testenv.Eventually(t, "the copy to be fresh again", func() bool { return s.mirror.position() >= rev && s.pulse.fresh(s.elapsed()) })
	if spent, err := storetest.Spent(t.Context(), s, "alice", 2); err != nil || !spent {
		t.Errorf("step 2 is spent: %v, %v", spent, err)
	}
	if _, v, err := s.Load(t.Context(), "bob"); err != nil || v != 0 {
		t.Errorf("bob has version %d, %v; want none", v, err)
	}
}

// A list that takes longer than history is kept goes on, with what is there by then.
func TestAListOutlivesItsRevision(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	const n = 2*pageLength + 10
	for i := range n {
		if err := s.CompareAndSwap(t.Context(), fmt.Sprintf("user%04d", i), 0, state(1)); err != nil {
			t.Fatal(err)
		}
	}
	seen, changed := 0, 0
	err := s.List(t.Context(), func(id string, is verifier.State) error {
		seen++
		if is.Failures == 2 {
			changed++
		}
		if seen != pageLength {
			return nil
		}
		_, v, err := s.Load(t.Context(), fmt.Sprintf("user%04d", n-1))
		if err != nil {
			return err
		}
		if err := s.CompareAndSwap(t.Context(), fmt.Sprintf("user%04d", n-1), v, state(2)); err != nil {
			return err
		}
		rev, _ := s.cluster.known()
		_, err = s.cluster.nodes[0].compact(t.Context(), rev)
		return err
	})
	if err != nil || seen != n || changed != 1 {
		t.Errorf("%d of %d are listed, %d changed: %v", seen, n, changed, err)
	}
}

func TestADamagedRecordIsAnErrorForItAlone(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	for _, id := range []string{"alice", "bob", "carol"} {
		if err := storetest.Claim(t.Context(), s, id, 1); err != nil {
			t.Fatal(err)
		}
	}
	is, err := s.fetch(t.Context(), s.key("bob"))
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), is.value...)
	bad[len(bad)-6] ^= 1
	if err := s.swap(t.Context(), s.key("bob"), is.rev, bad); err != nil {
		t.Fatal(err)
	}
	if state, v, err := s.Load(t.Context(), "bob"); err == nil || v != 0 || len(state.Spent) != 0 {
		t.Errorf("Load = %+v, %d, %v; want nothing and an error", state, v, err)
	}
	var ids []string
	err = s.List(t.Context(), func(id string, _ verifier.State) error { ids = append(ids, id); return nil })
	if err == nil || fmt.Sprint(ids) != "[alice carol]" {
		t.Errorf("List shows %v, and returns %v", ids, err)
	}
	if err := s.Delete(t.Context(), "bob"); err != nil {
		t.Errorf("the damaged record cannot be deleted: %v", err)
	}
}

func TestServersKnowOneAnotherAndTheirClocks(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	one := open(t, Options{Endpoints: c.Endpoints(), Name: "one", Version: "v1"})
	testenv.Eventually(t, "the copy to be fresh", func() bool { return one.pulse.fresh(one.elapsed()) })
	two := open(t, Options{Endpoints: c.Endpoints(), Name: "two", Version: "v2", Now: func() time.Time { return time.Now().Add(45 * time.Second) }})
	testenv.Eventually(t, "the first to see the second", func() bool { return len(one.Peers()) == 1 })
	p := one.Peers()[0]
	if p.Name != "two" || p.Version != "v2" || p.Ahead < 40*time.Second || p.Ahead > 46*time.Second || time.Since(p.Seen) > 5*time.Second {
		t.Errorf("the first sees %+v", p)
	}
	// The first wrote of itself before the second started: its clock is not
	// known yet.
	testenv.Eventually(t, "the second to see the first", func() bool { return len(two.Peers()) == 1 })
	if p := two.Peers()[0]; p.Name != "one" || p.Version != "v1" || p.Ahead != 0 {
		t.Errorf("the second sees %+v", p)
	}
	// A server has a second to say that it leaves, and goes then. On a machine with
	// too much else to do that can be too short, but not each time.
	for try := 1; ; try++ {
		if err := two.Close(); err != nil {
			t.Error(err)
		}
		if testenv.AwaitFor(5*time.Second, func() bool { return !sees(one, two) }) {
			return
		}
		if try == 5 {
			t.Fatal("servers that have left are still seen")
		}
		two = open(t, Options{Endpoints: c.Endpoints(), Name: fmt.Sprint("two, start ", try+1)})
		testenv.Eventually(t, "the second to be seen again", func() bool { return sees(one, two) })
	}
}

func sees(one, two *Store) bool {
	return slices.ContainsFunc(one.Peers(), func(p store.Peer) bool { return p.Name == two.opts.Name })
}

func TestServersThatAreGoneAreSwept(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	client, err := s.cluster.nodes[0].conn()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"killed", "odd"} {
		value := `{"name":"killed","clock":"2024-02-29T12:00:00Z"}`
		if id == "odd" {
			value = "\x00"
		}
		if _, err := client.Put(t.Context(), s.serverKey(id), value); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "them to be seen", func() bool { return len(s.Peers()) == 2 })
	s.sweep(s.elapsed() + forgotten - time.Minute)
	if n := len(s.Peers()); n != 2 {
		t.Fatalf("%d are left within the hour; want 2", n)
	}
	s.sweep(s.elapsed() + forgotten)
	testenv.Eventually(t, "them to be gone", func() bool { return len(s.Peers()) == 0 })
}
