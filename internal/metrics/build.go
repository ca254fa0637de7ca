package metrics

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// newBuild says what was built, as a value that is always 1.
func newBuild() prometheus.Collector {
	version, revision, toolchain := "unknown", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, toolchain = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_build_info", Help: "1 for what the program was built from.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": toolchain}})
	g.Set(1)
	return g
}
