package config

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// decode reads text as TOML, or returns the fault that stopped it. The
// library's own messages are never passed on: they quote what they stumbled
// over, which may be a secret that lacks its quotes.
func decode(text string) (map[string]any, *Fault) {
	// The library would skip the two octets that UTF-16 begins with.
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, &Fault{Line: 1, Message: "the file is not UTF-8"}
	}
	var values map[string]any
	_, err := toml.Decode(text, &values)
	if err == nil {
		return values, nil
	}
	fault := &Fault{Message: "not valid TOML"}
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		fault.Line = max(parse.Position.Line, 1)
		fault.Message = reword(parse.Message)
	}
	return nil, fault
}

// reword returns our own text for a message of the library, by a few words
// that the library does not take from the file.
func reword(message string) string {
	for _, kind := range []struct{ start, message string }{
		{"strings cannot contain newlines", "a string is not closed on its line"},
		{"unexpected EOF", "the file ends in the middle of a setting; look for an open quote or bracket"},
		{"expected value but found", `no such kind of value; a string needs quotes, such as "text"`},
		{"expected '.' or '='", "want key = value"},
		{"expected a top-level item to end", "more on the line than one setting"},
		{"expected a comma", "want a comma or the closing bracket"},
		{"unexpected comma", "one comma too many"},
		{"expected end of table array name", "want ]] at the end of a table's name"},
		{"expected '.' or ']'", "want ] at the end of a table's name"},
		{"invalid escape", `a backslash in a string is written \\, or the string in single quotes`},
		{"invalid UTF-8", "the file is not UTF-8"},
		{"files cannot contain NULL", "the file is not UTF-8"},
		{"TOML files cannot contain control", "control characters are not allowed; in a string, write them as an escape"},
		{"Key ", "this setting or table is already there, further up"},
		{"Invalid integer", `not a number; a string needs quotes, such as "text"`},
		{"Invalid float", `not a number; a string needs quotes, such as "text"`},
		{"invalid float", `not a number; a string needs quotes, such as "text"`},
		{"invalid datetime", `not a date; a string needs quotes, such as "text"`},
	} {
		if strings.HasPrefix(message, kind.start) {
			return kind.message
		}
	}
	return "not valid TOML"
}
