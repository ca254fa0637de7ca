package etcd

import (
	"errors"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

// The record is written, and the answer lost: the write is sent again by
// another way, and finds itself there.
func TestAWriteWhoseAnswerIsLostIsKnownAgain(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	for name, lose := range map[string]func(*proxy){
		"the answer never comes":     func(p *proxy) {},
		"the connection is cut then": func(p *proxy) { time.AfterFunc(100*time.Millisecond, p.cut) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, c.Node(0).Address())
			s := open(t, Options{Endpoints: []string{p.url, c.Node(0).Endpoint()}, Prefix: newPrefix()})
			other := open(t, Options{Endpoints: c.Endpoints(), Prefix: s.opts.Prefix})
			for step := range int64(3) {
				if _, _, err := s.Load(t.Context(), "alice"); err != nil {
					t.Fatal(err)
				}
				s.cluster.favourite.Store(0)
				p.mute.Store(true)
				lose(p)
				if err := storetest.Claim(t.Context(), s, "alice", step+1); err != nil {
					t.Errorf("step %d: %v", step+1, err)
				}
				p.mute.Store(false)
				p.cut()
				if !contains(present(t, other, "alice").Spent, step+1) {
					t.Errorf("step %d is not spent", step+1)
				}
				if err := storetest.Claim(t.Context(), other, "alice", step+1); err == nil {
					t.Errorf("step %d is accepted twice", step+1)
				}
			}
		})
	}
}

// Somebody else has written since: the history tells whether we had.
func TestALostWriteIsFoundBelowLaterOnes(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	key := s.key("alice")
	write := func(old int64, n uint32) (value []byte, rev int64) {
		t.Helper()
		value, err := encodeRecord(verifier.State{Failures: n})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.swap(t.Context(), key, old, value); err != nil {
			t.Fatal(err)
		}
		is, err := s.fetch(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return value, is.rev
	}
	first, one := write(0, 1)
	ours, two := write(one, 2)
	_, three := write(two, 3)
	_, four := write(three, 4)
	never, err := encodeRecord(verifier.State{Failures: 2})
	if err != nil {
		t.Fatal(err)
	}
	is, err := s.fetch(t.Context(), key)
	if err != nil || is.rev != four {
		t.Fatal(is.rev, err)
	}
	for _, tt := range []struct {
		name  string
		old   int64
		value []byte
		want  error
	}{
		{"it was written two before", one, ours, nil},
		{"it was the first of all", 0, first, nil},
		{"another was written in its place", one, never, verifier.ErrConflict},
		{"not written, and others began with nothing too", 0, never, verifier.ErrConflict},
	} {
		if err := s.settle(t.Context(), key, tt.old, tt.value, is); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
	if err := s.settle(t.Context(), key, one, ours, record{}); !errors.Is(err, errUnknown) {
		t.Errorf("of what was deleted: %v; want %v", err, errUnknown)
	}
}

// The same from end to end: the answer is lost, and before the write is sent
// again another server has written upon it.
func TestALostWriteWithAnotherUponItIsNoConflict(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	p := newProxy(t, c.Node(0).Address())
	s := open(t, Options{Endpoints: []string{p.url, c.Node(0).Endpoint()}})
	other := open(t, Options{Endpoints: c.Endpoints()})
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	_, v, err := s.Load(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	s.cluster.usual.Store(int64(time.Second)) // it waits as long as it may before it sends again
	s.cluster.favourite.Store(0)
	p.mute.Store(true)
	lost := make(chan error, 1)
	go func() { lost <- s.CompareAndSwap(t.Context(), "alice", v, state(7)) }()
	testenv.Eventually(t, "the write to be done", func() bool { return present(t, other, "alice").Failures == 7 })
	if err := storetest.Claim(t.Context(), other, "alice", 2); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; err != nil {
		t.Errorf("CompareAndSwap = %v; want nil, for it was done", err)
	}
	if got := present(t, s, "alice"); got.Failures != 7 || !contains(got.Spent, 2) {
		t.Errorf("in the end there is %+v", got)
	}
}
