package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// place is where a key stands in the text.
type place struct {
	line   int // from 1
	offset int // in octets
}

// indexKeys returns where each key of a TOML text was first mentioned, tables
// and the elements of arrays included, by its path as [join] writes it. It is
// needed because the TOML library gives no position for a key that nobody has
// asked for, or that has the wrong type. text must have been accepted by that
// library: nothing is promised for other texts but to end.
func indexKeys(text string) map[string]place {
	s := &scanner{text: text, line: 1, places: map[string]place{}, elements: map[string]int{}}
	if strings.HasPrefix(text, "\ufeff") {
		s.pos = len("\ufeff")
	}
	table := ""
	for s.skipBlank(); s.pos < len(text); s.skipBlank() {
		start := s.pos
		if text[s.pos] == '[' {
			table = s.header()
		} else {
			s.pair(table)
		}
		s.ensureProgress(start)
	}
	return s.places
}

// join appends key to the path of its table. A key that is not bare is quoted,
// which also keeps control characters out of faults.
func join(path, key string) string {
	bare := key != "" && strings.IndexFunc(key, func(r rune) bool { return r > 0x7f || !isBare(byte(r)) }) < 0
	if !bare {
		key = strconv.QuoteToASCII(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

type scanner struct {
	text     string
	pos      int
	line     int // of counted
	counted  int // newlines before this offset are in line
	places   map[string]place
	elements map[string]int // by path of an array of tables, how many it has so far
}

func (s *scanner) mark(path string, at int) {
	s.line += strings.Count(s.text[s.counted:at], "\n")
	s.counted = at
	if _, ok := s.places[path]; !ok {
		s.places[path] = place{s.line, at}
	}
}

// ensureProgress keeps a text that is not TOML from stopping the scan for ever.
func (s *scanner) ensureProgress(start int) {
	if s.pos == start {
		s.pos++
	}
}

func (s *scanner) at(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

func (s *scanner) skip(set string) {
	for s.pos < len(s.text) && strings.IndexByte(set, s.text[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *scanner) skipUntil(set string) {
	if n := strings.IndexAny(s.text[s.pos:], set); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.text)
	}
}

func (s *scanner) skipBlank() {
	for s.skip(" \t\r\n"); s.at("#"); s.skip(" \t\r\n") {
		s.skipUntil("\n")
	}
}

// header reads [table] or [[table]] and returns the path that it opens.
func (s *scanner) header() string {
	start := s.pos
	array := s.at("[[")
	s.skip("[")
	parts := s.key()
	s.skip(" \t]")

	path := ""
	for i, part := range parts {
		path = join(path, part)
		s.mark(path, start)
		n := s.elements[path]
		if array && i == len(parts)-1 {
			n++
			s.elements[path] = n
		}
		// A header below an array of tables means the array's last table.
		if n > 0 {
			path = element(path, n-1)
			s.mark(path, start)
		}
	}
	return path
}

// pair reads key = value in the table at path.
func (s *scanner) pair(path string) {
	start := s.pos
	for _, part := range s.key() {
		path = join(path, part)
		s.mark(path, start)
	}
	if s.at("=") {
		s.pos++
		s.value(path)
	}
}

// key reads a key, dotted or not, and the space around it.
func (s *scanner) key() (parts []string) {
	for {
		s.skip(" \t")
		parts = append(parts, s.keyPart())
		s.skip(" \t")
		if !s.at(".") {
			return parts
		}
		s.pos++
	}
}

func (s *scanner) keyPart() string {
	start := s.pos
	if s.at(`"`) || s.at("'") {
		return unquote(s.quoted())
	}
	for s.pos < len(s.text) && isBare(s.text[s.pos]) {
		s.pos++
	}
	return s.text[start:s.pos]
}

// unquote leaves the escapes to the library, so that both agree on the key.
func unquote(raw string) string {
	var v struct{ K string }
	if _, err := toml.Decode("K = "+raw, &v); err != nil {
		return raw
	}
	return v.K
}

// maxPath is the length in octets of the longest path that is extended. No
// setting is nested as deep, and the paths of brackets by the thousand would
// take memory by the square.
const maxPath = 4096

// value skips the value of the key at path, and marks what is in it.
func (s *scanner) value(path string) {
	if len(path) > maxPath {
		path = "…" // is no path that join could return
	}
	s.skip(" \t")
	switch {
	case s.at(`"`), s.at("'"):
		s.quoted()
	case s.at("["):
		i := 0
		s.members("]", func() {
			s.mark(element(path, i), s.pos)
			s.value(element(path, i))
			i++
		})
	case s.at("{"):
		s.members("}", func() { s.pair(path) })
	default:
		s.skipUntil(",]}#\n")
	}
}

// members calls read at each member of an array or inline table, up to end.
func (s *scanner) members(end string, read func()) {
	s.pos++
	for s.skipBlank(); s.pos < len(s.text); s.skipBlank() {
		start := s.pos
		switch {
		case s.at(end):
			s.pos++
			return
		case s.at(","):
			s.pos++
		default:
			read()
		}
		s.ensureProgress(start)
	}
}

// quoted skips a string of any of the four kinds and returns it, quotes
// included.
func (s *scanner) quoted() string {
	start := s.pos
	quote := s.text[s.pos : s.pos+1]
	end := quote
	if s.at(quote + quote + quote) {
		end = quote + quote + quote
	}
	for s.pos += len(end); s.pos < len(s.text) && !s.at(end); s.pos++ {
		if quote == `"` && s.at(`\`) {
			s.pos++
		}
	}
	s.pos = min(s.pos+len(end), len(s.text))
	// Up to two quotes before the closing three belong to the string.
	for n := 0; n < 2 && len(end) == 3 && s.at(quote); n++ {
		s.pos++
	}
	return s.text[start:s.pos]
}
