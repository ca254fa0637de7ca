package canary

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// window is how many octets of a value are enough to give it away.
const window = 8

// Least is the fewest octets that a value may have.
const Least = 12

// Value adds a value to what is looked for, under a name for the report. It has
// [Least] octets or more, and should be random: what is not will be found elsewhere.
func (f *Finder) Value(name string, value []byte) {
	if len(value) < Least {
		panic(fmt.Sprintf("canary: %s has %d octets, want %d or more", name, len(value), Least))
	}
	f.windows(name, "it is", pieces(value, "%c"), "", window)
	f.octets(name, "", value, window)
	f.text(name, value)
	if utf8.Valid(value) {
		// Active Directory is given passwords so.
		for _, order := range []struct {
			form string
			of   func([]byte) []byte
		}{{"UTF-16LE", little}, {"UTF-16BE", big}} {
			text := order.of(value)
			f.windows(name, order.form, pieces(text, "%c"), "", min(2*window, len(text)))
			f.octets(name, order.form+" ", text, min(2*window, len(text)))
		}
	}
}

// Key is Value for a TOTP key: it is looked for in base32 as authenticators show it, too,
// and in whatever form that is written in.
func (f *Finder) Key(name string, key []byte) {
	f.Value(name, key)
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
	f.Value(name+" (base32)", []byte(text))
	groups := pieces([]byte(text), "%c")
	for i := 3; i < len(groups); i += 4 {
		groups[i] += " "
	}
	f.windows(name, "base32 in groups", groups, "", 2*window)
}

// windows adds every run of n pieces, put together with sep between them.
func (f *Finder) windows(name, form string, pieces []string, sep string, n int) {
	for i := range len(pieces) - n + 1 {
		f.add(pattern{name: name, form: form, text: strings.Join(pieces[i:i+n], sep)})
	}
}

// separators are what may be between octets in hexadecimal.
var separators = []string{"", " ", ":", "-", ",", ", ", " 0x", ",0x", ", 0x", `\x`, "%", `\u00`}

// octets adds the forms that take each octet for itself.
func (f *Finder) octets(name, form string, value []byte, n int) {
	hex := pieces(value, "%02x")
	for _, sep := range separators {
		f.windows(name, fmt.Sprintf("%shex with %q", form, sep), hex, sep, n)
	}
	for phase := range 2 {
		f.windows(name, form+"hex dump", words(hex[phase:]), " ", n/2)
	}
	for _, sep := range []string{" ", ",", ", "} {
		f.windows(name, form+"decimal", pieces(value, "%d"), sep, n)
		f.windows(name, form+"hex of Go", pieces(value, "%#x"), sep, n) // %#v, without zeros in front
	}
	f.windows(name, form+"octal", pieces(value, `\%03o`), "", n)
	f.aligned(name, form, value, n)
}

// aligned adds the forms in which an octet is spread over two characters or more.
func (f *Finder) aligned(name, form string, value []byte, n int) {
	add := func(encoding string, bits int, encode func([]byte) string) {
		for shift := range bits {
			all := characters(value, shift, bits, encode)
			f.windows(name, form+encoding, all, "", min(n*8/bits, len(all)))
		}
	}
	add("base64", 6, base64.RawStdEncoding.EncodeToString)
	add("base64url", 6, base64.RawURLEncoding.EncodeToString)
	add("base32", 5, base32.StdEncoding.EncodeToString)
}

// text adds the forms that take each character for itself.
func (f *Finder) text(name string, value []byte) {
	var quoted, ascii, escaped, query, segment, path, userinfo []string
	for rest := value; len(rest) > 0; {
		_, size := utf8.DecodeRune(rest)
		r := string(rest[:size])
		rest = rest[size:]
		quoted = append(quoted, inner(strconv.Quote(r)))
		ascii = append(ascii, inner(strconv.QuoteToASCII(r)))
		query, segment = append(query, url.QueryEscape(r)), append(segment, url.PathEscape(r))
		path, userinfo = append(path, (&url.URL{Path: r}).EscapedPath()), append(userinfo, url.User(r).String())
		b, _ := json.Marshal(r)
		escaped = append(escaped, inner(string(b)))
	}
	n := min(window, len(quoted)) // characters may be few
	f.windows(name, "quoted", quoted, "", n)
	f.windows(name, "quoted in ASCII", ascii, "", n)
	f.windows(name, "query of a URL", query, "", n)
	f.windows(name, "segment of a URL", segment, "", n)
	f.windows(name, "path of a URL", path, "", n)
	f.windows(name, "user of a URL", userinfo, "", n)
	if utf8.Valid(value) { // else JSON loses what it is
		f.windows(name, "JSON", escaped, "", n)
	}
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// pieces spells each octet by a verb of fmt; %c is for the octet as it is.
func pieces(value []byte, verb string) []string {
	all := make([]string, len(value))
	for i, b := range value {
		if verb == "%c" {
			all[i] = string([]byte{b})
			continue
		}
		all[i] = fmt.Sprintf(verb, b)
	}
	return all
}

// words puts pieces together two by two; one that is left over is left out.
func words(pieces []string) (words []string) {
	for i := 1; i < len(pieces); i += 2 {
		words = append(words, pieces[i-1]+pieces[i])
	}
	return words
}

// characters encodes value as it is where shift octets come before it, and returns
// the characters that depend on nothing but value. Each has so many bits.
func characters(value []byte, shift, bits int, encode func([]byte) string) []string {
	before, after := make([]byte, shift), make([]byte, bits)
	text := encode(slices.Concat(before, value, after))
	first, end := (8*shift+bits-1)/bits, (8*(shift+len(value)))/bits
	return pieces([]byte(text[first:end]), "%c")
}

func little(text []byte) (b []byte) {
	for _, u := range utf16.Encode([]rune(string(text))) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func big(text []byte) (b []byte) {
	for _, u := range utf16.Encode([]rune(string(text))) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}
