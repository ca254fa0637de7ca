package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
)

// sum is the hash of a line.
type sum [sha256.Size]byte

// head is where the chain is: behind the record of that number, which has that
// hash. The zero head is before the first record.
type head struct {
	seq  uint64
	hash sum
}

const (
	hashMark = `,"hash":"`
	tailLen  = len(hashMark) + 2*sha256.Size + len(`"}`)
)

// chain makes lines.
type chain struct {
	head
	sha hash.Hash
}

func newChain(from head) *chain { return &chain{from, sha256.New()} }

// record appends the record of body to b and moves on.
func (c *chain) record(b, body []byte) []byte {
	start := len(b)
	c.seq++
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, c.seq, 10)
	b = append(b, ',')
	b = append(b, body...)
	c.hash = c.over(c.hash, b[start:])
	return finish(b, &c.hash)
}

// header appends a header that stands behind at.
func (c *chain) header(b []byte, at head, body []byte) []byte {
	start := len(b)
	b = append(b, `{"after":`...)
	b = strconv.AppendUint(b, at.seq, 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, at.hash[:])
	b = append(b, `",`...)
	b = append(b, body...)
	sum := c.over(at.hash, b[start:])
	return finish(b, &sum)
}

func (c *chain) over(prev sum, text []byte) (s sum) {
	c.sha.Reset()
	c.sha.Write(prev[:])
	c.sha.Write(text)
	c.sha.Sum(s[:0])
	return s
}

func finish(b []byte, s *sum) []byte {
	b = append(b, hashMark...)
	b = hex.AppendEncode(b, s[:])
	return append(b, "\"}\n"...)
}

// line is what a line says of its place.
type line struct {
	text   []byte // that is hashed
	hash   sum    // that it claims
	header bool
	at     head // a header's: the place; a record's: its number, and hash again
}

// errNoRecord is for a line that is neither a record nor a header.
var errNoRecord = errors.New("it is no record")

// parseLine reads a line without its newline. It does not check the hash.
func parseLine(b []byte) (l line, err error) {
	if len(b) < tailLen || len(b) >= MaxLine {
		return l, errNoRecord
	}
	l.text = b[:len(b)-tailLen]
	tail := b[len(l.text):]
	sumText, ok := bytes.CutPrefix(tail, []byte(hashMark))
	if !ok || !bytes.HasSuffix(tail, []byte(`"}`)) || !l.hash.parse(sumText[:2*sha256.Size]) {
		return l, errNoRecord
	}
	rest, ok := bytes.CutPrefix(l.text, []byte(`{"seq":`))
	if ok {
		l.at.hash = l.hash
		l.at.seq, _, ok = cutNumber(rest)
		ok = ok && l.at.seq > 0
	} else if rest, l.header = bytes.CutPrefix(l.text, []byte(`{"after":`)); l.header {
		l.at.seq, rest, ok = cutNumber(rest)
		rest, l.header = bytes.CutPrefix(rest, []byte(`"prev":"`))
		ok = ok && l.header && len(rest) >= 2*sha256.Size && l.at.hash.parse(rest[:2*sha256.Size])
	}
	if !ok {
		return l, errNoRecord
	}
	return l, nil
}

// parse takes lower-case hex digits, of which there must be enough.
func (s *sum) parse(text []byte) bool {
	if bytes.ContainsAny(text, "ABCDEF") { // one form for one hash
		return false
	}
	n, err := hex.Decode(s[:], text)
	return err == nil && n == len(s)
}

// cutNumber cuts a number and the comma behind it from the start of b.
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	digits, rest, ok := bytes.Cut(b, []byte(","))
	if !ok || len(digits) == 0 || len(digits) > 20 || len(digits) > 1 && digits[0] == '0' || digits[0] == '+' {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	return n, rest, err == nil
}
