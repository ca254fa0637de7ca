package pam

import (
	"errors"

	"lockstep/internal/opaque"
)

// Outcome is what came of a login. The zero Outcome is none.
type Outcome int

// The outcomes.
const (
	Accepted    Outcome = iota + 1
	Refused             // no
	Unavailable         // nobody could tell
	NotEnrolled         // no, and the server says that this person has no key
	Aborted             // there was no answer to a prompt
)

// Result is an outcome and what goes with it.
type Result struct {
	Outcome Outcome

	// Authtok is the password for the modules that follow, empty for none. It
	// is there only with Accepted. Who has passed it on overwrites it with
	// [Wipe].
	Authtok opaque.Bytes
}

// ErrNoAnswer is returned by a [Conversation] where a prompt was not answered.
var ErrNoAnswer = errors.New("no answer to the prompt")

var errNotEnrolled = errors.New("not enrolled")

// refusal is an error that means no. It holds nothing of what was typed.
type refusal string

func (r refusal) Error() string { return string(r) }

// outcomeOf says what an error means. What is not known to be a no is no
// decision.
func outcomeOf(err error) Outcome {
	switch _, refused := errors.AsType[refusal](err); {
	case err == nil:
		return Accepted
	case refused:
		return Refused
	case errors.Is(err, errNotEnrolled):
		return NotEnrolled
	case errors.Is(err, ErrNoAnswer):
		return Aborted
	}
	return Unavailable
}

// Wipe overwrites the memory of secrets that nobody needs any more. It is for
// who owns that memory: the one exception to the rule that what Reveal returns
// is not changed.
func Wipe(secrets ...opaque.Bytes) {
	for _, b := range secrets {
		clear(b.Reveal())
	}
}
