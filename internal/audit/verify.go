package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strconv"
)

// BadLine is the first line that is not as it was written.
type BadLine struct {
	File string
	Line int // from 1
	Why  string
}

// Error returns file:line: why.
func (b *BadLine) Error() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Why) }

// Verifier checks the files of one trail, the oldest first. The zero Verifier
// begins with whatever file it is given. Nothing is kept of the files but what it
// counts: they may be of any size, and are hostile.
type Verifier struct {
	Records uint64 // that are right
	Lost    uint64 // that headers and records say are missing
	Torn    uint64 // fragments of lines, each described by the header behind it
	Wanted  string // a hash in hex; Found says whether some record has it
	Found   bool

	first  head
	at     head
	begun  bool
	owed   head // before a gap that a header tells of, and no record yet; valid if owing
	owing  bool
	wanted sum
	chain  *chain
}

// First returns the number of the first record, or 0 if there is none.
func (v *Verifier) First() uint64 {
	if v.Records == 0 {
		return 0
	}
	return v.first.seq + 1
}

// Head returns the number of the last record and its hash in hex.
func (v *Verifier) Head() (seq uint64, hash string) {
	return v.at.seq, hex.EncodeToString(v.at.hash[:])
}

// File checks the next file, which is called name in errors. An error is a *BadLine,
// or that of r. Nothing is to be called after one.
func (v *Verifier) File(name string, r io.Reader) error {
	if v.chain == nil {
		v.chain = newChain(head{})
		v.wanted.parse([]byte(v.Wanted))
	}
	f := verifying{Verifier: v, lines: lineReader{bufio.NewReaderSize(r, 64<<10), sha256.New()}}
	err := f.all()
	if bad := (*BadLine)(nil); errors.As(err, &bad) {
		bad.File = name
	} else if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return err
}

// verifying is one file under way.
type verifying struct {
	*Verifier
	lines  lineReader
	number int

	open     *BadLine // a line that is bad unless the next is a header that describes it
	openLen  uint64
	openHash sum
}

func (f *verifying) all() error {
	for {
		l, err := f.lines.next()
		if err == io.EOF && l.length == 0 {
			break
		}
		if err != nil && err != io.EOF {
			return err
		}
		f.number++
		if bad := f.line(l, err == io.EOF); bad != nil {
			return bad
		}
	}
	if f.open != nil {
		return f.open
	}
	if f.number == 0 {
		return &BadLine{Line: 1, Why: "missing: the file is empty"}
	}
	return nil
}

// line checks one line; unended is set if no newline follows. It returns a nil
// *BadLine as a nil error.
func (f *verifying) line(l rawLine, unended bool) error {
	parsed, err := parseLine(l.text)
	if f.open != nil {
		if err == nil && parsed.header && f.describes(l.text, parsed) == nil {
			f.open = nil
			f.Torn++
			return nil
		}
		return f.open
	}
	if unended {
		return f.bad("torn: the file ends in the middle of a line, and no header says why")
	}
	if err != nil {
		if l.object || json.Valid(l.text) {
			// No part of a line is that, and programs would take it for a record.
			return f.bad("changed: it is no record")
		}
		// Or a process was killed here, and the header behind it says so.
		f.open, f.openLen, f.openHash = f.bad("changed: it is no record"), l.length, l.hash
		return nil
	}
	if parsed.header {
		return f.header(l.text, parsed)
	}
	return f.record(l.text, parsed)
}

func (f *verifying) bad(format string, args ...any) *BadLine {
	return &BadLine{Line: f.number, Why: fmt.Sprintf(format, args...)}
}

func (f *verifying) right(prev sum, l line) bool { return f.chain.over(prev, l.text) == l.hash }

func (f *verifying) record(text []byte, l line) error {
	next := f.at.seq + 1
	switch {
	case f.number == 1:
		return f.bad("missing: the file does not begin with a header")
	case l.at.seq > next && l.at.seq == next+1:
		return f.bad("missing: record %d is not here", next)
	case l.at.seq > next:
		return f.bad("missing: records %d to %d are not here", next, l.at.seq-1)
	case l.at.seq < next:
		return f.bad("out of order: it is record %d, behind record %d", l.at.seq, f.at.seq)
	case !f.right(f.at.hash, l):
		return f.bad("changed: its hash is not that of record %d behind the records before", l.at.seq)
	}
	event, lost := string(member(text, `,"event":"`)), number(text, `,"records":`)
	if f.owing {
		// Anybody could have made that header, and nobody this record.
		if event != lostAtFile || lost != f.at.seq-f.owed.seq {
			return f.bad("missing: records %d to %d are not here, and the record behind them does not say so", f.owed.seq+1, f.at.seq)
		}
		f.owing = false
		f.Lost += lost
		f.look()
	}
	f.Records++
	f.at = l.at
	f.look()
	if event == "lost" {
		f.Lost += lost
	}
	return nil
}

// look notes whether the hash that is looked for is here.
func (v *Verifier) look() {
	if v.Wanted != "" && v.at.hash == v.wanted {
		v.Found = true
	}
}

func (f *verifying) header(text []byte, l line) error {
	if !f.right(l.at.hash, l) {
		return f.bad("changed: its hash is not that of this header")
	}
	if !plainHeader.Match(l.text) {
		return f.bad("changed: it is no header as they are written")
	}
	lost := number(text, `,"lost":`)
	switch {
	case !f.begun:
		f.begun, f.at, f.first = true, l.at, l.at
	case l.at == f.at:
	case l.at == head{}:
		return f.bad("missing: a new chain begins here, which says nothing of the records before")
	case l.at.seq < f.at.seq:
		return f.bad("out of order: it stands behind record %d, and the records here end with %d", l.at.seq, f.at.seq)
	case l.at.seq == f.at.seq:
		return f.bad("changed: it stands behind another record %d than the one that is here", l.at.seq)
	case l.at.seq-f.at.seq != lost:
		return f.bad("missing: records %d to %d are not here", f.at.seq+1, l.at.seq)
	case f.owing:
		return f.bad("missing: records %d to %d are not here, and no record says so", f.owed.seq+1, l.at.seq)
	default:
		f.owed, f.owing, f.at = f.at, true, l.at
	}
	return nil
}

// plainHeader is what headers are like. Anybody can make one, since they are no part
// of the chain: so one may hold nothing by which it could pass for a record.
var plainHeader = regexp.MustCompile(`^\{"after":[0-9]+,"prev":"[0-9a-f]{64}","time":"[0-9TZ:.-]+","event":"file"` +
	`(,"lost":[0-9]+)?(,"torn":[0-9]+,"torn_sha256":"[0-9a-f]{64}")?,"host":"([ !#-\[\]-~]|\\["\\u])*"$`)

// describes returns nil if a header is right and tells of the line before it.
func (f *verifying) describes(text []byte, l line) error {
	if err := f.header(text, l); err != nil {
		return err
	}
	if number(text, `,"torn":`) != f.openLen || string(member(text, `,"torn_sha256":"`)) != hex.EncodeToString(f.openHash[:]) {
		return errNoRecord
	}
	return nil
}

// number returns the member of a line behind mark, 0 if there is none.
func number(text []byte, mark string) uint64 {
	_, rest, _ := bytes.Cut(text, []byte(mark))
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
	return n
}

// rawLine is a line without its newline.
type rawLine struct {
	text   []byte // its first octets, valid until the next line
	length uint64
	long   bool // text is not there
	object bool // it is long, and begins as an object
	hash   sum  // of all of it, unless it is like a record
}

// lineReader reads lines of any length in bounded memory.
type lineReader struct {
	r   *bufio.Reader
	sha hash.Hash
}

// next returns a line. io.EOF comes with the last one if no newline ends it.
func (r *lineReader) next() (l rawLine, err error) {
	text, err := r.r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		l.text = bytes.TrimSuffix(text, []byte("\n"))
		l.length = uint64(len(l.text))
		if _, bad := parseLine(l.text); bad != nil {
			l.hash = sha256.Sum256(l.text)
		}
		return l, err
	}
	l.long = true
	l.object = bytes.HasPrefix(bytes.TrimLeft(text, " \t\r"), []byte("{"))
	r.sha.Reset()
	for ; err == bufio.ErrBufferFull; text, err = r.r.ReadSlice('\n') {
		r.sha.Write(text)
		l.length += uint64(len(text))
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	r.sha.Write(text)
	l.length += uint64(len(text))
	r.sha.Sum(l.hash[:0])
	return l, err
}
