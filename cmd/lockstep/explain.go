package main

import (
	"context"
	"fmt"
)

func (a *app) explain(args []string) error {
	fs := a.flags("user explain", "user explain [-config FILE] [-json] USER\n\nAsks for a code of USER and says what it is and what to do. Nothing is spent by that.\nExits with 0 if the code would let USER in now, together with the password, and with 1 if not.\n")
	asJSON := fs.Bool("json", false, "print JSON")
	c, err := a.clientForCodes(fs, args)
	if err != nil {
		return err
	}
	name := fs.Arg(0)
	if err := usable(c, name); err != nil {
		return err
	}
	code, err := a.ask("Code: ", true)
	if err != nil {
		return err
	}
	e, err := c.Explain(context.Background(), name, code)
	if err != nil {
		return notEnrolled(err)
	}
	if *asJSON {
		err = a.printJSON(e)
	} else {
		err = a.printLines(e.Text, e.Advice)
	}
	if err == nil && !e.Accepted {
		return no()
	}
	return err
}

// printLines prints those that say something.
func (a *app) printLines(lines ...string) error {
	for _, line := range lines {
		if line == "" {
			continue
		}
		if _, err := fmt.Fprintln(a.out, printable(line)); err != nil {
			return err
		}
	}
	return nil
}
