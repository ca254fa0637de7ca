package ldif

import "bytes"

// A line is a logical line: what folding has made several is one again.
type line struct {
	text       []byte // without the line ending
	num        int    // of its first physical line, from 1
	start, end int    // offsets in the file, line ending included
}

// A scanner cuts a file into logical lines.
type scanner struct {
	data []byte
	pos  int
	num  int // physical lines read
}

func newScanner(data []byte) *scanner {
	s := &scanner{data: data}
	if bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")) {
		s.pos = 3 // byte order mark, which editors put in front of UTF-8
	}
	return s
}

// next returns the next logical line, comments and blank lines included, or
// false at the end. A continuation with nothing to continue is returned as it
// is, with its space.
func (s *scanner) next() (line, bool) {
	if s.pos == len(s.data) {
		return line{}, false
	}
	l := line{start: s.pos, num: s.num + 1}
	l.text = s.physical()
	// RFC 2849, note 2: a line that begins with a space goes on with the one
	// before. A comment is folded likewise; a blank line ends the record.
	folded := false
	for len(l.text) > 0 && s.pos < len(s.data) && s.data[s.pos] == ' ' {
		if !folded {
			l.text, folded = bytes.Clone(l.text), true
		}
		l.text = append(l.text, s.physical()[1:]...)
	}
	l.end = s.pos
	return l, true
}

// physical returns the next line of the file, without LF or CR LF.
func (s *scanner) physical() []byte {
	s.num++
	rest := s.data[s.pos:]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		s.pos = len(s.data)
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	s.pos += i + 1
	return bytes.TrimSuffix(rest[:i], []byte("\r"))
}
