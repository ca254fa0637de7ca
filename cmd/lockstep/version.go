package main

import "lockstep/internal/build"

// version is what a package says its version is, by way of the linker:
// -ldflags "-X main.version=1.2.0-1".
var version string

func (a *app) version(args []string) error {
	fs := a.flags("version", "version [-json]\n\nPrints the version, what it was built from, and with which Go for which machine.\n")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := a.parse(fs, args, 0); err != nil {
		return err
	}
	this := build.Get(version)
	if *asJSON {
		return a.printJSON(this)
	}
	return a.printLines(this.Line("lockstep"))
}
