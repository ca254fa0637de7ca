package fleet

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// The plot, in pixels.
const (
	plotWidth, plotHeight     = 800, 500
	plotLeft, plotRight       = 95.0, 770.0
	plotTop, plotBottom       = 60.0, 430.0
	dotRadius                 = 5.0
	labelHeight, labelPerRune = 16.0, 7.6 // on the wide side for 13 px type
)

// WriteSVG draws the refusals at the first try, on a logarithmic scale, against
// the codes acceptable, with a dot for each model: the nearer to the lower left
// corner the better. A model without any refusal lies on the bottom line.
func (r Report) WriteSVG(w io.Writer) error {
	p := plot{x: linearAxis(r), y: logAxis(r)}
	p.frame(r)
	for _, res := range r.Results {
		x, y := p.place(res.All)
		p.taken = append(p.taken, box{x - dotRadius, y - dotRadius, 2 * dotRadius, 2 * dotRadius})
	}
	for _, res := range slices.Backward(r.Results) { // the first on top
		p.dot(res)
	}
	p.text.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.text.String())
	return err
}

// plot is a drawing in the making.
type plot struct {
	text  strings.Builder
	x, y  axis
	taken []box // by dots, also those not drawn yet, and labels
}

func (p *plot) printf(format string, a ...any) { fmt.Fprintf(&p.text, format, a...) }

// frame draws all but the dots and their labels.
func (p *plot) frame(r Report) {
	t := r.all()
	p.printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	p.printf("<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	p.printf("<text x=\"%d\" y=\"32\" text-anchor=\"middle\" font-size=\"17\">%s</text>\n", plotWidth/2,
		html.EscapeString(fmt.Sprintf("Refusals and guess surface: %s logins of %s people, seed %d", grouped(t.Logins), grouped(t.Users), r.Settings.Seed)))
	for _, tick := range p.x.ticks {
		x := p.x.at(tick)
		p.printf("<path d=\"M%.1f %.1fV%.1f\" stroke=\"#ddd\"/>\n", x, plotTop, plotBottom)
		p.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.3g</text>\n", x, plotBottom+20, tick)
	}
	for _, tick := range p.y.ticks {
		y := p.y.at(tick)
		p.printf("<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n", plotLeft, y, plotRight)
		p.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.3g %%</text>\n", plotLeft-8, y+4, tick)
	}
	p.printf("<path d=\"M%.1f %.1fV%.1fH%.1f\" stroke=\"#222\" fill=\"none\"/>\n", plotLeft, plotTop, plotBottom, plotRight)
	p.printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">codes acceptable at a login, mean</text>\n", (plotLeft+plotRight)/2, plotBottom+48)
	p.printf("<text transform=\"translate(22 %.1f) rotate(-90)\" text-anchor=\"middle\">logins refused at the first try (log scale)</text>\n", (plotTop+plotBottom)/2)
}

func (p *plot) place(t Tally) (x, y float64) {
	return p.x.at(t.MeanCodes()), p.y.at(t.RefusedPercent())
}

// dot draws a model's dot, and its name where there is room for it.
func (p *plot) dot(r Result) {
	colour, weight := "#36648b", "normal"
	if r.Model == lockstepName {
		colour, weight = "#b22222", "bold"
	}
	name := r.Model
	if r.All.Refused == 0 {
		name += " (none)"
	}
	x, y := p.place(r.All)
	b := p.room(x, y, labelPerRune*float64(utf8.RuneCountInString(name)))
	p.taken = append(p.taken, b)
	p.printf("<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"%s\"/>\n", x, y, dotRadius, colour)
	p.printf("<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"%s\" font-weight=\"%s\" stroke=\"#fff\" stroke-width=\"4\" paint-order=\"stroke\">%s</text>\n",
		b.x+b.w/2, b.y+labelHeight-4, colour, weight, html.EscapeString(name))
}

// room returns a place for a label of this width at the dot in x, y: the first
// one in which nothing is in the way yet, going round the dot and outwards.
func (p *plot) room(x, y, width float64) box {
	const beside, height = -labelHeight / 2, labelHeight
	for far := 2 * dotRadius; far < plotBottom-plotTop; far += height / 2 {
		for _, b := range []box{
			{x + far, y + beside, width, height}, {x - far - width, y + beside, width, height},
			{x - width/2, y - far - height, width, height}, {x - width/2, y + far, width, height},
			{x, y - far - height, width, height}, {x, y + far, width, height},
			{x - width, y - far - height, width, height}, {x - width, y + far, width, height},
		} {
			if b.inPlot() && !b.meetsAny(p.taken) {
				return b
			}
		}
	}
	return box{x + 2*dotRadius, y + beside, width, height}
}

// box is an upright rectangle, x and y its upper left corner.
type box struct{ x, y, w, h float64 }

func (b box) inPlot() bool {
	return b.x >= plotLeft && b.x+b.w <= plotRight && b.y >= plotTop && b.y+b.h <= plotBottom
}

func (b box) meetsAny(all []box) bool {
	for _, o := range all {
		if b.x < o.x+o.w && o.x < b.x+b.w && b.y < o.y+o.h && o.y < b.y+b.h {
			return true
		}
	}
	return false
}

// axis maps values to pixels.
type axis struct {
	ticks []float64
	at    func(value float64) float64
}

// linearAxis is the one of the codes. It begins at 0.
func linearAxis(r Report) axis {
	most := 1.0
	for _, res := range r.Results {
		most = max(most, res.All.MeanCodes())
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	if most/step < 5 {
		step /= 5
	}
	end := step * math.Ceil(most*1.05/step)
	a := axis{at: func(v float64) float64 { return plotLeft + (plotRight-plotLeft)*v/end }}
	for i := 0.0; i*step <= end; i++ {
		a.ticks = append(a.ticks, i*step)
	}
	return a
}

// logAxis is the one of the refusals in percent, from the power of ten below
// the least to that above the most. There is no place for 0 on it, which lies
// at its end.
func logAxis(r Report) axis {
	least, most := math.Inf(1), 0.0
	for _, res := range r.Results {
		if p := res.All.RefusedPercent(); p > 0 {
			least, most = min(least, p), max(most, p)
		}
	}
	if most == 0 {
		least, most = 0.01, 1
	}
	from := math.Floor(math.Log10(least) - 0.1)
	to := max(from+1, math.Ceil(math.Log10(most)))
	a := axis{at: func(v float64) float64 {
		share := (math.Log10(v) - from) / (to - from)
		return plotBottom - (plotBottom-plotTop)*max(0, share)
	}}
	a.ticks = append(a.ticks, math.Pow(10, to))
	for exp := from; exp < to; exp++ {
		for _, mantissa := range []float64{1, 2, 5} {
			a.ticks = append(a.ticks, mantissa*math.Pow(10, exp))
		}
	}
	return a
}
