// Package wire is the helper's end of the socket to pam_lockstep.so, as wire.h
// describes it.
//
// It promises that each message is taken in its turn only, and that a message
// that is none, is too long or is out of turn ends everything. What it receives
// is overwritten in its buffer before the next message is looked at. It does not
// promise that the module is honest: the two trust each other, and what is
// checked here is what would come of a mistake in either.
package wire

// #include "receive.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"lockstep/internal/opaque"
	"lockstep/pam"
)

// FD is the descriptor of the socket in the helper.
const FD = C.WIRE_FD

var (
	// ErrGone is returned when the module has closed its end: nobody waits for
	// an answer any more.
	ErrGone = errors.New("the module has gone")

	// ErrProtocol is wrapped by errors about a message that may not be.
	ErrProtocol = errors.New("the module has broken the protocol")
)

// Conn is the socket. There may be one in a process: the receive buffer is the
// process's. Start comes first, then Watch, in a goroutine of its own, beside
// Prompt and at last Result.
type Conn struct {
	file    *os.File
	raw     syscall.RawConn
	asked   atomic.Bool // a prompt has been sent and waits for its answer
	answers chan message
}

// Open takes over the socket fd, of type SOCK_SEQPACKET.
func Open(fd uintptr) (*Conn, error) {
	kind, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if kind != syscall.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is a socket of another type", fd)
	}
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	C.lockstep_guard()
	c := &Conn{file: os.NewFile(fd, "module"), answers: make(chan message, 1)}
	c.raw, err = c.file.SyscallConn()
	return c, err
}

// Start returns what the module says at first.
func (c *Conn) Start() (pam.Start, error) {
	defer C.lockstep_wipe()
	m, err := c.receive()
	if err != nil {
		return pam.Start{}, err
	}
	if m.kind != C.WIRE_START || m.arg&^(C.WIRE_HAS_AUTHTOK|C.WIRE_NO_NULL) != 0 {
		return pam.Start{}, fmt.Errorf("%w: no START", ErrProtocol)
	}
	start, err := pam.ParseStart(m.text, m.arg&C.WIRE_HAS_AUTHTOK != 0)
	if err != nil {
		return pam.Start{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return start, nil
}

// Watch receives answers until the module has gone, or has broken the protocol,
// and returns which. Nothing is to be done then but to exit.
func (c *Conn) Watch() error {
	for {
		m, err := c.receive()
		if err != nil {
			return err
		}
		m.text = bytes.Clone(m.text)
		C.lockstep_wipe()
		if m.kind != C.WIRE_ANSWER || m.arg > C.WIRE_NO_ANSWER || !c.asked.CompareAndSwap(true, false) {
			return fmt.Errorf("%w: a message out of turn", ErrProtocol)
		}
		c.answers <- m
	}
}

// Prompt implements [pam.Conversation]. It waits for as long as it takes.
func (c *Conn) Prompt(style pam.Style, text string) (opaque.Bytes, error) {
	arg := byte(C.WIRE_ECHO_OFF)
	if style == pam.EchoOn {
		arg = C.WIRE_ECHO_ON
	}
	c.asked.Store(true) // first, or the answer could be out of turn
	if err := c.send(C.WIRE_PROMPT, arg, []byte(text)); err != nil {
		return opaque.Bytes{}, err
	}
	answer := <-c.answers
	if answer.arg != C.WIRE_ANSWERED {
		return opaque.Of(answer.text), pam.ErrNoAnswer
	}
	return opaque.Of(answer.text), nil
}

var outcomes = map[pam.Outcome]byte{
	pam.Accepted:    C.WIRE_ACCEPTED,
	pam.Refused:     C.WIRE_REFUSED,
	pam.NotEnrolled: C.WIRE_NOT_ENROLLED,
	pam.Aborted:     C.WIRE_ABORTED,
}

// Result sends the last message, and overwrites the secret in r.
func (c *Conn) Result(r pam.Result) error {
	defer pam.Wipe(r.Authtok)
	arg, ok := outcomes[r.Outcome]
	if !ok {
		arg = C.WIRE_UNAVAILABLE
	}
	var text []byte
	if arg == C.WIRE_ACCEPTED {
		text = r.Authtok.Reveal()
	}
	return c.send(C.WIRE_RESULT, arg, text)
}

func (c *Conn) send(kind, arg byte, text []byte) error {
	frame := make([]byte, 0, C.sizeof_struct_wire_head+len(text))
	frame = append(append(frame, C.WIRE_VERSION, kind, arg, 0), text...)
	defer clear(frame)
	if len(frame) > C.WIRE_MAX {
		return fmt.Errorf("send to the module: %d octets are too many", len(frame))
	}
	if _, err := c.file.Write(frame); err != nil {
		return fmt.Errorf("send to the module: %w", err)
	}
	return nil
}

// receive waits for a message. Its text is in the buffer.
func (c *Conn) receive() (message, error) {
	var n C.ssize_t
	var errno error
	err := c.raw.Read(func(fd uintptr) bool {
		n, errno = C.lockstep_receive(C.int(fd))
		return n >= 0 || errno != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return message{}, fmt.Errorf("receive from the module: %w", err)
	case n < 0 && errno == syscall.ECONNRESET: // and has not read what was sent to it
		return message{}, ErrGone
	case n < 0:
		return message{}, fmt.Errorf("receive from the module: %w", errno)
	case n == 0:
		return message{}, ErrGone
	case n > C.WIRE_MAX:
		return message{}, fmt.Errorf("%w: a message of %d octets", ErrProtocol, n)
	}
	return parse(buffer()[:n])
}

func buffer() []byte { return unsafe.Slice((*byte)(&C.lockstep_message[0]), C.WIRE_MAX) }

// message is a message less what all have in common.
type message struct {
	kind, arg byte
	text      []byte
}

// parse reads a message. Its text points into frame.
func parse(frame []byte) (message, error) {
	const version, kind, arg, zero, head = 0, 1, 2, 3, C.sizeof_struct_wire_head
	if len(frame) < head || frame[version] != C.WIRE_VERSION || frame[zero] != 0 {
		return message{}, fmt.Errorf("%w: not a message of version %d", ErrProtocol, C.WIRE_VERSION)
	}
	return message{frame[kind], frame[arg], frame[head:]}, nil
}
