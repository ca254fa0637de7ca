package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"lockstep/admin"
	"lockstep/verifier"
)

// confirmTries is how often a code may be typed before enrolment is given up:
// two for a device whose clock is far off, and as many for typing errors.
const confirmTries = 4

// seedTime bounds how long an enrolment that is done waits for the server.
const seedTime = 5 * time.Second

// confirmation is what the code that confirmed a key says about the device's
// clock. The zero confirmation is that of a key without any.
type confirmation struct {
	step int64
	at   time.Time
}

// confirm asks for a code until one is right, or two in a row are right by a
// clock that is far off.
func (a *app) confirm(key verifier.Key) (confirmation, error) {
	var far verifier.Far
	for range confirmTries {
		code, err := a.ask("Code: ", true)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return confirmation{}, err
		}
		now := time.Now()
		c, err := verifier.Confirm(key, far, code, now)
		if err != nil {
			return confirmation{}, err
		}
		if c.Reason.Kind == verifier.None {
			return confirmation{c.Step, now}, nil
		}
		far = c.Far
		a.refuse(c.Reason)
	}
	return confirmation{}, &failure{status: statusNo, err: errors.New("no right code; nothing was written"),
		hint: "if the device shows other codes, compare its clock with this machine's"}
}

func (a *app) refuse(r verifier.Reason) {
	fmt.Fprintf(a.err, "lockstep: %s\n", r)
	if r.Kind == verifier.OutOfStep {
		fmt.Fprintln(a.err, "lockstep: wait until the device shows the next code, and type that")
	}
}

// seed tells the server what it could only learn at the first login. The server
// may run elsewhere, so that nobody is there to be told is no fault.
func (a *app) seed(socket string, key verifier.Key, c confirmation) {
	if socket == "" || c.step == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTime)
	defer cancel()
	err := admin.NewClient(socket).Seed(ctx, key.ID(), key.Period, c.step, c.at)
	if err != nil && !errors.Is(err, admin.ErrUnreachable) {
		fmt.Fprintf(a.err, "lockstep: warning: enrolled, but the clock of the device will be learned at the first login only: %s\n", printable(err.Error()))
	}
}
