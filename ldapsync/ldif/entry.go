package ldif

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// An entry is a record and where it lies in the file.
type entry struct {
	dn, key string // as written; normalised
	line    int
	start   int // offset of the dn line
	end     int // offset after the last field
	fields  []field
}

// A field is one attribute value and where it lies in the file.
type field struct {
	name, value string // name in lower case
	start, end  int
}

func (e *entry) attrs() map[string][]string {
	attrs := make(map[string][]string)
	for _, f := range e.fields {
		attrs[f.name] = append(attrs[f.name], f.value)
	}
	return attrs
}

func (e *entry) named(name string) []field {
	var found []field
	for _, f := range e.fields {
		if f.name == name {
			found = append(found, f)
		}
	}
	return found
}

// A parser collects entries. Its methods return errors without a line, which
// parse adds.
type parser struct {
	entries []entry
	open    bool           // the last entry has not ended yet
	begun   bool           // anything but comments and blank lines was read
	lines   map[string]int // line by normalised DN
}

func parse(data []byte) ([]entry, error) {
	p := parser{lines: make(map[string]int)}
	s := newScanner(data)
	for {
		l, ok := s.next()
		if !ok {
			break
		}
		if s.num > maxLines {
			return nil, &Error{Line: l.num, Msg: fmt.Sprintf("more than %d lines", maxLines)}
		}
		if err := p.take(l); err != nil {
			return nil, err
		}
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	return p.entries, nil
}

func (p *parser) take(l line) error {
	if len(l.text) == 0 {
		return p.close()
	}
	if l.text[0] == '#' {
		return nil
	}
	if err := p.takeField(l); err != nil {
		return &Error{Line: l.num, Msg: err.Error()}
	}
	p.begun = true
	return nil
}

func (p *parser) takeField(l line) error {
	name, value, err := split(l.text)
	if err != nil {
		return err
	}
	switch attrType, _, _ := strings.Cut(name, ";"); {
	case attrType == "changetype":
		return errors.New("changetype: this file is the content of a directory, not a list of changes")
	case attrType == "control":
		return errors.New("control: this file is the content of a directory, not a list of changes")
	case attrType == "dn" && p.open:
		return errors.New("second dn in one record; put a blank line between records, without spaces in it")
	case name == "dn":
		return p.begin(l, value)
	case p.open:
		e := &p.entries[len(p.entries)-1]
		e.fields = append(e.fields, field{name: name, value: value, start: l.start, end: l.end})
		e.end = l.end
		return nil
	case name == "version" && !p.begun:
		if value != "1" {
			return errors.New("want version 1, the only one there is")
		}
		return nil
	case name == "version":
		return errors.New("version belongs before the first record only")
	}
	return errors.New(`want "dn:" at the start of a record; output of ldapsearch needs -LLL`)
}

func (p *parser) begin(l line, dn string) error {
	key, err := NormalizeDN(dn)
	if err != nil {
		return err
	}
	if first, ok := p.lines[key]; ok {
		return fmt.Errorf("second record of this DN; the first is at line %d", first)
	}
	p.lines[key] = l.num
	p.entries = append(p.entries, entry{dn: dn, key: key, line: l.num, start: l.start, end: l.end})
	p.open = true
	return nil
}

func (p *parser) close() error {
	if !p.open {
		return nil
	}
	p.open = false
	if e := &p.entries[len(p.entries)-1]; len(e.fields) == 0 {
		return &Error{Line: e.line, Msg: "record without attributes"}
	}
	return nil
}

// split takes a logical line apart into the name, in lower case, and the value,
// decoded (RFC 2849, value-spec).
func split(text []byte) (name, value string, err error) {
	if text[0] == ' ' {
		return "", "", errors.New("continuation line without a line before it")
	}
	if bytes.ContainsAny(text, "\x00\r") {
		return "", "", errors.New("NUL or carriage return within a line; such values need base64")
	}
	raw, rest, ok := bytes.Cut(text, []byte(":"))
	if !ok {
		return "", "", errors.New(`want "attribute: value"; a line that continues a value begins with a space`)
	}
	if !validName(string(raw)) {
		return "", "", errors.New("no attribute name before the colon; a line that continues a value begins with a space")
	}
	value, err = decode(rest)
	if err == nil && len(value) > maxValue {
		err = errors.New("value over 64 KiB")
	}
	return strings.ToLower(string(raw)), value, err
}

// decode reads what stands after the first colon.
func decode(rest []byte) (string, error) {
	if bytes.HasPrefix(rest, []byte("<")) {
		// Or whoever may write the file reads others through this server.
		return "", errors.New(`value from a URL (":<") is not read; write the value itself`)
	}
	if text, ok := bytes.CutPrefix(rest, []byte(":")); ok {
		value, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimLeft(text, " ")))
		if err != nil {
			return "", errors.New("value is not base64")
		}
		return string(value), nil
	}
	value := bytes.TrimLeft(rest, " ")
	// RFC 2849, SAFE-INIT-CHAR.
	if bytes.HasPrefix(value, []byte(":")) || bytes.HasPrefix(value, []byte("<")) {
		return "", errors.New("value that begins with a colon or < needs base64")
	}
	if !utf8.Valid(value) {
		return "", errors.New("value is not UTF-8; write it in base64")
	}
	return string(value), nil
}

// validName reports whether s is an attribute description: a name or an OID,
// with options (RFC 4512, section 2.5).
func validName(s string) bool {
	attrType, options, hasOptions := strings.Cut(s, ";")
	if !validType(attrType) {
		return false
	}
	if !hasOptions {
		return true
	}
	for option := range strings.SplitSeq(options, ";") {
		if option == "" || strings.ContainsFunc(option, notKeyChar) {
			return false
		}
	}
	return true
}

func validType(s string) bool {
	if s == "" {
		return false
	}
	if isDigit(s[0]) {
		return !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && notKeyChar(r) || isLetter(r) || r == '-' }) &&
			!strings.Contains(s, "..") && !strings.HasSuffix(s, ".")
	}
	return isLetter(rune(s[0])) && !strings.ContainsFunc(s, notKeyChar)
}

func isLetter(r rune) bool   { return 'a' <= r|0x20 && r|0x20 <= 'z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func notKeyChar(r rune) bool { return !isLetter(r) && (r < '0' || '9' < r) && r != '-' }
