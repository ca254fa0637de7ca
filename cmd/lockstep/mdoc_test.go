package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const manualDir = "../../packaging/man"

// page is a manual page in mdoc(7).
type page struct {
	file     string // such as lockstep.1
	text     string
	sections []section // by .Sh and .Ss, in order
}

// section is what stands below one .Sh or .Ss.
type section struct {
	title string
	lines []string
	items []item // of its lists, but not of lists in these
}

// item is one .It.
type item struct {
	head string // with its macros
	text string // below it, in one line, with its macros
}

func pages(t *testing.T) (all []page) {
	t.Helper()
	files, err := filepath.Glob(manualDir + "/*.[1-8]")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d pages in %s: %v", len(files), manualDir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parsePage(filepath.Base(file), string(text)))
	}
	return all
}

func parsePage(file, text string) page {
	p := page{file: file, text: text, sections: []section{{}}}
	depth := 0
	for line := range strings.SplitSeq(text, "\n") {
		s := &p.sections[len(p.sections)-1]
		macro, rest, _ := strings.Cut(line, " ")
		switch {
		case macro == ".Sh" || macro == ".Ss":
			p.sections = append(p.sections, section{title: rest})
			continue
		case macro == ".Bl":
			depth++
		case macro == ".El":
			depth--
		case macro == ".It" && depth == 1:
			s.items = append(s.items, item{head: rest})
		case depth > 0 && len(s.items) > 0:
			s.items[len(s.items)-1].text += line + " "
		}
		s.lines = append(s.lines, line)
	}
	return p
}

// section returns the one of that title.
func (p page) section(title string) (section, bool) {
	for _, s := range p.sections {
		if s.title == title {
			return s, true
		}
	}
	return section{}, false
}

// name returns the page's name and section, as .Xr writes them.
func (p page) name() string {
	i := strings.LastIndexByte(p.file, '.')
	return p.file[:i] + " " + p.file[i+1:]
}

var crossReference = regexp.MustCompile(`(?m)^\.(?:It )?Xr (\S+ \d)`)

// references returns the pages that p refers to.
func (p page) references() (names []string) {
	for _, m := range crossReference.FindAllStringSubmatch(p.text, -1) {
		names = append(names, m[1])
	}
	return names
}
