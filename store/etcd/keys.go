package etcd

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"lockstep/store"
	"lockstep/verifier"
)

// Times of the sealing keys. clockSlack is in each of them.
const (
	rotateEvery = 24 * time.Hour
	publishLead = 3 * time.Minute  // from being written to being sealed with
	openTail    = 12 * time.Minute // from the successor's first use to being deleted
	clockSlack  = time.Minute      // the clocks of servers differ by this at most, or nothing is done
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

// last returns the key that was made last. There is one.
func (k keyring) last() sealingKey { return k.Sealing[len(k.Sealing)-1] }

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
		keys, next, err := s.ring.turn(is, s.moment())
		if err != nil || next == nil {
			return keys, err
		}
		value, err := encodeKeyring(*next)
		if err != nil {
			return store.SharedKeys{}, err
		}
		err = s.swap(ctx, at, is.rev, value)
		if err != nil && !errors.Is(err, verifier.ErrConflict) {
			return store.SharedKeys{}, err
		}
	}
}

func (s *Store) moment() moment {
	at := moment{now: s.opts.Now(), elapsed: s.opts.elapsed()}
	at.clocks = s.peers.clocks(at.now, s.elapsed())
	return at
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
