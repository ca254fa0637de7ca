package qr

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
)

// maxModule bounds a picture to about 18,000 pixels on a side.
const maxModule = 100

// PNG writes text to w as a PNG picture, black on white, with the border of
// four modules that scanners want. Module is the width of one module in pixels,
// 1 to 100; 8 is right for a screen. It is an error if text does not fit a QR
// code, at about 2,300 octets.
func PNG(w io.Writer, text string, module int) error {
	if module < 1 || module > maxModule {
		return fmt.Errorf("draw QR code: modules of %d pixels, want 1 to %d", module, maxModule)
	}
	m, err := encode(text)
	if err != nil {
		return err
	}
	side := (m.size + 2*quiet) * module
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if !m.light(x/module-quiet, y/module-quiet) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	return png.Encode(w, img)
}

// SVG writes text to w as an SVG picture with the same border. It has no size of
// its own, 8 pixels a module where nothing says otherwise; a module is one unit of
// its view box. It is black on white on every background and in every theme, since
// scanners take no other. It is an error if text does not fit a QR code.
func SVG(w io.Writer, text string) error {
	m, err := encode(text)
	if err != nil {
		return err
	}
	var path strings.Builder
	for y := range m.size {
		runs(&path, m, y)
	}
	// crispEdges, or a renderer blurs the edges between runs into grey lines.
	_, err = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[3]d" height="%[3]d" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges">`+
		`<rect width="%[1]d" height="%[1]d" fill="#fff"/><path fill="#000" d="%[2]s"/></svg>`+"\n", m.size+2*quiet, path.String(), 8*(m.size+2*quiet))
	return err
}

// runs draws the dark parts of row y, one rectangle each.
func runs(path *strings.Builder, m matrix, y int) {
	for x := 0; x < m.size; x++ {
		start := x
		for !m.light(x, y) {
			x++
		}
		if n := x - start; n > 0 {
			fmt.Fprintf(path, "M%d %dh%dv1h-%dz", start+quiet, y+quiet, n, n)
		}
	}
}
