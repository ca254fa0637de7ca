package journal

import "hash/crc32"

// scanner reads the groups of one segment, one after the other.
type scanner struct {
	data  []byte // all of the file
	seed  uint32
	off   int // of the next group
	begun int // of the last one
	last  Mark
}

func newScanner(data []byte, l label) *scanner {
	return &scanner{data: data, seed: l.seed(), off: sectorBytes, begun: sectorBytes, last: l.after}
}

// next returns the records of the next group, or ok = false if there is none
// that is whole and follows on the last.
func (s *scanner) next() (records []byte, ok bool) {
	h, ok := s.header()
	if !ok || s.off+sectors(headerBytes+h.length) > len(s.data) {
		return nil, false
	}
	records = s.data[s.off+headerBytes:][:h.length]
	if crc32.Checksum(records, castagnoli) != h.payload {
		return nil, false
	}
	s.begun, s.off = s.off, s.off+sectors(headerBytes+h.length)
	s.last = Mark{h.group, h.sum}
	return records, true
}

// header returns the header at off if it is one that follows on the last.
func (s *scanner) header() (header, bool) {
	h, ok := parseHeader(s.data[s.off:], s.seed)
	return h, ok && h.group == s.last.Group+1 && h.before == s.last.Sum
}

// end returns nil if what stands at off, where next found no group, is the end
// of the log, or a torn write there. The package comment has the rule.
func (s *scanner) end() error {
	rest := s.data[s.off:]
	if zeros(rest) {
		return nil
	}
	for i := sectorBytes; i < len(rest); i += sectorBytes {
		if _, ok := parseHeader(rest[i:], s.seed); ok {
			return damaged("group %d, at byte %d, is not whole, and others follow", s.last.Group+1, s.off)
		}
	}
	if zeros(rest[:sectorBytes]) {
		return nil
	}
	h, ok := s.header()
	if !ok {
		return damaged("at byte %d stands what was never written", s.off)
	}
	n := sectors(headerBytes + h.length)
	if n > len(rest) || !zeros(rest[n:]) || !lacksSector(rest[:n]) {
		return damaged("group %d, at byte %d, was changed after it was written", h.group, s.off)
	}
	return nil
}

func lacksSector(b []byte) bool {
	for ; len(b) > 0; b = b[sectorBytes:] {
		if zeros(b[:sectorBytes]) {
			return true
		}
	}
	return false
}
