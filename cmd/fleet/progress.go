package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// progress returns what draws a bar on w, or nil if w is no terminal.
func progress(w io.Writer) func(done, of int) {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return bar(w)
}

// bar draws a bar when it has grown, and wipes it out at the end.
func bar(w io.Writer) func(done, of int) {
	const width = 50
	shown := -1
	return func(done, of int) {
		percent := 100 * done / of
		switch {
		case done == of:
			fmt.Fprintf(w, "\r%*s\r", width+8, "")
		case percent != shown:
			n := width * done / of
			fmt.Fprintf(w, "\r[%s%s] %3d %%", strings.Repeat("#", n), strings.Repeat(" ", width-n), percent)
		}
		shown = percent
	}
}
