// Package build says which build of a program this is.
//
// It knows what the Go toolchain has put into the program: the version of the
// module, where it was built from a tag, and the revision that it was built from. It
// promises nothing about them: whoever builds can leave them out or name others. It
// reads no files and takes no input.
package build

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Unknown is the Version of a build that has none.
const Unknown = "devel"

// Info is about one build of a program. What is not known is empty.
type Info struct {
	Version  string `json:"version"`            // such as v1.2.0; never empty
	Revision string `json:"revision,omitempty"` // of the sources, whole
	Dirty    bool   `json:"dirty"`              // the sources were changed after Revision
	Date     string `json:"date,omitempty"`     // of Revision, as RFC 3339 has it
	Go       string `json:"go"`                 // such as go1.26.0
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// version is what a package says its version is, by way of the linker:
// -ldflags "-X lockstep/internal/build.version=1.2.0-1".
var version string

// Get returns the build of this program. What the linker was told is its version,
// whatever the toolchain says: a package has the version that the packager gave it.
func Get() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return of(info, version)
}

func of(info *debug.BuildInfo, stamp string) Info {
	known := info.Main.Version
	if known == "(devel)" {
		known = ""
	}
	b := Info{
		Version: cmp.Or(stamp, known, Unknown),
		Go:      cmp.Or(info.GoVersion, runtime.Version()),
		OS:      runtime.GOOS,
		Arch:    runtime.GOARCH,
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		case "vcs.time":
			b.Date = s.Value
		}
	}
	return b
}

// Line returns b on one line, after the name of its program:
//
//	lockstep v1.2.0 (0123456789ab, 2026-05-01T10:00:00Z) go1.26.0 linux/amd64
func (b Info) Line(program string) string {
	const short = 12
	var source []string
	if b.Revision != "" {
		source = append(source, b.Revision[:min(short, len(b.Revision))])
	}
	if b.Dirty {
		source = append(source, "dirty")
	}
	if b.Date != "" {
		source = append(source, b.Date)
	}
	from := ""
	if source != nil {
		from = " (" + strings.Join(source, ", ") + ")"
	}
	return fmt.Sprintf("%s %s%s %s %s/%s", program, b.Version, from, b.Go, b.OS, b.Arch)
}
