package qr

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func TestScannerReadsThePictures(t *testing.T) {
	zbarimg := testenv.Tool(t, "zbarimg")
	for _, text := range []string{uri, "x", strings.Repeat("long text ", 30)} {
		for name, picture := range map[string][]byte{
			"PNG, 2 pixels a module": pngOf(t, text, 2),
			"PNG, 8 pixels a module": pngOf(t, text, 8),
			"SVG":                    rasterise(t, svgOf(t, text), 4),
		} {
			path := filepath.Join(t.TempDir(), "code.png")
			if err := os.WriteFile(path, picture, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := exec.Command(zbarimg, "-q", "--raw", path).Output()
			if err != nil || strings.TrimSuffix(string(got), "\n") != text {
				t.Errorf("%s: scanner reads %q, %v; want %q", name, got, err, text)
			}
		}
	}
}

func pngOf(t *testing.T, text string, module int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := PNG(&out, text, module); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func svgOf(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	if err := SVG(&out, text); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// drawing is an SVG document of the one shape that SVG writes.
type drawing struct {
	XMLName   xml.Name `xml:"http://www.w3.org/2000/svg svg"`
	Width     string   `xml:"width,attr"`
	ViewBox   string   `xml:"viewBox,attr"`
	Rendering string   `xml:"shape-rendering,attr"`
	Rect      struct {
		Width  string `xml:"width,attr"`
		Height string `xml:"height,attr"`
		Fill   string `xml:"fill,attr"`
	} `xml:"rect"`
	Path []struct {
		Fill string `xml:"fill,attr"`
		D    string `xml:"d,attr"`
	} `xml:"path"`
}

var run = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// rasterise draws the path as any viewer would, and returns it as PNG.
func rasterise(t *testing.T, svg string, module int) []byte {
	t.Helper()
	var d drawing
	var side int
	if err := xml.Unmarshal([]byte(svg), &d); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(d.ViewBox, "0 0 %d", &side); err != nil || d.ViewBox != fmt.Sprintf("0 0 %d %[1]d", side) {
		t.Fatalf("view box %q", d.ViewBox)
	}
	edge := strconv.Itoa(side)
	if d.Width != strconv.Itoa(8*side) || d.Rendering != "crispEdges" || d.Rect.Fill != "#fff" || d.Rect.Width != edge || d.Rect.Height != edge || len(d.Path) != 1 || d.Path[0].Fill != "#000" {
		t.Errorf("not a scalable black path on a white square of %d: %+v", side, d)
	}
	if rest := run.ReplaceAllString(d.Path[0].D, ""); rest != "" {
		t.Fatalf("path holds %q", rest)
	}
	img := image.NewGray(image.Rect(0, 0, side*module, side*module))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for _, m := range run.FindAllStringSubmatch(d.Path[0].D, -1) {
		x, y, w, back := number(t, m[1]), number(t, m[2]), number(t, m[3]), number(t, m[4])
		if w != back {
			t.Errorf("%s does not close", m[0])
		}
		draw.Draw(img, image.Rect(x*module, y*module, (x+w)*module, (y+1)*module), image.Black, image.Point{}, draw.Src)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Both pictures show the same modules, inside a white border four modules wide.
func TestPicturesAgree(t *testing.T) {
	const module = 3
	got, err := png.Decode(bytes.NewReader(pngOf(t, uri, module)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(rasterise(t, svgOf(t, uri), module)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Bounds() != want.Bounds() {
		t.Fatalf("PNG is %v, SVG %v", got.Bounds(), want.Bounds())
	}
	side := got.Bounds().Dx()
	white := color.Gray{Y: 255}
	inside := image.Rect(4*module, 4*module, side-4*module, side-4*module)
	dark := image.Rectangle{}
	for y := range side {
		for x := range side {
			g, w := color.GrayModel.Convert(got.At(x, y)), color.GrayModel.Convert(want.At(x, y))
			if g != w {
				t.Fatalf("at %d,%d PNG is %v, SVG %v", x, y, g, w)
			}
			if g != white {
				dark = dark.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if dark != inside {
		t.Errorf("the code covers %v, want %v", dark, inside)
	}
}

func TestPicturesThatAreRefused(t *testing.T) {
	long := strings.Repeat("canary", 1000)
	for name, err := range map[string]error{
		"PNG of too much":           PNG(&bytes.Buffer{}, long, 8),
		"SVG of too much":           SVG(&bytes.Buffer{}, long),
		"modules of no pixels":      PNG(&bytes.Buffer{}, "canary", 0),
		"modules of a million":      PNG(&bytes.Buffer{}, "canary", 1e6),
		"modules of -1":             PNG(&bytes.Buffer{}, "canary", -1),
		"a writer that fails (PNG)": PNG(full{}, "canary", 8),
		"a writer that fails (SVG)": SVG(full{}, "canary"),
	} {
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
