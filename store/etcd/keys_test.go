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

// Three servers, whose clocks differ by up to a minute, ask for the keys every
// few seconds for six days, each on its own. Whatever one seals another must be able to open.
func TestKeysRotateWhileClocksDiffer(t *testing.T) {
	clocks := []time.Duration{0, 30 * time.Second, -30 * time.Second}
	var ring keyring
	written := noon                                               // the last time that ring changed
	first, last := map[uint32]time.Time{}, map[uint32]time.Time{} // when a key was seen first, and sealed with last
	copies := make([]store.SharedKeys, len(clocks))
	ids := map[uint32]bool{}
	for at := noon; at.Before(noon.Add(145 * time.Hour)); at = at.Add(5 * time.Second) {
		for i, ahead := range clocks {
			now := at.Add(ahead)
			// Each day another one is there to rotate, or the fast one always would.
			if next, due := ring.rotate(now); due && int(at.Sub(noon)/(24*time.Hour))%len(clocks) == i || ring.Cluster == nil {
				for _, key := range ring.Sealing {
					if used, gone := last[key.ID], !holds(next, key.ID); gone && at.Sub(used) < 10*time.Minute {
						t.Fatalf("key %d is deleted %v after it was sealed with", key.ID, at.Sub(used))
					}
				}
				ring, written = next, at
			}
			if at.Sub(noon)%(time.Minute) == 0 || len(copies[i].Sealing) == 0 { // callers may keep them for a minute
				copies[i] = ring.shared(now)
			}
			seals := copies[i].Sealing[0].ID
			ids[seals] = true
			last[seals] = at
			for _, key := range ring.Sealing {
				if first[key.ID].IsZero() {
					first[key.ID] = at
				}
			}
			if early := at.Sub(first[seals]); seals > 1 && early < 2*time.Minute {
				t.Fatalf("key %d is sealed with %v after it was made", seals, early)
			}
		}
	}
	if len(ids) != 7 || len(ring.Sealing) > 2 {
		t.Errorf("in six days %d keys are used, and %d are left at the end, changed %v", len(ids), len(ring.Sealing), written)
	}
}

func holds(k keyring, id uint32) bool {
	for _, key := range k.Sealing {
		if key.ID == id {
			return true
		}
	}
	return false
}

// A server whose clock is wrong by days uses a key that the others have.
func TestAServerWithAWrongClockStillHasAKey(t *testing.T) {
	k, _ := keyring{}.rotate(noon)
	k, _ = k.rotate(noon.Add(25 * time.Hour))
	for _, now := range []time.Time{{}, noon.Add(-1000 * time.Hour), noon.Add(1000 * time.Hour)} {
		shared := k.shared(now)
		if len(shared.Sealing) != 2 || !holds(k, shared.Sealing[0].ID) {
			t.Errorf("at %v: %d keys", now, len(shared.Sealing))
		}
	}
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
			k, _ := keyring{}.rotate(noon)
			value, err := encodeKeyring(k)
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
	s := open(t, Options{Endpoints: c.Endpoints(), Now: func() time.Time { return noon.Add(time.Duration(since.Load())) }})
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
	k, _ := keyring{}.rotate(noon)
	good, err := encodeKeyring(k)
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
		if shared := k.shared(noon); shared.Cluster.Len() != keyBytes || len(shared.Sealing) == 0 {
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
