// Command lockstep-pam decides logins for pam_lockstep.so, which starts it, says
// over descriptor 3 who wants to log in, and passes its prompts on.
//
// It promises to be of no use to anybody else: harden.c gives up what the
// process has from its host before the Go runtime starts, and when the host
// goes, so does this. Everything else is in packages pam and wire.
package main

import "C" // for harden.c

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"lockstep/internal/build"
	"lockstep/pam"
	"lockstep/pam/lockstep-pam/wire"
)

func main() {
	// The module gives no arguments.
	if len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Fprintln(os.Stdout, build.Get().Line("lockstep-pam"))
		os.Exit(0)
	}
	// A login leaves little behind. This is for a stranger who sends replies as
	// fast as they can be read.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)

	conn, err := wire.Open(wire.FD)
	if err != nil {
		fmt.Fprintf(os.Stderr, "lockstep-pam: error: %v\nlockstep-pam: hint: it is started by pam_lockstep.so; see pam_lockstep(8)\n", err)
		os.Exit(2)
	}
	os.Exit(run(conn))
}

// run holds one conversation. The module does not look at the status, which is
// for who looks at processes: 0 for a result that was sent.
func run(conn *wire.Conn) int {
	log := pam.Syslog(pam.SyslogPath, time.Now)
	start, err := conn.Start()
	if err != nil {
		log.Error("cannot decide", "err", err.Error())
		return 3
	}
	go func() {
		// Nobody waits any more, and what was typed need not stay for longer.
		if err := conn.Watch(); !errors.Is(err, wire.ErrGone) {
			log.Error("cannot decide", "err", err.Error())
		}
		os.Exit(3)
	}()
	helper := pam.Helper{Conversation: conn, Log: log, Hostname: os.Hostname}
	if err := conn.Result(helper.Authenticate(context.Background(), start)); err != nil {
		return 3
	}
	return 0
}
