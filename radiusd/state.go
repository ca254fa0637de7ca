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

// A State in the clear is a version, the time it expires, the length of what
// it keeps, and that, padded, so that its length does not show.
const (
	stateVersion = 1
	stateHead    = 1 + 8 + 1
	statePlain   = stateHead + MaxKeep
)

var (
	errStateForeign = errors.New("the State is not ours, or was altered, or is of another user, client or server")
	errStateExpired = errors.New("the State has expired")
)

// stateSealer makes and opens State (RFC 2865, section 5.24).
//
// State is text, because some clients keep it as a C string and cut it at a
// zero octet.
type stateSealer struct{ aead cipher.AEAD }

// newStateSealer takes 32 octets, or none for a key of its own.
//
// Nonces are random, 96 bits. The key may so seal 2^32 States before the
// chance that two have the same nonce reaches 2^-32: four years at thirty-four
// challenges per second.
func newStateSealer(key []byte) (*stateSealer, error) {
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("state key: want 32 octets, not %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("state key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("state key: %w", err)
	}
	return &stateSealer{aead}, nil
}

func (s *stateSealer) size() int {
	return base64.RawURLEncoding.EncodedLen(statePlain + s.aead.Overhead())
}

// seal returns a State for the answer to a challenge.
func (s *stateSealer) seal(client, user string, keep opaque.Bytes, expires time.Time) ([]byte, error) {
	if keep.Len() > MaxKeep {
		return nil, fmt.Errorf("seal State: %d octets to keep, want at most %d", keep.Len(), MaxKeep)
	}
	plain := make([]byte, statePlain)
	plain[0] = stateVersion
	binary.BigEndian.PutUint64(plain[1:], uint64(expires.Unix()))
	plain[stateHead-1] = byte(keep.Len())
	copy(plain[stateHead:], keep.Reveal())
	sealed := s.aead.Seal(nil, nil, plain, boundTo(client, user))
	return base64.RawURLEncoding.AppendEncode(nil, sealed), nil
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
func (s *stateSealer) open(client, user string, state []byte, now time.Time) (openState, error) {
	// One text for each State: the length is looked at since the decoder would
	// skip line ends, and it is strict about the bits that it does not need.
	if len(state) != s.size() {
		return openState{}, errStateForeign
	}
	sealed, err := base64.RawURLEncoding.Strict().AppendDecode(nil, state)
	if err != nil {
		return openState{}, errStateForeign
	}
	plain, err := s.aead.Open(nil, nil, sealed, boundTo(client, user))
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
func boundTo(client, user string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(client)))
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
	byID  map[stateID]*stateEntry
	spent []stateEntry // in the order in which they are forgotten
}

type stateEntry struct {
	id     stateID
	spent  bool
	forget time.Time
}

func newStateSet(most int) *stateSet {
	return &stateSet{most: most, byID: make(map[stateID]*stateEntry)}
}

func (s *stateSet) take(id stateID, now time.Time) stateUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.spent) > 0 && !now.Before(s.spent[0].forget) {
		delete(s.byID, s.spent[0].id)
		s.spent = s.spent[1:]
	}
	switch e := s.byID[id]; {
	case e != nil && e.spent:
		return stateSpent
	case e != nil:
		return stateTaken
	case len(s.byID) >= s.most:
		return stateFull
	}
	s.byID[id] = &stateEntry{id: id}
	return stateFree
}

// release gives back a State that led to no decision: it may be used again.
func (s *stateSet) release(id stateID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// spend keeps a State from being used again for as long as it can be opened.
func (s *stateSet) spend(id stateID, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return
	}
	if n := len(s.spent); n > 0 && s.spent[n-1].forget.After(expires) {
		expires = s.spent[n-1].forget
	}
	e.spent, e.forget = true, expires
	s.spent = append(s.spent, *e)
}
