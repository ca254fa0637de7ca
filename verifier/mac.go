package verifier

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"slices"
)

// mac is HMAC (RFC 2104) for the few short messages of one login. crypto/hmac gets
// ready for many, which takes longer than the few do. It is for one goroutine.
type mac struct {
	*hashing
	inner []byte // the key with ipad, a block, and room behind it for a message
	outer []byte // the key with opad, a block, and room behind it for a hash
}

// newMAC returns the mac of h under key, with room for messages of so many octets.
// Longer ones only take longer. It uses what is in scratch, if that is enough.
func newMAC(h *hashing, key []byte, room int, scratch []byte) mac {
	if len(key) > h.block {
		key = h.sum(nil, key)
	}
	b := slices.Grow(scratch[:0], h.block+room+h.block+h.size)
	b = b[:cap(b)]
	m := mac{h, b[: h.block : h.block+room], b[h.block+room:][:h.block]}
	copy(m.inner, ipad)
	copy(m.outer, opad)
	subtle.XORBytes(m.inner, m.inner, key)
	subtle.XORBytes(m.outer, m.outer, key)
	return m
}

// The two of RFC 2104, section 2, as long as the longest block.
var (
	ipad = bytes.Repeat([]byte{0x36}, sha512.BlockSize)
	opad = bytes.Repeat([]byte{0x5c}, sha512.BlockSize)
)

// start returns what a message is to be appended to. The one before is overwritten.
func (m mac) start() []byte { return m.inner }

// end appends to dst the code of what has been appended to started.
func (m mac) end(dst, started []byte) []byte {
	return m.sum(dst, m.sum(m.outer, started))
}
