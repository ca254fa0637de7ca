package pam

import (
	"bytes"
	"context"
	"errors"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// Style is how a prompt is answered.
type Style int

// The styles.
const (
	EchoOff Style = iota // what is typed is not shown
	EchoOn
)

// Conversation is the person who logs in, as seen through the module.
type Conversation interface {
	// Prompt shows text and returns what was typed, octets of any kind. The
	// memory is the caller's, who overwrites it. The error wraps ErrNoAnswer
	// where there was no answer; any other means that nothing can be asked.
	Prompt(style Style, text string) (opaque.Bytes, error)
}

// asker asks RADIUS servers.
type asker interface {
	// ask returns the first reply that verifies. Of several servers, one that
	// has replied before is asked first.
	ask(ctx context.Context, r radius.AccessRequest) (*radius.Reply, error)
}

// login is one login.
type login struct {
	Start
	options
	conversation Conversation
	servers      asker
	timeout      time.Duration // of the servers, each time that they are asked
	nas          string        // NAS-Identifier

	secrets []opaque.Bytes // what is overwritten in the end
}

// typed is what a login is to be decided by.
type typed struct {
	send     []byte // all of it
	password []byte // the part that is the password; nil if only the server can tell
}

// refuseAfter is how long a refusal takes that no server was asked for. It is
// what the servers take for theirs, or the time would show for whom sshd has
// denied the login already.
const refuseAfter = time.Second

// run returns the password for the modules that follow, or nil. A nil error
// means that the person is let in.
func (l *login) run(ctx context.Context) (authtok []byte, err error) {
	authtok, err = l.authenticate(ctx)
	if r, ok := errors.AsType[refusal](err); ok && r != refuseByServer {
		select {
		case <-time.After(refuseAfter):
		case <-ctx.Done():
		}
	}
	return authtok, err
}

func (l *login) authenticate(ctx context.Context) (authtok []byte, err error) {
	defer func() { Wipe(l.secrets...) }()
	if len(l.User) == 0 || len(l.User) > maxValue {
		return nil, refuseUser // before a packet fails to hold it, which would be no refusal
	}
	if err := l.probe(ctx); err != nil {
		return nil, err
	}
	t, err := l.typed()
	if err != nil {
		return nil, err
	}
	challenged, err := l.decide(ctx, t.send)
	if err != nil {
		return nil, err
	}
	return l.forward(t, challenged), nil
}

// probe keeps people who are not enrolled from being asked for a code, where they
// are let pass: it asks with an empty password, which is no guess.
func (l *login) probe(ctx context.Context) error {
	if !l.nullok {
		return nil
	}
	reply, err := l.exchange(ctx, l.request())
	if err == nil && saysNotEnrolled(reply) {
		err = errNotEnrolled
	}
	return err
}

// own notes what is to be overwritten in the end.
func (l *login) own(b opaque.Bytes) []byte {
	l.secrets = append(l.secrets, b)
	return b.Reveal()
}

func (l *login) prompt(style Style, text string) ([]byte, error) {
	answer, err := l.conversation.Prompt(style, text)
	return l.own(answer), err
}

// code returns the code that was typed.
func (l *login) code(raw []byte) ([]byte, error) {
	if err := sendable(raw); err != nil {
		return nil, err
	}
	code, ok := codeIn(raw)
	l.own(opaque.Of(code))
	if !ok {
		return nil, refuseNoCode
	}
	return code, nil
}

func (l *login) promptCode() ([]byte, error) {
	if l.echoCode {
		return l.prompt(EchoOn, "Code: ")
	}
	return l.prompt(EchoOff, "Code: ")
}

// typed asks for what the options say, and returns what may be sent.
func (l *login) typed() (typed, error) {
	switch l.ask {
	case codeOnly:
		raw, err := l.promptCode()
		if err != nil {
			return typed{}, err
		}
		code, err := l.code(raw)
		return typed{send: code}, err
	case onePrompt:
		both, err := l.first("Password and code: ")
		if err != nil {
			return typed{}, err
		}
		return typed{send: both}, sendable(both)
	}
	// Both, before a look at either: whom sshd has denied sees the same prompts.
	password, err := l.first("Password: ")
	if err != nil {
		return typed{}, err
	}
	raw, err := l.promptCode()
	if err != nil {
		return typed{}, err
	}
	return l.join(password, raw)
}

// join returns what two prompts were answered with as one.
func (l *login) join(password, raw []byte) (typed, error) {
	if err := sendable(password); err != nil {
		return typed{}, err
	}
	if bytes.Equal(raw, password) {
		// sshd in password mode: one string for all prompts. Nobody has a
		// password that is the code of the moment too.
		return typed{send: password}, nil
	}
	code, err := l.code(raw)
	if err != nil {
		return typed{}, err
	}
	send := make([]byte, 0, len(password)+len(code)) // at once: append would leave copies
	send = append(append(send, password...), code...)
	l.own(opaque.Of(send))
	return typed{send: send, password: password}, sendable(send)
}

// first returns the answer to the first prompt, or the password of the module
// before where that is to be used.
func (l *login) first(text string) ([]byte, error) {
	if l.firstPass != ignoreFirstPass && l.HasAuthtok && l.Authtok.Len() > 0 {
		return l.Authtok.Reveal(), nil
	}
	if l.firstPass == useFirstPass {
		return nil, refuseNoPass
	}
	return l.prompt(EchoOff, text)
}

// forward returns a copy of the password alone, for the modules that follow. It
// is nil where there is none, or where nobody can tell which part it is.
func (l *login) forward(t typed, challenged bool) []byte {
	if !l.forwardPass || l.ask == codeOnly {
		return nil
	}
	if t.password != nil {
		return bytes.Clone(t.password)
	}
	password, hasCode := passwordIn(t.send, l.digits)
	switch {
	case hasCode && !challenged:
		return bytes.Clone(password)
	case !hasCode && challenged:
		return bytes.Clone(t.send) // the code came with the challenge
	}
	// Either a code where it is not looked for, or digits that are the code that
	// was out of step, or the end of a password.
	return nil
}
