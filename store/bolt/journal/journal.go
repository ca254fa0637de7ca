// Package journal is a log of changes that go to disk in groups, for a store
// that keeps the changes in memory until it has put them elsewhere.
//
// The log is a chain of segments: files of a fixed size, full of zeros at
// first. A group of changes is written at the next sector boundary, with one
// write and one sync, and is part of the log or not as a whole. Groups are
// numbered through all segments, and each names the checksum of the one
// before it.
//
// # What it promises
//
//   - A group for which [Segment.Append] returned nil is read back by
//     [Recover] after kill -9 and power loss, as long as the disk keeps what
//     it said it has.
//   - A group whose Append failed is read back whole or not at all, and never
//     once a later group, in the next segment, was appended.
//   - A log that lacks a group which was followed by others, that is of
//     another owner, that does not go with the Mark of its owner, or of which
//     a file is missing or cut short, is an error.
//
// # Torn or damaged
//
// A power cut can tear the group that was being written: any of its sectors
// may be missing, and those are zeros still. It is never followed by another,
// because the next is written after the sync of the one before has returned.
// So the end of the log is where the last segment has no further valid group,
// and what stands there is cut off, if
//
//   - all of it is zeros, or
//   - its first sector is zeros, or its header is whole, which says how long
//     the group would be, and a sector of it is zeros, and nothing follows it;
//   - and no sector begins with a header of this segment further on.
//
// Anything else was written whole once and has changed since: that is damage,
// and an error, because to go on without it would make spent codes good. Sectors
// are taken to have 512 bytes and to be written whole or not at all.
//
// Damage to the last group that leaves a sector of it all zeros cannot be told
// from a torn write. Nor can a whole file at the end of the chain that is
// gone, except by the owner, who says how far the chain went at least.
//
// What is read from disk is taken for damaged until it has proved otherwise.
// The checksums tell accidents, not attackers: who can write the files can
// forge them.
package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrDamaged is wrapped by errors about files that hold what was never
// written, or no longer all that was.
var ErrDamaged = errors.New("the log is damaged")

// ErrDoubtful is wrapped by the errors of a Segment that takes no more groups,
// because one may be in it, or not.
var ErrDoubtful = errors.New("the end of the log is in doubt")

// ID says to whom a log belongs. It is meant to be random.
type ID [16]byte

// Mark is a place in a log: the number of a group, from 1, and its checksum.
// The zero Mark is before the first.
type Mark struct {
	Group uint64
	Sum   uint32
}

const sectorBytes = 512

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sectors returns n rounded up to whole sectors.
func sectors(n int) int { return (n + sectorBytes - 1) / sectorBytes * sectorBytes }

// zeros reports whether b holds nothing else.
func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
