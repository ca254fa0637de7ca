package ldapsync

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxName is the length of the longest user name, in octets: what one RADIUS
// attribute holds (RFC 2865, section 5).
const maxName = 253

// NameError says why a name cannot be a user name. Its text holds nothing of
// the name, so it is safe to log.
type NameError struct{ Why string }

// Error implements error.
func (e *NameError) Error() string { return "user name refused: " + e.Why }

// invisible are characters that Unicode counts as letters or marks but that
// show nothing, so that two names could look the same and differ.
var invisible = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

// Canonical returns the one spelling that stands for name and for all names
// that a directory takes for the same: compatibility characters replaced
// (NFKC), case folded, spaces trimmed and collapsed. Canonical of a canonical
// name is the name itself.
//
// It refuses, with a [*NameError], a name that is empty or blank, longer than
// 253 octets before or after, not UTF-8, or that holds a control, format or
// invisible character. name may be anything.
func Canonical(name string) (string, error) {
	if isPlain(name) {
		return strings.ToLower(name), nil
	}
	return canonical(name)
}

// isPlain tells whether all that Canonical does to name is to change its case.
// Nearly all names are of that kind.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

func canonical(name string) (string, error) {
	if len(name) > maxName {
		return "", &NameError{"longer than 253 octets"}
	}
	if !utf8.ValidString(name) {
		return "", &NameError{"not UTF-8"}
	}
	// Folding can undo a normalisation and the reverse, so one pass is not
	// always the end of it.
	for range 4 {
		next := strings.Join(strings.Fields(norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))), " ")
		if err := refuseCharacters(name); err != nil {
			return "", err
		}
		if next == "" {
			return "", &NameError{"empty"}
		}
		if len(next) > maxName {
			return "", &NameError{"longer than 253 octets"}
		}
		if next == name {
			return name, nil
		}
		name = next
	}
	return "", &NameError{"it has no stable spelling"}
}

func refuseCharacters(name string) error {
	for _, r := range name {
		switch {
		case unicode.IsControl(r):
			return &NameError{"it holds a control character"}
		case !unicode.IsGraphic(r) || unicode.In(r, invisible...):
			return &NameError{"it holds a character that cannot be seen"}
		}
	}
	return nil
}
