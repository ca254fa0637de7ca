package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A label is the first sector of a segment:
//
//	magic   8 bytes
//	format  uint32
//	        4 bytes, zero
//	id      16 bytes
//	number  uint64, of the segment
//	size    uint64, of the file, label and all
//	after   uint64 and uint32, the Mark of the group before the first here
//	        zeros, up to the last 4 bytes
//	sum     uint32, CRC-32C of all above
type label struct {
	id     ID
	number uint64
	size   int64
	after  Mark
}

const (
	labelMagic  = "\xe7LkJrnl\n"
	labelFormat = 1

	// maxSize bounds what a label can make Recover read into memory.
	maxSize = 64 << 20
)

func (l label) sector() []byte {
	b := make([]byte, sectorBytes)
	copy(b, labelMagic)
	binary.BigEndian.PutUint32(b[8:], labelFormat)
	copy(b[16:], l.id[:])
	binary.BigEndian.PutUint64(b[32:], l.number)
	binary.BigEndian.PutUint64(b[40:], uint64(l.size))
	binary.BigEndian.PutUint64(b[48:], l.after.Group)
	binary.BigEndian.PutUint32(b[56:], l.after.Sum)
	binary.BigEndian.PutUint32(b[sectorBytes-4:], crc32.Checksum(b[:sectorBytes-4], castagnoli))
	return b
}

// parseLabel takes the first sector of a segment.
func parseLabel(b []byte) (l label, err error) {
	switch {
	case len(b) < sectorBytes:
		return label{}, damaged("it has no label")
	case string(b[:8]) != labelMagic:
		return label{}, damaged("it is no log of lockstep")
	case crc32.Checksum(b[:sectorBytes-4], castagnoli) != binary.BigEndian.Uint32(b[sectorBytes-4:]):
		return label{}, damaged("the checksum of its label is wrong")
	case binary.BigEndian.Uint32(b[8:]) > labelFormat:
		return label{}, fmt.Errorf("the log has format %d, written by a newer lockstep; this one knows up to %d", binary.BigEndian.Uint32(b[8:]), labelFormat)
	case binary.BigEndian.Uint32(b[8:]) != labelFormat:
		return label{}, damaged("it has format %d; want %d", binary.BigEndian.Uint32(b[8:]), labelFormat)
	}
	copy(l.id[:], b[16:])
	l.number = binary.BigEndian.Uint64(b[32:])
	l.size = int64(binary.BigEndian.Uint64(b[40:]))
	l.after = Mark{binary.BigEndian.Uint64(b[48:]), binary.BigEndian.Uint32(b[56:])}
	if l.size < sectorBytes || l.size > maxSize || l.size%sectorBytes != 0 {
		return label{}, damaged("its label gives a size of %d bytes", l.size)
	}
	return l, nil
}

// seed begins the checksums of all groups of a segment, so that none is taken
// for one of another segment, or of another owner.
func (l label) seed() uint32 {
	return crc32.Checksum(binary.BigEndian.AppendUint64(l.id[:], l.number), castagnoli)
}
