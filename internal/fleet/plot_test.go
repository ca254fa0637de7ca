package fleet

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// shape is an element of an SVG.
type shape struct {
	Class    string  `xml:"class,attr"`
	CX       float64 `xml:"cx,attr"`
	CY       float64 `xml:"cy,attr"`
	X        string  `xml:"x,attr"`
	Y        string  `xml:"y,attr"`
	Fill     string  `xml:"fill,attr"`
	Contents string  `xml:",chardata"`
}

type drawing struct {
	XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
	Rects   []shape  `xml:"rect"`
	Circles []shape  `xml:"circle"`
	Texts   []shape  `xml:"text"`
	Scripts []shape  `xml:"script"`
}

// drawn returns the plot of models that stand at these codes and refusals, of
// 10,000 logins.
func drawn(t *testing.T, places ...[2]int) drawing {
	t.Helper()
	r := Report{Settings: Defaults()}
	for i, p := range places {
		name := "model <" + strconv.Itoa(i) + "> & co"
		r.Results = append(r.Results, Result{Model: name, All: Tally{Logins: 10_000, Codes: p[0] * 10_000, Refused: p[1]}})
	}
	var b strings.Builder
	if err := r.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	var d drawing
	if err := xml.Unmarshal([]byte(b.String()), &d); err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	return d
}

// labels returns where the names are, roughly.
func (d drawing) labels(t *testing.T) (all []box) {
	for _, s := range d.Texts {
		if s.Class != "label" {
			continue
		}
		x, errX := strconv.ParseFloat(s.X, 64)
		y, errY := strconv.ParseFloat(s.Y, 64)
		if errX != nil || errY != nil {
			t.Fatalf("label at %q, %q", s.X, s.Y)
		}
		w := 7 * float64(utf8.RuneCountInString(s.Contents))
		all = append(all, box{x - w/2, y - 10, w, 13})
	}
	return all
}

func TestPlotHasADotAndALabelForEach(t *testing.T) {
	for name, places := range map[string][][2]int{
		"the usual":                   {{4, 4}, {3, 2000}, {21, 900}, {3, 100}, {5, 7}, {7, 4}},
		"all in one place":            {{3, 50}, {3, 50}, {3, 50}, {3, 50}, {3, 50}, {3, 50}},
		"on the edges":                {{0, 1}, {21, 1}, {0, 10_000}, {21, 10_000}},
		"none that refuses":           {{3, 0}, {5, 0}, {7, 0}},
		"all that refuse, and always": {{3, 10_000}, {5, 10_000}},
		"hundreds of codes":           {{500, 3}, {3, 3}},
		"nobody":                      {},
		"one without a login":         {{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			d := drawn(t, places...)
			labels := d.labels(t)
			if len(d.Circles) != len(places) || len(labels) != len(places) || len(d.Scripts) != 0 {
				t.Fatalf("%d dots, %d labels, %d scripts for %d models", len(d.Circles), len(labels), len(d.Scripts), len(places))
			}
			if len(d.Rects) != 1 || d.Rects[0].Fill != "#fff" {
				t.Errorf("background %+v, want white", d.Rects)
			}
			for i, c := range d.Circles {
				if c.CX < plotLeft || c.CX > plotRight || c.CY < plotTop || c.CY > plotBottom {
					t.Errorf("dot outside: %+v", c)
				}
				dot := box{c.CX - dotRadius, c.CY - dotRadius, 2 * dotRadius, 2 * dotRadius}
				if dot.meetsAny(labels) {
					t.Errorf("dot %d is under a label", i)
				}
			}
			for i, b := range labels {
				if b.meetsAny(labels[:i]) || !b.inPlot() {
					t.Errorf("label %d is in the way of another or outside: %+v", i, b)
				}
			}
		})
	}
}

func TestPlotSaysWhatItShows(t *testing.T) {
	d := drawn(t, [2]int{4, 4}, [2]int{21, 1000})
	var all []string
	for _, s := range d.Texts {
		all = append(all, s.Contents)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"10,000 logins", "seed 1", "codes acceptable", "refused at the first try", "0.01 %", "0.05 %", "10 %", "\n0\n", "\n20\n", "model <0> & co"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing of %q in:\n%s", want, text)
		}
	}
	// Four in 10,000 is 0.04 %, between these two lines.
	if c := d.Circles[len(d.Circles)-1]; c.CY < plotTop || c.CY > plotBottom-1 {
		t.Errorf("a model that refuses stands where none refuses: %+v", c)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("disk full")

func TestPlotThatCannotBeWritten(t *testing.T) {
	if err := made().WriteSVG(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
}
