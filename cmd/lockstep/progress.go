package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// How often progress is shown: to a person, and in a log.
const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 10 * time.Second
)

// progress shows how far a long task is: as a bar on a terminal, which goes when
// the task ends, and elsewhere as a line now and then, so that short tasks are
// silent. A library would be larger than what we need of it.
type progress struct {
	w     io.Writer
	what  string
	width int // columns of the terminal; 0 is none
	now   func() time.Time
	last  time.Time
	drawn bool
}

func (a *app) progress(what string) *progress {
	p := &progress{w: a.err, what: what, now: time.Now, last: time.Now()}
	if isTerminal(a.err) {
		p.width = 80
		if width, _, err := term.GetSize(int(a.err.(*os.File).Fd())); err == nil && width > 0 {
			p.width = width
		}
	}
	return p
}

// step says that so many of so many are done.
func (p *progress) step(done, of int) {
	every := lineEvery
	if p.width > 0 {
		every = drawEvery
	}
	if now := p.now(); now.Sub(p.last) < every {
		return
	} else {
		p.last = now
	}
	if p.width == 0 && of == 0 {
		fmt.Fprintf(p.w, "lockstep: %s: %d\n", p.what, done)
		return
	}
	if p.width == 0 {
		fmt.Fprintf(p.w, "lockstep: %s: %d of %d\n", p.what, done, of)
		return
	}
	p.drawn = true
	fmt.Fprintf(p.w, "\r\x1b[K%s", bar(p.what, done, of, p.width-1))
}

// end takes the bar away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// bar returns a line of so many columns at most.
func bar(what string, done, of, width int) string {
	text := fmt.Sprintf("%s %d of %d", what, done, of)
	if of == 0 { // nobody knows
		text = fmt.Sprintf("%s %d", what, done)
	}
	room := min(width-len(text)-3, 50)
	if room < 5 || of == 0 {
		return text[:max(0, min(len(text), width))]
	}
	full := room * done / of
	return fmt.Sprintf("%s [%s%s]", text, strings.Repeat("#", full), strings.Repeat(".", room-full))
}
