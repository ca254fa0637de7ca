package etcd

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store"
)

var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// A server that has a wrong clock and nobody to compare it with uses a key that
// the others have.
func TestAServerWithAWrongClockStillHasAKey(t *testing.T) {
	f := newFleet(t, 0)
	f.run(noon.Add(24*time.Hour+time.Minute), time.Minute)
	for _, now := range []time.Time{{}, noon.Add(-1000 * time.Hour), noon.Add(1000 * time.Hour)} {
		var r ring
		keys, next, err := r.turn(f.record, moment{now: now})
		if err != nil || next != nil || len(keys.Sealing) != 2 {
			t.Errorf("at %v: %d keys, others in their place %v, %v", now, len(keys.Sealing), next != nil, err)
		}
	}
}

func firstKeys() keyring {
	k, _ := new(ring).rotate(moment{now: noon})
	return k
}

func TestServersThatStartAtOnceAgreeOnTheKeys(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	var all sync.WaitGroup
	got := make([]store.SharedKeys, 8)
	for i := range got {
		s := open(t, Options{Endpoints: c.Endpoints()})
		all.Go(func() {
			keys, err := s.Keys(t.Context())
			// So it is where a slow answer has the keys sent twice and another
			// server's are there by then. Who asks again is told.
			for errors.Is(err, errUnknown) {
				keys, err = s.Keys(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			got[i] = keys
		})
	}
	all.Wait()
	for _, keys := range got {
		if keys.Cluster.Len() != 32 || len(keys.Sealing) != 1 || keys.Sealing[0].Key.Len() != 32 {
			t.Fatalf("keys of the wrong size")
		}
		if !bytes.Equal(keys.Cluster.Reveal(), got[0].Cluster.Reveal()) || !bytes.Equal(keys.Sealing[0].Key.Reveal(), got[0].Sealing[0].Key.Reveal()) {
			t.Error("two servers have different keys")
		}
	}
}

// New keys in the place of damaged or deleted ones would part the servers.
func TestKeysAreNotMadeAnewUnasked(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	for name, harm := range map[string]func(ctx context.Context, s *Store, is record) error{
		"a damaged record": func(ctx context.Context, s *Store, is record) error {
			bad := bytes.Clone(is.value)
			bad[len(bad)/2] ^= 1
			return s.swap(ctx, s.opts.Prefix+"keys/shared", is.rev, bad)
		},
		"a deleted record": func(ctx context.Context, s *Store, is record) error {
			o := s.writes.do(ctx, &request{key: s.opts.Prefix + "keys/shared", old: is.rev})
			return o.err
		},
		"other keys": func(ctx context.Context, s *Store, is record) error {
			value, err := encodeKeyring(firstKeys())
			if err != nil {
				return err
			}
			return s.swap(ctx, s.opts.Prefix+"keys/shared", is.rev, value)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()})
			if _, err := s.Keys(t.Context()); err != nil {
				t.Fatal(err)
			}
			is, err := s.fetch(t.Context(), s.opts.Prefix+"keys/shared")
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(t.Context(), s, is); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Keys(t.Context()); err == nil {
				t.Error("there are keys")
			}
		})
	}
}

func TestAServerRotatesWhenItIsDue(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	var since atomic.Int64 // noon
	gone := func() time.Duration { return time.Duration(since.Load()) }
	s := open(t, Options{Endpoints: c.Endpoints(), Now: func() time.Time { return noon.Add(gone()) }, elapsed: gone})
	testenv.Eventually(t, "it to know that it is alone", func() bool { return s.moment().clocks == clocksAgree })
	ids := func() (ids []uint32) {
		keys, err := s.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys.Sealing {
			ids = append(ids, k.ID)
		}
		return ids
	}
	for _, tt := range []struct {
		at   time.Duration
		want []uint32
	}{
		{0, []uint32{1}},
		{23 * time.Hour, []uint32{1}},
		{24 * time.Hour, []uint32{1, 2}},
		{24*time.Hour + 3*time.Minute, []uint32{2, 1}},
		{24*time.Hour + 14*time.Minute, []uint32{2, 1}},
		{24*time.Hour + 15*time.Minute, []uint32{2}},
	} {
		since.Store(int64(tt.at))
		if got := ids(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("after %v: keys %v; want %v", tt.at, got, tt.want)
		}
	}
}

func FuzzDecodeKeyring(f *testing.F) {
	good, err := encodeKeyring(firstKeys())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		k, err := decodeKeyring(value)
		if err != nil {
			if !reflect.DeepEqual(k, keyring{}) {
				t.Errorf("an error and keys: %v", err)
			}
			return
		}
		r := ring{keys: k}
		if shared := r.shared(moment{now: noon}); shared.Cluster.Len() != keyBytes || len(shared.Sealing) == 0 {
			t.Error("keys are missing")
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	good, err := encodeRecord(state(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:headBytes])
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := decodeRecord(value)
		if err != nil {
			return
		}
		again, err := encodeRecord(s)
		if err != nil || !bytes.Equal(again[headBytes:], value[headBytes:]) {
			t.Errorf("%x becomes %x, %v", value, again, err)
		}
	})
}
