package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"lockstep/admin"
)

func (a *app) resync(args []string) error {
	fs := a.flags("user resync", "user resync [-config FILE] [-reset] USER\n\nAsks for two codes that the device of USER shows one after the other, and learns from them\nwhere its clock is. Both are spent by that.\n")
	reset := fs.Bool("reset", false, "ask for no codes: forget what was learned of the device's clock")
	c, err := a.clientForCodes(fs, args)
	if err != nil {
		return err
	}
	if *reset {
		return a.resetClock(c, fs.Arg(0))
	}
	return a.resyncWith(c, fs.Arg(0))
}

func (a *app) resetClock(c *admin.Client, name string) error {
	if err := c.ResetClock(context.Background(), name); err != nil {
		return notEnrolled(err)
	}
	return a.printLines(name + ": clock forgotten, taken to be right from now on")
}

func (a *app) resyncWith(c *admin.Client, name string) error {
	if err := usable(c, name); err != nil {
		return err
	}
	first, err := a.ask("Code: ", true)
	if err != nil {
		return err
	}
	if a.typed() {
		fmt.Fprintln(a.err, "Wait until the device shows the next code.")
	}
	second, err := a.ask("Next code: ", true)
	if err != nil {
		return err
	}
	r, err := c.Resync(context.Background(), name, first, second)
	switch {
	case err != nil:
		return notEnrolled(err)
	case !r.Done:
		return &failure{status: statusNo, err: fmt.Errorf("%s: not resynchronized: %s", name, r.Reason),
			hint: "\"lockstep user explain\" says what one code is"}
	}
	device := "device"
	if r.Token != "" {
		device = "token " + r.Token
	}
	return a.printLines(fmt.Sprintf("%s: resynchronized, %s is %s", name, device, clockInWords(&admin.Clock{Offset: r.Offset, OffsetError: r.OffsetError, DriftError: 1})))
}

// typed reports whether answers come from a person.
func (a *app) typed() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
