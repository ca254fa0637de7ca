package journal

import "encoding/binary"

// Record is one change: of an ID, to a Value with a Version, or to nothing.
type Record struct {
	ID      string
	Version uint64 // for Deleted, not below that of what was deleted
	Deleted bool
	Value   []byte // nil if Deleted
}

const (
	written = 1
	deleted = 2
)

// A record is its kind, 1 byte, then as varints with their bytes the version,
// the id and, unless deleted, the value.
func appendRecord(b []byte, r Record) []byte {
	kind := byte(written)
	if r.Deleted {
		kind = deleted
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, r.Version)
	b = binary.AppendUvarint(b, uint64(len(r.ID)))
	b = append(b, r.ID...)
	if r.Deleted {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(r.Value)))
	return append(b, r.Value...)
}

// parseRecords calls each for the records in b. Their Values are parts of b.
func parseRecords(b []byte, each func(Record)) error {
	for len(b) > 0 {
		p := parser{rest: b[1:]}
		r := Record{Deleted: b[0] == deleted}
		if b[0] != written && b[0] != deleted {
			return damaged("a record is of no known kind")
		}
		r.Version = p.number()
		r.ID = string(p.bytes())
		if !r.Deleted {
			r.Value = p.bytes()
		}
		if p.failed {
			return damaged("a record ends early")
		}
		each(r)
		b = p.rest
	}
	return nil
}

// parser takes values off the front of rest, and nothing after the first that
// is not there.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) number() uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.failed || n <= 0 {
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) bytes() []byte {
	n := p.number()
	if p.failed || n > uint64(len(p.rest)) {
		p.failed = true
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}
