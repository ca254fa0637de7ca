package etcd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"lockstep/internal/opaque"
	"lockstep/store"
	"lockstep/verifier"
)

// Times of the sealing keys. They hold while the clocks of the servers differ
// by a minute, which is in each of them.
const (
	rotateEvery = 24 * time.Hour
	publishLead = 3 * time.Minute  // from being written to being sealed with
	openTail    = 12 * time.Minute // from the successor's first use to being deleted
	maxSealing  = 16
	keyBytes    = 32
)

// keyring is the record of the keys.
type keyring struct {
	Cluster []byte       `json:"cluster"`
	Sealing []sealingKey `json:"sealing"` // the oldest first
}

type sealingKey struct {
	ID   uint32    `json:"id"`
	Key  []byte    `json:"key"`
	From time.Time `json:"from"` // when sealing with it begins
}

// ring remembers the record that was decoded last.
type ring struct {
	mu   sync.Mutex // guards both
	rev  int64
	keys keyring
}

// Keys returns the keys that the servers share. The first server makes them, and
// whoever asks when it is due rotates those that seal: a new one daily, known to
// all two minutes before anybody seals with it; an old one stays for ten
// minutes after it was sealed with last. Clocks that differ by a minute do no
// harm to that.
//
// It is cheap, for the keys come with the watch. Ask before each use, or keep the answer
// for a minute at most. A record that is damaged is an error, until somebody
// repairs or deletes it: new keys in its place would part the servers.
func (s *Store) Keys(ctx context.Context) (store.SharedKeys, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return store.SharedKeys{}, fmt.Errorf("read shared keys: %w", err)
	}
	return keys, nil
}

func (s *Store) keys(ctx context.Context) (store.SharedKeys, error) {
	at := s.opts.Prefix + "keys/shared"
	for {
		if err := errors.Join(ctx.Err(), s.usable()); err != nil {
			return store.SharedKeys{}, err
		}
		is, err := s.get(ctx, at)
		if err != nil {
			return store.SharedKeys{}, err
		}
		k, err := s.ring.decode(is)
		if err != nil {
			return store.SharedKeys{}, err
		}
		now := s.opts.Now()
		next, due := k.rotate(now)
		if !due {
			return k.shared(now), nil
		}
		value, err := encodeKeyring(next)
		if err != nil {
			return store.SharedKeys{}, err
		}
		err = s.swap(ctx, at, is.rev, value)
		if err != nil && !errors.Is(err, verifier.ErrConflict) {
			return store.SharedKeys{}, err
		}
	}
}

var errKeysGone = errors.New("they were there, and are gone: somebody has deleted them; restart all servers if that was meant")

// decode returns what is holds, and no keys if there is none yet.
func (r *ring) decode(is record) (keyring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case is.rev == 0 && r.rev != 0:
		return keyring{}, errKeysGone
	case is.rev == r.rev:
		return r.keys, nil
	}
	k, err := decodeKeyring(is.value)
	if err != nil {
		return keyring{}, err
	}
	if r.rev != 0 && !bytes.Equal(k.Cluster, r.keys.Cluster) {
		return keyring{}, errors.New("the key of the cluster has changed; restart all servers if that was meant")
	}
	r.rev, r.keys = is.rev, k
	return k, nil
}

// rotate returns the keys as they should be at now, and whether that is another
// thing. It leaves k as it is.
func (k keyring) rotate(now time.Time) (keyring, bool) {
	if k.Cluster == nil {
		return keyring{Cluster: newKey(), Sealing: []sealingKey{{ID: 1, Key: newKey(), From: now.UTC()}}}, true
	}
	due := false
	sealing := slices.Clone(k.Sealing)
	for len(sealing) > 1 && now.Sub(sealing[1].From) >= openTail {
		sealing, due = sealing[1:], true
	}
	if last := sealing[len(sealing)-1]; now.Sub(last.From) >= rotateEvery && len(sealing) < maxSealing {
		sealing, due = append(sealing, sealingKey{ID: last.ID + 1, Key: newKey(), From: now.Add(publishLead).UTC()}), true
	}
	return keyring{Cluster: k.Cluster, Sealing: sealing}, due
}

func newKey() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key)
	return key
}

// shared returns the keys, the one to seal with first: the last whose time has
// come, or the oldest, if our clock is so wrong that none's has.
func (k keyring) shared(now time.Time) store.SharedKeys {
	shared := store.SharedKeys{Cluster: opaque.Of(k.Cluster)}
	seals := 0
	for i, key := range k.Sealing {
		if !key.From.After(now) {
			seals = i
		}
		shared.Sealing = append(shared.Sealing, store.SealingKey{ID: key.ID, Key: opaque.Of(key.Key)})
	}
	first := shared.Sealing[seals]
	shared.Sealing = slices.Insert(slices.Delete(shared.Sealing, seals, seals+1), 0, first)
	return shared
}

// The record is a head, four bytes of CRC-32C, and JSON.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeKeyring(k keyring) ([]byte, error) {
	text, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return seal(append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(text, castagnoli)), text...)), nil
}

func decodeKeyring(value []byte) (keyring, error) {
	content, err := unseal(value)
	if err != nil {
		return keyring{}, err
	}
	if len(content) < crc32.Size || binary.BigEndian.Uint32(content) != crc32.Checksum(content[crc32.Size:], castagnoli) {
		return keyring{}, fmt.Errorf("%w: the checksum of the keys is wrong", store.ErrDamaged)
	}
	var k keyring
	if err := json.Unmarshal(content[crc32.Size:], &k); err != nil {
		return keyring{}, fmt.Errorf("%w: the keys are not readable", store.ErrDamaged) // the error of json may quote them
	}
	if len(k.Cluster) != keyBytes || len(k.Sealing) == 0 || len(k.Sealing) > maxSealing {
		return keyring{}, fmt.Errorf("%w: keys are missing, or too many", store.ErrDamaged)
	}
	for i, key := range k.Sealing {
		if len(key.Key) != keyBytes || (i > 0 && key.ID <= k.Sealing[i-1].ID) {
			return keyring{}, fmt.Errorf("%w: sealing key %d is none", store.ErrDamaged, i)
		}
	}
	return k, nil
}
