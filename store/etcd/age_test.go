package etcd

import (
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// What was there ten seconds ago is known to be that old, whatever clocks say, and
// nothing else is.
func TestAgeOfARevision(t *testing.T) {
	var p pulse
	if p.older(1, 0, time.Hour) {
		t.Error("a pulse that has heard nothing knows an age")
	}
	p.hear(0, 0, 0)
	if !p.older(0, 10*time.Second, time.Second) || p.older(1, 10*time.Second, time.Second) {
		t.Error("of what was there before")
	}
	for i := range 300 { // revision i at i*100 ms
		p.hear(0, time.Duration(i)*100*time.Millisecond, int64(i))
	}
	now := 29900 * time.Millisecond
	for rev, want := range map[int64]bool{0: true, 100: true, 199: true, 200: false, 299: false, 400: false} {
		if got := p.older(rev, 10*time.Second, now); got != want {
			t.Errorf("revision %d: %v", rev, got)
		}
	}
	if len(p.ages) > 110 {
		t.Errorf("%d are remembered", len(p.ages))
	}
	// After a silence the last thing heard is old.
	if now += time.Minute; !p.older(299, 10*time.Second, now) || p.older(300, 10*time.Second, now) {
		t.Error("after a silence")
	}
	p.hear(0, now, 400)
	p.hear(0, now+time.Second, 401)
	if !p.older(299, 10*time.Second, now+time.Second) || p.older(400, 10*time.Second, now+time.Second) {
		t.Error("after the silence")
	}
}

// To ask whether a State is still so changes nothing, and tells of a change.
func TestAStateThatIsWrittenAsItIsStays(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	prefix := newPrefix()
	one, two := open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix}), open(t, Options{Endpoints: c.Endpoints(), Prefix: prefix})
	if err := storetest.Claim(t.Context(), one, "alice", 1); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{one, two} {
		is, v, err := s.Load(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.CompareAndSwap(t.Context(), "alice", v, is); err != nil {
				t.Fatal(err)
			}
		}
		if _, now, err := s.Load(t.Context(), "alice"); err != nil || now != v {
			t.Errorf("version goes from %d to %d, %v", v, now, err)
		}
	}
	was, v, err := two.Load(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.Claim(t.Context(), one, "alice", 2); err != nil {
		t.Fatal(err)
	}
	if err := two.CompareAndSwap(t.Context(), "alice", v, was); err == nil {
		t.Error("what has changed meanwhile is said to be so still")
	}
	var _ verifier.Ager = one
}
