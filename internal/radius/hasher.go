package radius

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"hash"
	"sync"
)

// hasher computes MD5 and HMAC-MD5. It is used again and again, because to
// allocate what crypto/hmac wants takes longer than to compute: each login has
// two HMACs and two to nine MD5s.
type hasher struct {
	md5   hash.Hash
	block [md5.BlockSize]byte // the key of the HMAC, padded
	last  [md5.Size]byte
}

var hashers = sync.Pool{New: func() any { return &hasher{md5: md5.New()} }}

func newHasher() *hasher {
	h := hashers.Get().(*hasher)
	h.md5.Reset()
	return h
}

func (h *hasher) free() {
	clear(h.block[:]) // it is a secret
	hashers.Put(h)
}

func (h *hasher) write(b []byte) { h.md5.Write(b) }

// writeShort is for what would have to be allocated otherwise, since write lets
// it escape.
func (h *hasher) writeShort(b [md5.Size]byte) {
	h.last = b
	h.write(h.last[:])
}

// end returns the MD5 of what was written, and begins another.
func (h *hasher) end() [md5.Size]byte {
	h.md5.Sum(h.last[:0])
	h.md5.Reset()
	return h.last
}

// The pads of HMAC (RFC 2104, section 2): the inner one, and what makes it the
// outer one.
var innerPad, otherPad = padOf(0x36), padOf(0x36 ^ 0x5c)

func padOf(b byte) *[md5.BlockSize]byte {
	return (*[md5.BlockSize]byte)(bytes.Repeat([]byte{b}, md5.BlockSize))
}

// beginMAC begins an HMAC over what is written until endMAC.
func (h *hasher) beginMAC(key []byte) {
	if len(key) > len(h.block) {
		h.write(key)
		sum := h.end()
		copy(h.block[:], sum[:])
	} else {
		copy(h.block[:], key)
	}
	h.pad(innerPad)
}

func (h *hasher) endMAC() [md5.Size]byte {
	inner := h.end()
	h.pad(otherPad)
	h.writeShort(inner)
	return h.end()
}

func (h *hasher) pad(with *[md5.BlockSize]byte) {
	subtle.XORBytes(h.block[:], h.block[:], with[:])
	h.write(h.block[:])
}
