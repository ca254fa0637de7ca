package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Group collects the changes that are to be appended together. The zero Group
// is empty and ready; an empty one may be appended too. It may be used again
// after Reset.
type Group struct {
	buf []byte // room for the header, then the records
}

// startBytes are enough that the memory begins on a page, as all larger pieces
// of Go's memory do. The kernel copies by pages: so it never leaves off inside
// a sector.
const startBytes = 64 << 10

// Reset empties g, and keeps its memory unless that is very large.
func (g *Group) Reset() {
	if cap(g.buf) < startBytes || cap(g.buf) > 4<<20 {
		g.buf = make([]byte, 0, startBytes)
	}
	g.buf = g.buf[:headerBytes]
}

// Add adds r, and copies it.
func (g *Group) Add(r Record) {
	if len(g.buf) == 0 {
		g.Reset()
	}
	g.buf = appendRecord(g.buf, r)
}

// size returns the bytes that g takes in a segment.
func (g *Group) size() int { return sectors(max(len(g.buf), headerBytes)) }

// seal writes the header, and returns g as it goes to disk, and its Mark.
func (g *Group) seal(seed uint32, before Mark) ([]byte, Mark) {
	if len(g.buf) == 0 {
		g.Reset()
	}
	h := header{length: len(g.buf) - headerBytes, group: before.Group + 1, before: before.Sum,
		payload: crc32.Checksum(g.buf[headerBytes:], castagnoli)}
	h.put(g.buf, seed)
	end := len(g.buf)
	for len(g.buf) < sectors(end) {
		g.buf = append(g.buf, 0)
	}
	return g.buf, Mark{h.group, h.sum}
}

// A header is the first 32 bytes of a group:
//
//	magic    4 bytes
//	length   uint32, of the records that follow
//	group    uint64, its number
//	before   uint32, the sum of the group before it
//	payload  uint32, CRC-32C of the records
//	         4 bytes, zero
//	sum      uint32, CRC-32C of all above, begun from the segment's seed
//
// Numbers have the high byte first. The last group's number and sum are its
// Mark: by way of payload, the sum is over the records too.
type header struct {
	length  int
	group   uint64
	before  uint32
	payload uint32
	sum     uint32
}

const (
	headerBytes = 32
	groupMagic  = "\xe7LkG"
)

func (h *header) put(b []byte, seed uint32) {
	copy(b, groupMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(h.length))
	binary.BigEndian.PutUint64(b[8:], h.group)
	binary.BigEndian.PutUint32(b[16:], h.before)
	binary.BigEndian.PutUint32(b[20:], h.payload)
	binary.BigEndian.PutUint32(b[24:], 0)
	h.sum = crc32.Update(seed, castagnoli, b[:28])
	binary.BigEndian.PutUint32(b[28:], h.sum)
}

// parseHeader reports whether b begins with a header of the segment of seed.
func parseHeader(b []byte, seed uint32) (h header, ok bool) {
	if len(b) < headerBytes || string(b[:4]) != groupMagic {
		return header{}, false
	}
	h = header{
		length:  int(binary.BigEndian.Uint32(b[4:])),
		group:   binary.BigEndian.Uint64(b[8:]),
		before:  binary.BigEndian.Uint32(b[16:]),
		payload: binary.BigEndian.Uint32(b[20:]),
		sum:     binary.BigEndian.Uint32(b[28:]),
	}
	return h, h.sum == crc32.Update(seed, castagnoli, b[:28])
}
