package radiusd

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockstep/internal/opaque"
)

// stateTTL is how long a challenge may be answered, unless its Answer says that
// there is something to wait for first.
const stateTTL = 60 * time.Second

// StateKey is a key that seals what an Access-Challenge keeps. Servers that have it
// in common can finish each other's challenges.
type StateKey struct {
	ID  uint32       // tells it from the others; it stands in each State, readable
	Key opaque.Bytes // 32 octets
}

// SetStateKeys replaces the keys that seal State: the first seals, and all of them
// open. So a new key goes to the end of the list at every server before it comes to
// the front at any, and an old one stays until the last State that it has sealed is
// over, in [StateAge]. Without keys, or before the first call, the Server has one
// for itself. It may be called while the Server runs. An error means that nothing
// has changed.
func (s *Server) SetStateKeys(keys []StateKey) error {
	ring, err := newStateRing(keys)
	if err != nil {
		return err
	}
	s.sealer.Store(&ring)
	return nil
}

// initStateKeys sets the keys where nobody has.
func (s *Server) initStateKeys() error {
	var keys []StateKey
	if s.StateKey.Len() > 0 {
		keys = []StateKey{{Key: s.StateKey}}
	}
	ring, err := newStateRing(keys)
	if err == nil {
		s.sealer.CompareAndSwap(nil, &ring)
	}
	return err
}

// StateAge is the longest that a State can be answered.
const StateAge = stateTTL + MaxWait

// A State is the ID of the key, and what that has sealed. In the clear that is a version, the time it expires, the length of what
// it keeps, and that, padded, so that its length does not show.
const (
	stateKeyID   = 4
	stateVersion = 1
	stateHead    = 1 + 8 + 1
	statePlain   = stateHead + MaxKeep
)

var (
	errStateForeign = errors.New("the State is not ours, or was altered, or is of another user, client or server")
	errStateExpired = errors.New("the State has expired")
)

// stateRing makes and opens State (RFC 2865, section 5.24): its first sealer does
// the one, and any of them the other.
type stateRing []*stateSealer

// newStateRing takes any number of keys, or none for a key of its own.
func newStateRing(keys []StateKey) (stateRing, error) {
	if len(keys) == 0 {
		key := make([]byte, 32)
		rand.Read(key)
		keys = []StateKey{{Key: opaque.Of(key)}}
	}
	var ring stateRing
	for _, k := range keys {
		if ring.find(k.ID) != nil {
			return nil, fmt.Errorf("state key %d: there are two of them", k.ID)
		}
		sealer, err := newStateSealer(k)
		if err != nil {
			return nil, err
		}
		ring = append(ring, sealer)
	}
	return ring, nil
}

func (r stateRing) find(id uint32) *stateSealer {
	for _, s := range r {
		if s.id == id {
			return s
		}
	}
	return nil
}

// stateSealer makes and opens the State of one key.
//
// State is text, because some clients keep it as a C string and cut it at a
// zero octet.
type stateSealer struct {
	id   uint32
	aead cipher.AEAD
}

// Nonces are random, 96 bits. The key may so seal 2^32 States before the
// chance that two have the same nonce reaches 2^-32: four years at thirty-four
// challenges per second.
func newStateSealer(k StateKey) (*stateSealer, error) {
	if k.Key.Len() != 32 {
		return nil, fmt.Errorf("state key %d: want 32 octets, not %d", k.ID, k.Key.Len())
	}
	block, err := aes.NewCipher(k.Key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("state key %d: %w", k.ID, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("state key %d: %w", k.ID, err)
	}
	return &stateSealer{k.ID, aead}, nil
}

const (
	stateSealed = statePlain + 12 + 16 // a nonce before it and a tag behind
	stateSize   = (stateKeyID + stateSealed) * 8 / 6
)

// seal returns a State for the answer to a challenge.
func (r stateRing) seal(client, user string, keep opaque.Bytes, expires time.Time) ([]byte, error) {
	if keep.Len() > MaxKeep {
		return nil, fmt.Errorf("seal State: %d octets to keep, want at most %d", keep.Len(), MaxKeep)
	}
	s, plain := r[0], make([]byte, statePlain)
	plain[0] = stateVersion
	binary.BigEndian.PutUint64(plain[1:], uint64(expires.Unix()))
	plain[stateHead-1] = byte(keep.Len())
	copy(plain[stateHead:], keep.Reveal())
	state := binary.BigEndian.AppendUint32(make([]byte, 0, stateKeyID+stateSealed), s.id)
	state = s.aead.Seal(state, nil, plain, s.boundTo(client, user))
	return base64.RawURLEncoding.AppendEncode(nil, state), nil
}

// stateID names a State; no two have the same.
type stateID [12]byte

// openState is what a client returned to us unaltered.
type openState struct {
	id      stateID
	keep    opaque.Bytes
	expires time.Time
}

// open returns what seal was given. The error is errStateForeign or
// errStateExpired.
func (r stateRing) open(client, user string, state []byte, now time.Time) (openState, error) {
	// One text for each State: the length is looked at since the decoder would
	// skip line ends, and it is strict about the bits that it does not need.
	if len(state) != stateSize {
		return openState{}, errStateForeign
	}
	sealed, err := base64.RawURLEncoding.Strict().AppendDecode(nil, state)
	if err != nil {
		return openState{}, errStateForeign
	}
	id, sealed := binary.BigEndian.Uint32(sealed), sealed[stateKeyID:]
	s := r.find(id)
	if s == nil {
		return openState{}, errStateForeign
	}
	plain, err := s.aead.Open(nil, nil, sealed, s.boundTo(client, user))
	if err != nil || len(plain) != statePlain || plain[0] != stateVersion || plain[stateHead-1] > MaxKeep {
		return openState{}, errStateForeign
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(plain[1:])), 0)
	if !now.Before(expires) {
		return openState{}, errStateExpired
	}
	keep := plain[stateHead:][:plain[stateHead-1]]
	return openState{stateID(sealed), opaque.Of(keep), expires}, nil
}

// boundTo returns the additional data: with the length, no two pairs of client
// and user give the same.
func (s *stateSealer) boundTo(client, user string) []byte {
	b := binary.BigEndian.AppendUint32(nil, s.id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(client)))
	b = append(b, client...)
	return append(b, user...)
}

// What a stateSet says about a State.
type stateUse int

const (
	stateFree  stateUse = iota // now taken by the caller
	stateTaken                 // by a request that is not yet decided
	stateSpent                 // it led to a decision
	stateFull                  // nothing more can be remembered
)

// stateSet remembers which States have been answered, so that each is good for
// one decision. It forgets at a restart; a code then is still accepted once,
// which is for the Authenticator to see to.
type stateSet struct {
	mu    sync.Mutex
	most  int
	used  map[stateID]bool // whether it is spent; without pointers, as dedupeShard
	spent []spentState     // in the order in which they are forgotten
}

type spentState struct {
	id     stateID
	forget time.Time
}

func newStateSet(most int) *stateSet {
	return &stateSet{most: most, used: make(map[stateID]bool)}
}

func (s *stateSet) take(id stateID, now time.Time) stateUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.spent) > 0 && !now.Before(s.spent[0].forget) {
		delete(s.used, s.spent[0].id)
		s.spent = s.spent[1:]
	}
	switch spent, used := s.used[id]; {
	case spent:
		return stateSpent
	case used:
		return stateTaken
	case len(s.used) >= s.most:
		return stateFull
	}
	s.used[id] = false
	return stateFree
}

// release gives back a State that led to no decision: it may be used again.
func (s *stateSet) release(id stateID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, id)
}

// spend keeps a State from being used again for as long as it can be opened.
func (s *stateSet) spend(id stateID, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.used[id]; !used {
		return
	}
	if n := len(s.spent); n > 0 && s.spent[n-1].forget.After(expires) {
		expires = s.spent[n-1].forget
	}
	s.used[id] = true
	s.spent = append(s.spent, spentState{id, expires})
}
