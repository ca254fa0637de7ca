// Package sysclock says what this machine knows about its own clock: whether
// something keeps it right, whether it was set while nobody looked, and what
// the hardware clock would make of it after the next boot.
//
// It only reads. It opens no sockets and asks no time server, so it cannot tell
// the right time; "synchronised" is the word of the kernel, which has it from
// chrony, systemd-timesyncd, ntpd or the like. The kernel goes on saying so for
// up to nine hours after such a program has died.
//
// What it promises:
//
//   - A clock that was set by more than half a second while a [Watch] runs is
//     noticed within a second, and at once by [Watch.Trusted]. A clock that is
//     slewed is not taken for one that was set, and neither is a suspend.
//   - When it cannot tell, the clock is not trusted.
//
// None of its input is hostile: it comes from the kernel. The wall clock may
// show any time at all.
//
// The kernel is asked by adjtimex(2), which needs no privilege to read. systemd
// counts it to @clock, which is no part of @system-service, so a unit that
// filters system calls has to allow it by name, and must not set ProtectClock.
package sysclock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Status is what the kernel says about its clock. The zero Status is that of a
// clock that nothing keeps right.
type Status struct {
	Synchronised bool          // something keeps it right
	MaxError     time.Duration // the most that it can be off; grows until the next correction
	EstError     time.Duration // what whoever keeps it thinks it is off; some always say 0
}

// Read asks the kernel. It changes nothing.
func Read() (Status, error) {
	var t unix.Timex // no Modes: only read
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Status{}, fmt.Errorf("ask the kernel who keeps its clock: adjtimex: %w", err)
	}
	return decode(state, &t), nil
}

// decode takes both errors for microseconds, also under STA_NANO: that flag is
// about offset, jitter and the time. A pending or running leap second
// (TIME_INS, TIME_DEL, TIME_OOP, TIME_WAIT) is no fault.
func decode(state int, t *unix.Timex) Status {
	return Status{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
		EstError:     time.Duration(t.Esterror) * time.Microsecond,
	}
}
