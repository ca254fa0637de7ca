package ldapsync

import "strings"

// shelf holds records that come in a refresh side by side, some hundred in one piece
// of memory. Of a million, each in memory of its own, the garbage collector would
// have twice as much to look at, and a tenth more would be taken.
//
// A piece is freed when none of its records is used any more, so records that come one
// by one are better off alone.
type shelf struct {
	records []record
	texts   strings.Builder
}

// What is in one piece: records, and octets of text.
const (
	shelfRecords = 128
	shelfOctets  = 16 << 10
)

// record returns a record with a copy of text.
func (s *shelf) record(text []byte) *record {
	if len(s.records) == cap(s.records) {
		s.records = make([]record, 0, shelfRecords)
	}
	s.records = append(s.records, record{text: s.text(text)})
	return &s.records[len(s.records)-1]
}

func (s *shelf) text(text []byte) string {
	if len(text) > shelfOctets/8 {
		return string(text)
	}
	if s.texts.Cap()-s.texts.Len() < len(text) {
		s.texts.Reset()
		s.texts.Grow(shelfOctets)
	}
	// What is behind the end of a Builder's string can be written without harm to it.
	start := s.texts.Len()
	s.texts.Write(text)
	return s.texts.String()[start:]
}

// newRecord returns a record of r.text.
func (r *replica) newRecord() *record {
	if !r.many {
		return &record{text: string(r.text), seen: r.turn}
	}
	rec := r.shelf.record(r.text)
	rec.seen = r.turn
	return rec
}
