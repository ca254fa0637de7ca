package verifier

import (
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// coder makes the codes of one key, as numbers. A search for a code that is out
// of step goes through thousands of them, which is why pquerna/otp, which starts
// from the key's base32 text each time, makes only the single ones.
type coder struct {
	mac     mac       // in scratch, so a coder is not copied
	many    hash.Hash // the same for thousands; nil before forMany
	modulo  uint32
	step    [8]byte
	sum     [sha512.Size]byte
	scratch [2*sha512.BlockSize + 8 + sha512.Size]byte
}

func newCoder(k Key) *coder {
	c := &coder{modulo: 1}
	c.mac = newMAC(k.Algorithm.hashing(), k.Bytes.Reveal(), 8, c.scratch[:])
	for range k.Digits {
		c.modulo *= 10
	}
	return c
}

// forMany gets c ready to make thousands of codes of k, which takes longer than
// making a few and then saves a third of the time or more.
func (c *coder) forMany(k Key) { c.many = hmac.New(c.mac.new, k.Bytes.Reveal()) }

// code returns the code of step (RFC 4226, section 5.3), or none of any digits
// for a step before 1970 or its first, which is 0 and stands for none in a State.
func (c *coder) code(step int64) uint32 {
	if step <= 0 {
		return noCode
	}
	sum := c.hmac(step)
	offset := sum[len(sum)-1] & 0xf
	return (binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff) % c.modulo
}

const noCode = 1 << 31

func (c *coder) hmac(step int64) []byte {
	if c.many == nil {
		return c.mac.end(c.sum[:0], binary.BigEndian.AppendUint64(c.mac.start(), uint64(step)))
	}
	c.many.Reset()
	binary.BigEndian.PutUint64(c.step[:], uint64(step))
	c.many.Write(c.step[:])
	return c.many.Sum(c.sum[:0])
}

// match returns the index in codes of the one that is step's, or -1. It looks
// at all of them, in constant time.
func (c *coder) match(step int64, codes []uint32) int {
	want, found := c.code(step), -1
	for i := len(codes) - 1; i >= 0; i-- {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeEq(int32(codes[i]), int32(want)), i, found)
	}
	return found
}

// number returns digits as a number. There are 8 at most.
func number(digits []byte) uint32 {
	n := uint32(0)
	for _, d := range digits {
		n = n*10 + uint32(d-'0')
	}
	return n
}
