package admin

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// version is what tells this program from another build of it.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " " + s.Value[:min(len(s.Value), 12)]
		}
	}
	return version
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
