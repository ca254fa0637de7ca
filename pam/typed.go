package pam

import (
	"bytes"

	"lockstep/internal/radius"
)

// What is refused here without asking a server.
const (
	refuseEmpty    = refusal("nothing was typed")
	refuseNUL      = refusal("what was typed holds a NUL")
	refuseLong     = refusal("what was typed is longer than RADIUS can send, 128 octets")
	refuseNoCode   = refusal("what was typed for the code is none, and was not sent")
	refuseDummy    = refusal("sshd has already denied this user, and gave an answer of its own")
	refuseNoPass   = refusal("use_first_pass, and no module before this one has asked for a password")
	refuseUser     = refusal("the user name is empty or longer than RADIUS can send, 253 octets")
	refuseRounds   = refusal("the server asks for ever")
	refuseByServer = refusal("the server said no")
)

// sendable returns nil if b may be sent as a User-Password.
func sendable(b []byte) error {
	switch {
	case len(b) == 0:
		return refuseEmpty
	case bytes.IndexByte(b, 0) >= 0:
		return refuseNUL
	case len(b) > radius.MaxPassword:
		return refuseLong
	case isDummy(b):
		return refuseDummy
	}
	return nil
}

// isDummy reports whether b is what sshd answers for users whom it will not let
// in: these octets over and over, as many as were typed.
func isDummy(b []byte) bool {
	const junk = "\b\n\r\177INCORRECT"
	for i, c := range b {
		if c != junk[i%len(junk)] {
			return false
		}
	}
	return len(b) > 0
}

// codeIn returns the digits of b if it looks like a code: 6 to 8 of them, and
// spaces, because authenticator apps show a code in groups. The result has
// memory of its own.
func codeIn(b []byte) (code []byte, ok bool) {
	const least, most = 6, 8
	code = make([]byte, 0, most)
	for _, c := range b {
		digit := c >= '0' && c <= '9'
		if !digit && c != ' ' || digit && len(code) == most {
			clear(code)
			return nil, false
		}
		if digit {
			code = append(code, c)
		}
	}
	return code, len(code) >= least
}

// passwordIn returns what stands before the code at the end of b, if there is a
// code of so many digits there.
func passwordIn(b []byte, digits int) (password []byte, ok bool) {
	n := len(b) - digits
	if n < 0 || len(bytes.Trim(b[n:], "0123456789")) > 0 {
		return nil, false
	}
	return b[:n], true
}
