package pam

import (
	"bytes"
	"errors"

	"lockstep/internal/opaque"
)

// Start is what the module says at first. Service comes from the program that
// wants somebody authenticated, Args from the administrator; User and RHost are
// hostile.
type Start struct {
	HasAuthtok bool // a module before this one has asked for a password
	Service    string
	User       string
	RHost      string // empty where nobody comes from afar
	TTY        string
	Authtok    opaque.Bytes
	Args       []string
}

var errStart = errors.New("the module's first message is not of this form: service, user, rhost, tty, authtok, arguments, a NUL after each")

// ParseStart reads the text of the module's first message. It shares no memory
// with it.
func ParseStart(text []byte, hasAuthtok bool) (Start, error) {
	const fixed = 5
	if len(text) == 0 || text[len(text)-1] != 0 {
		return Start{}, errStart
	}
	fields := bytes.Split(text[:len(text)-1], []byte{0})
	if len(fields) < fixed {
		return Start{}, errStart
	}
	s := Start{
		HasAuthtok: hasAuthtok,
		Service:    string(fields[0]),
		User:       string(fields[1]),
		RHost:      string(fields[2]),
		TTY:        string(fields[3]),
		Authtok:    opaque.Of(bytes.Clone(fields[4])),
	}
	for _, arg := range fields[fixed:] {
		s.Args = append(s.Args, string(arg))
	}
	return s, nil
}
