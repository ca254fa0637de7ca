// Package qr draws QR codes: with the characters of a terminal, large enough for
// a phone's camera and no larger, and as PNG and SVG pictures.
//
// What it is given is a key mostly: it keeps nothing, logs nothing, and no
// error quotes it. The pictures hold the key: who reads them has it.
package qr

import (
	"fmt"
	"io"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// quiet is the width of the empty border that scanners want around the code.
const quiet = 4

// Colour says how the two colours of a code are made.
type Colour int

// The ways of drawing.
const (
	Plain Colour = iota // blocks for the light parts: right on a dark background
	ANSI                // black and white by escape sequences: right on every background
)

// Write draws text on w, two rows of the code to a line.
func Write(w io.Writer, text string, c Colour) error {
	code, err := encode(text)
	if err != nil {
		return err
	}
	var out strings.Builder
	for y := -quiet; y < code.size+quiet; y += 2 {
		line(&out, code, y, c)
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// A matrix is a code as modules: dark or light squares.
type matrix struct {
	size int // modules on a side, without the border
	code barcode.Barcode
}

func encode(text string) (matrix, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		// The library's error quotes its input.
		return matrix{}, fmt.Errorf("draw QR code: %d octets do not fit", len(text))
	}
	return matrix{size: code.Bounds().Dx(), code: code}, nil
}

// light reports the colour of a module. Outside the code everything is light.
func (m matrix) light(x, y int) bool {
	if x < 0 || y < 0 || x >= m.size || y >= m.size {
		return true
	}
	r, _, _, _ := m.code.At(x, y).RGBA()
	return r != 0
}

// line draws rows y and y+1.
func line(out *strings.Builder, m matrix, y int, c Colour) {
	if c == ANSI {
		// Colours 16 and 231 of the 256 are black and white in every theme.
		out.WriteString("\x1b[38;5;231;48;5;16m")
	}
	for x := -quiet; x < m.size+quiet; x++ {
		switch top, bottom := m.light(x, y), m.light(x, y+1); {
		case top && bottom:
			out.WriteRune('█')
		case top:
			out.WriteRune('▀')
		case bottom:
			out.WriteRune('▄')
		default:
			out.WriteRune(' ')
		}
	}
	if c == ANSI {
		out.WriteString("\x1b[0m")
	}
	out.WriteByte('\n')
}
