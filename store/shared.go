package store

import (
	"time"

	"lockstep/internal/opaque"
)

// SharedKeys are what the servers of one store share, so that one of them can
// open what another has sealed.
type SharedKeys struct {
	Cluster opaque.Bytes // 32 bytes, made once; they never change

	// Sealing has at least one key. Seal with the first; whatever any of them
	// opens is good.
	Sealing []SealingKey
}

// SealingKey is one of the keys that take turns. IDs are unique among those
// that are in use at one time.
type SealingKey struct {
	ID  uint32
	Key opaque.Bytes // 32 bytes
}

// Peer is another server of the store.
type Peer struct {
	Name    string
	Version string        // of its program
	Ahead   time.Duration // its clock against ours, positive if it is ahead; 0 until it was first heard live
	Seen    time.Time     // by our clock, when it was heard last; by its own if it has not been heard since we started
}
