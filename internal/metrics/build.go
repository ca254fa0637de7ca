package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/build"
)

// newBuild says what was built, as a value that is always 1.
func newBuild() prometheus.Collector {
	this := build.Get()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_build_info", Help: "1 for what the program was built from.",
		ConstLabels: prometheus.Labels{"version": this.Version, "revision": this.Revision, "goversion": this.Go}})
	g.Set(1)
	return g
}
