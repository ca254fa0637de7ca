package main

import "lockstep/internal/build"

func (a *app) version(args []string) error {
	fs := a.flags("version", "version [-json]\n\nPrints the version, what it was built from, and with which Go for which machine.\n")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := a.parse(fs, args, 0); err != nil {
		return err
	}
	this := build.Get()
	if *asJSON {
		return a.printJSON(this)
	}
	return a.printLines(this.Line("lockstep"))
}
