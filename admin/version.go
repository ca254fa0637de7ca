package admin

import (
	"fmt"
	"sync"

	"lockstep/internal/build"
)

// version is what tells this program from another build of it.
var version = sync.OnceValue(func() string {
	this := build.Get()
	if this.Revision == "" {
		return this.Version
	}
	return this.Version + " " + this.Revision[:min(len(this.Revision), 12)]
})

// compared says whether who asks runs the version that the server runs.
func compared(asks, runs string) Finding {
	f := Finding{ID: "server.version", Subject: "version", Severity: OK, Text: "the server runs " + runs + ", as this command does"}
	switch {
	case asks == "":
		f.Text = "the server runs " + runs
	case asks != runs:
		f.Severity = Warning
		f.Text = fmt.Sprintf("the server runs %s, and this command is of %s", runs, capped(asks))
		f.Advice = "if lockstep was upgraded, restart it: systemctl restart lockstep"
	}
	return f
}
