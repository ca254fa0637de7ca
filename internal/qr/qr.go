// Package qr draws QR codes with the characters of a terminal, large enough for
// a phone's camera and no larger. What it is given is a secret mostly: it keeps
// nothing and logs nothing.
package qr

import (
	"fmt"
	"io"
	"strings"

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
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		// The library's error quotes its input.
		return fmt.Errorf("draw QR code: %d octets do not fit", len(text))
	}
	size := code.Bounds().Dx()
	light := func(x, y int) bool {
		if x < 0 || y < 0 || x >= size || y >= size {
			return true
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r != 0
	}
	var out strings.Builder
	for y := -quiet; y < size+quiet; y += 2 {
		line(&out, size, y, light, c)
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// line draws rows y and y+1. Below the last row everything is light.
func line(out *strings.Builder, size, y int, light func(x, y int) bool, c Colour) {
	if c == ANSI {
		// Colours 16 and 231 of the 256 are black and white in every theme.
		out.WriteString("\x1b[38;5;231;48;5;16m")
	}
	for x := -quiet; x < size+quiet; x++ {
		switch top, bottom := light(x, y), light(x, y+1); {
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
