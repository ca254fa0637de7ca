package pam

import (
	"errors"
	"strconv"
	"strings"

	"lockstep/internal/fault"

	"github.com/BurntSushi/toml"
)

// Fault is one thing wrong with a configuration. Its texts hold no value of a
// setting and no line of the file.
type Fault = fault.Fault

// Faults are all the faults of one configuration, in the order of the file;
// those without a line come last.
type Faults = fault.Faults

// syntaxFault never passes the library's message on: it quotes what it stumbled
// over, which may be a secret that lacks its quotes.
func syntaxFault(file string, err error) Fault {
	f := Fault{File: file, Message: `not valid TOML: want lines such as key = "value", and [[server]]; no setting twice`}
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		f.Line = max(parse.Position.Line, 1)
	}
	return f
}

// lineOf returns the line of a key of the table [[server]] of that number, or of
// the top for -1; else the line where the table begins; else 0. The library
// gives no position for a key that it does not complain of itself. Only the
// plain way to write a key is known here: each on a line of its own.
func lineOf(text string, number int, key string) int {
	const elsewhere = -2
	at, begins, servers, line := -1, 0, 0, 0
	for raw := range strings.Lines(text) {
		line++
		s := strings.TrimSpace(raw)
		if strings.HasPrefix(s, "[") {
			name, _, _ := strings.Cut(strings.TrimLeft(s, "["), "]")
			name, at = plain(name), elsewhere
			if number < 0 && name == key {
				return line
			}
			if name == "server" {
				at, servers = servers, servers+1
			}
			if at == number {
				begins = line
			}
			continue
		}
		name, _, found := strings.Cut(s, "=")
		if found && at == number && plain(name) == key {
			return line
		}
	}
	return begins
}

// plain returns a key of the text as it stands in faults.
func plain(key string) string { return bare(strings.Trim(strings.TrimSpace(key), `"'`)) }

// bare returns key as it stands in faults: quoted if it is not bare, which also
// keeps control characters out.
func bare(key string) string {
	isBare := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}) < 0
	if isBare {
		return key
	}
	return strconv.QuoteToASCII(key)
}
