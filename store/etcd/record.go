package etcd

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"lockstep/store"
	"lockstep/verifier"
)

// record is what is at a key.
type record struct {
	rev   int64  // ModRevision; 0 if there is nothing
	value []byte // never changed
}

// A value begins with its format and a nonce, by which the writer knows it
// again if the answer to the write was lost. A changed nonce is harmless: the
// writer then takes its write for that of another, and gets a conflict.
const (
	format     = 1
	nonceBytes = 8
	headBytes  = 1 + nonceBytes
)

// seal returns content with a new head.
func seal(content []byte) []byte {
	value := make([]byte, headBytes, headBytes+len(content))
	value[0] = format
	rand.Read(value[1:])
	return append(value, content...)
}

// unseal returns the content of value.
func unseal(value []byte) ([]byte, error) {
	switch {
	case len(value) < headBytes:
		return nil, fmt.Errorf("%w: record is too short", store.ErrDamaged)
	case value[0] > format:
		return nil, fmt.Errorf("%w or %w: its envelope has format %d, this one knows up to %d", store.ErrDamaged, store.ErrNewer, value[0], format)
	case value[0] != format:
		return nil, fmt.Errorf("%w, or of another version: its envelope has format %d, want %d", store.ErrDamaged, value[0], format)
	default:
		return value[headBytes:], nil
	}
}

// ours reports whether value was written with the nonce of mine.
func ours(value, mine []byte) bool {
	return len(value) >= headBytes && len(mine) >= headBytes && bytes.Equal(value[:headBytes], mine[:headBytes])
}

// same reports whether both hold the same State.
func same(a, b []byte) bool {
	return len(a) >= headBytes && len(b) >= headBytes && bytes.Equal(a[headBytes:], b[headBytes:])
}

func encodeRecord(s verifier.State) ([]byte, error) {
	encoded := store.Encode(s)
	// What cannot be read back would shut the key out for good.
	if err := store.Check(encoded); err != nil {
		return nil, err
	}
	return seal(encoded), nil
}

// decodeRecord returns a State that shares nothing with value.
func decodeRecord(value []byte) (verifier.State, error) {
	content, err := unseal(value)
	if err != nil {
		return verifier.State{}, err
	}
	return store.Decode(content)
}
