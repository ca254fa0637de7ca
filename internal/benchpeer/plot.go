package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The plot, in pixels: panels side by side.
const (
	panelWidth, plotHeight = 380, 330
	panelLeft, panelRight  = 70.0, 360.0
	panelTop, panelBottom  = 66.0, 270.0
)

// panel is one quantity over K.
type panel struct {
	title string
	of    func(sample) float64
	log   bool
}

var panels = []panel{
	{"logins per second", func(s sample) float64 { return s.Rate }, false},
	{"server CPU per login, µs", func(s sample) float64 { return s.ServerCPU }, false},
	{"p99, ms (log scale)", func(s sample) float64 { return s.P99 / 1e3 }, true},
}

var colours = []string{"#b22222", "#36648b", "#4a7c2f", "#8a5a00", "#6a3d9a"}

// writeSVG draws what the peers did over K: the rate, the CPU time and the p99.
func (r report) writeSVG(w io.Writer) error {
	d := drawing{report: r, ks: r.ks(), names: r.names()}
	width := panelWidth * len(panels)
	d.printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n", width, plotHeight)
	d.printf("<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	d.printf("<text x=\"%d\" y=\"24\" text-anchor=\"middle\" font-size=\"16\">%s</text>\n", width/2,
		html.EscapeString(fmt.Sprintf("Password and code: %s users, medians of %d rounds", grouped(r.Users), r.Rounds)))
	for i, p := range panels {
		d.printf("<g transform=\"translate(%d 0)\">\n", i*panelWidth)
		d.panel(p)
		d.printf("</g>\n")
	}
	d.key()
	d.printf("</svg>\n")
	_, err := io.WriteString(w, d.text.String())
	return err
}

type drawing struct {
	report
	text  strings.Builder
	ks    []int
	names []string
}

func (d *drawing) printf(format string, a ...any) { fmt.Fprintf(&d.text, format, a...) }

func (d *drawing) panel(p panel) {
	y, ticks := d.axis(p)
	d.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", (panelLeft+panelRight)/2, panelTop-12, html.EscapeString(p.title))
	for _, tick := range ticks {
		d.printf("<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			panelLeft, y(tick), panelRight, panelLeft-6, y(tick)+4, tick)
	}
	d.printf("<path d=\"M%.1f %.1fV%.1fH%.1f\" stroke=\"#222\" fill=\"none\"/>\n", panelLeft, panelTop, panelBottom, panelRight)
	for i, k := range d.ks {
		d.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>\n", d.x(i), panelBottom+18, k)
	}
	d.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">outstanding</text>\n", (panelLeft+panelRight)/2, panelBottom+36)
	for n, name := range d.names {
		d.line(p, name, colours[n%len(colours)], y)
	}
}

// line draws one server's line, with a dot at each K.
func (d *drawing) line(p panel, name, colour string, y func(float64) float64) {
	var points []string
	for i, k := range d.ks {
		if m, ok := d.at(name, k); ok {
			points = append(points, fmt.Sprintf("%.1f,%.1f", d.x(i), y(p.of(m))))
		}
	}
	d.printf("<polyline class=\"server\" points=\"%s\" stroke=\"%s\" stroke-width=\"2\" fill=\"none\"/>\n", strings.Join(points, " "), colour)
	for _, point := range points {
		cx, cy, _ := strings.Cut(point, ",")
		d.printf("<circle cx=\"%s\" cy=\"%s\" r=\"3.5\" fill=\"%s\"/>\n", cx, cy, colour)
	}
}

// key says which colour is whose.
func (d *drawing) key() {
	for n, name := range d.names {
		x := panelLeft + float64(n)*150
		d.printf("<circle cx=\"%.1f\" cy=\"%d\" r=\"5\" fill=\"%s\"/><text x=\"%.1f\" y=\"%d\">%s</text>\n",
			x, plotHeight-10, colours[n%len(colours)], x+10, plotHeight-6, html.EscapeString(name))
	}
}

func (d *drawing) x(i int) float64 {
	return panelLeft + (panelRight-panelLeft)*(float64(i)+0.5)/float64(len(d.ks))
}

// axis maps values to pixels, with ticks that end above the greatest.
func (d *drawing) axis(p panel) (at func(float64) float64, ticks []float64) {
	least, most := math.Inf(1), 0.0
	for _, m := range d.Medians {
		if v := p.of(m); v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	if most == 0 {
		least, most = 1, 1
	}
	if p.log {
		from, to := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
		to = max(to, from+1)
		for e := from; e <= to; e++ {
			ticks = append(ticks, math.Pow(10, e))
		}
		return func(v float64) float64 {
			share := (math.Log10(v) - from) / (to - from)
			return panelBottom - (panelBottom-panelTop)*min(1, max(0, share)) // NaN cannot be: v of 0 is -Inf
		}, ticks
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for most/step < 4 {
		step /= 2
	}
	end := step * math.Ceil(most/step)
	for v := 0.0; v <= end; v += step {
		ticks = append(ticks, v)
	}
	return func(v float64) float64 { return panelBottom - (panelBottom-panelTop)*v/end }, ticks
}

func (r report) ks() (ks []int) {
	for _, m := range r.Medians {
		if !slices.Contains(ks, m.Outstanding) {
			ks = append(ks, m.Outstanding)
		}
	}
	return ks
}

// names are those of the servers, lockstep's first.
func (r report) names() (names []string) {
	for _, m := range r.Medians {
		if !slices.Contains(names, m.Peer) {
			names = append(names, m.Peer)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(b[:1], a[:1]) })
	return names
}
