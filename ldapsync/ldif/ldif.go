// Package ldif reads the content of a directory from an LDIF file (RFC 2849)
// and changes single records of such a file in place.
//
// [Parse] reads content records only. It refuses what has no place in a file
// that is somebody's list of accounts: lists of changes, values read from
// other files by URL, two records of one name. It is stricter than RFC 2849 in
// these limits: 64 MiB a file, 4 million lines, 64 KiB a value; and more
// lenient in one point: text in UTF-8 may be written without base64.
//
// [Set] changes one record and leaves every other byte of the file alone.
//
// # What it promises
//
//   - Parse returns all records or an error, never some of them.
//   - No error quotes a value: passwords and keys are among them.
//   - Any input is taken, however hostile, within the limits above.
//   - After Set, also after a crash within it, the file holds the old content or
//     the new, and the new one reads back as exactly what was asked for.
//
// It does not know schemas: attribute names are compared as text, without case,
// so that "cn" and "commonName" are two attributes.
package ldif

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The limits of what Parse accepts, in octets and in lines.
const (
	maxFile  = 64 << 20
	maxValue = 64 << 10
	maxLines = 4 << 20
)

// A Record is one entry of the directory. It holds keys and password hashes: it
// must not be printed.
type Record struct {
	// DN is the name as the file has it, decoded. It is valid UTF-8 and not
	// empty. See [NormalizeDN] for comparing.
	DN string

	// Attrs holds the values by attribute name, in the order of the file. Names
	// are in lower case and keep their options: "usercertificate;binary".
	// A value may be empty and may hold any octet.
	Attrs map[string][]string

	// Line is the line of the file that the DN begins in, counted from 1.
	Line int
}

// Get returns the first value of attr, in any case, or "" if there is none.
func (r *Record) Get(attr string) string {
	if values := r.Attrs[strings.ToLower(attr)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// An Error says what is wrong with a file, and where.
type Error struct {
	Line int    // counted from 1; 0 if it is about the whole file
	Msg  string // quotes nothing of the file
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Parse reads all records of r. An empty file is no records and no error.
//
// When the text is at fault the error is an [*Error] that tells the first
// fault; when r fails it wraps what r returned. There are no records then.
func Parse(r io.Reader) ([]Record, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	entries, err := parse(data)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(entries))
	for i, e := range entries {
		records[i] = Record{DN: e.dn, Attrs: e.attrs(), Line: e.line}
	}
	return records, nil
}

func readAll(r io.Reader) ([]byte, error) {
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read LDIF: %w", err)
	}
	if n > maxFile {
		return nil, &Error{Msg: "the file is larger than 64 MiB"}
	}
	return data.Bytes(), nil
}
