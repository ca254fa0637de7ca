package etcd

import (
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// Only what came after an answer of the last ten seconds is younger, whatever clocks
// say.
func TestAgeOfARevision(t *testing.T) {
	var p pulse
	if !p.older(1, 10*time.Second, time.Hour) {
		t.Error("a pulse that has heard nothing knows an age")
	}
	for i := range 300 { // revision i at i*100 ms
		at := time.Duration(i) * 100 * time.Millisecond
		p.hear(at, at, int64(i))
	}
	now := 29900 * time.Millisecond
	for rev, want := range map[int64]bool{0: true, 100: true, 199: true, 200: true, 201: false, 299: false, 400: false} {
		if got := p.older(rev, 10*time.Second, now); got != want {
			t.Errorf("revision %d: %v", rev, got)
		}
	}
	if len(p.ages) > 130 {
		t.Errorf("%d are remembered", len(p.ages))
	}
	// What came in a silence may have come at its beginning.
	now += time.Minute
	p.hear(now, now, 400)
	now += time.Second
	if !p.older(299, 10*time.Second, now) || !p.older(400, 10*time.Second, now) || p.older(401, 10*time.Second, now) {
		t.Error("after a silence")
	}
}

// A server where nobody logs in asks each 1.25 s, and yet knows of what is 10 s old
// that it is not 12 s old.
func TestAgeWhereNothingIsAskedButTheTime(t *testing.T) {
	const every, least, most = trust, 10 * time.Second, 12 * time.Second
	for written := 20 * time.Second; written < 20*time.Second+2*every; written += 10 * time.Millisecond {
		var p pulse
		for at := every; at <= written+least; at += every {
			rev := int64(1)
			if at >= written {
				rev = 2
			}
			p.hear(at, at, rev)
		}
		if p.older(2, most, written+least) {
			t.Errorf("written at %v, it may be %v old at %v", written, most, written+least)
		}
		for at := written + least; at < written+2*most; at += every {
			p.hear(at, at, 2)
		}
		if !p.older(2, most, written+2*most) {
			t.Errorf("written at %v, it is not %v old at %v", written, most, written+2*most)
		}
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
