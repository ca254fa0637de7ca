package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// update has the tests write what they would complain of, where that can be made:
// go test ./cmd/lockstep -run 'Manual|Completion' -update.
var update = flag.Bool("update", false, "write the completions anew, and the date of lockstep.1 into all pages")

// pageOf returns the page of a command: a page for each, or one for a group.
func pageOf(all []page, c command) (page, bool) {
	for _, p := range all {
		if name, _, _ := strings.Cut(p.name(), " "); name == "lockstep-"+c.words[0] {
			return p, true
		}
	}
	return page{}, false
}

func TestManualHasEveryCommandAndOption(t *testing.T) {
	all := pages(t)
	for _, c := range allCommands(t) {
		p, ok := pageOf(all, c)
		if !ok {
			t.Errorf("lockstep %s: there is no page lockstep-%s", c, c.words[0])
			continue
		}
		s, ok := p.section("DESCRIPTION")
		if len(c.words) > 1 {
			s, ok = p.section(c.words[1])
		}
		if !ok {
			t.Errorf("%s: no section about %s", p.file, c)
		}
		checkOptions(t, p, s, c)
		checkSynopsis(t, p, c)
	}
}

var optionHead = regexp.MustCompile(`^Fl (\S+)( Ar \S.*)?$`)

// checkOptions holds the items of s to the options of c.
func checkOptions(t *testing.T, p page, s section, c command) {
	t.Helper()
	described := map[string]item{}
	for _, i := range s.items {
		m := optionHead.FindStringSubmatch(i.head)
		if m == nil {
			continue
		}
		described[m[1]] = i
		at := slices.IndexFunc(c.options, func(o option) bool { return o.name == m[1] })
		if at < 0 {
			t.Errorf("%s: lockstep %s has no option -%s", p.file, c, m[1])
		} else if takes := c.options[at].value != ""; takes != (m[2] != "") {
			t.Errorf("%s: lockstep %s: whether -%s takes a value: %v", p.file, c, m[1], takes)
		}
	}
	for _, o := range c.options {
		if i, ok := described[o.name]; !ok {
			t.Errorf("%s: lockstep %s: the option -%s is missing", p.file, c, o.name)
		} else if !strings.Contains(i.text, o.fallback) {
			t.Errorf("%s: lockstep %s: the default of -%s is %s, which is not said", p.file, c, o.name, o.fallback)
		}
	}
}

// checkSynopsis looks for c in the synopsis, and there for options that it has not.
func checkSynopsis(t *testing.T, p page, c command) {
	t.Helper()
	synopsis, _ := p.section("SYNOPSIS")
	found, of := false, ""
	for _, line := range synopsis.lines {
		if name, ok := strings.CutPrefix(line, ".Nm lockstep "); ok {
			of = name
		}
		if of != c.String() {
			continue
		}
		found = true
		m := regexp.MustCompile(`\bFl (\S+)`).FindStringSubmatch(line)
		if m != nil && !slices.ContainsFunc(c.options, func(o option) bool { return o.name == m[1] }) {
			t.Errorf("%s: synopsis: lockstep %s has no option -%s", p.file, c, m[1])
		}
	}
	if !found {
		t.Errorf("%s: lockstep %s is not in the synopsis", p.file, c)
	}
}

const (
	helperPage = "lockstep-pam.8"   // of another program
	auditPage  = "lockstep-audit.8" // of a command of which these pages know first
)

func TestManualHasNoOtherCommands(t *testing.T) {
	commands, all := allCommands(t), pages(t)
	overview, _ := pageNamed(t, all, "lockstep.1").section("DESCRIPTION")
	for _, p := range all {
		name, ours := strings.CutPrefix(p.file, "lockstep-")
		if !ours || p.file == helperPage {
			continue
		}
		name = name[:len(name)-2]
		if p.file != auditPage && !slices.ContainsFunc(commands, func(c command) bool { return c.words[0] == name }) {
			t.Errorf("%s: there is no such command", p.file)
		}
		if !slices.ContainsFunc(overview.items, func(i item) bool { return i.head == "Xr "+p.name() }) {
			t.Errorf("%s: lockstep.1 does not list it", p.file)
		}
	}
}

// Each part of a page about a group of commands is about one of these.
func TestManualHasNoOtherSubcommands(t *testing.T) {
	all := pages(t)
	known := map[string][]string{}
	for _, c := range allCommands(t) {
		if p, ok := pageOf(all, c); ok && len(c.words) > 1 {
			known[p.file] = append(known[p.file], c.words[1])
		}
	}
	for file, subs := range known {
		p := pageNamed(t, all, file)
		for _, s := range p.sections {
			for _, i := range s.items {
				if optionHead.MatchString(i.head) && !slices.Contains(subs, s.title) {
					t.Errorf("%s: %s has options, and is no command", file, s.title)
				}
			}
		}
		synopsis, _ := p.section("SYNOPSIS")
		for _, line := range synopsis.lines {
			name, of := strings.CutPrefix(line, ".Nm lockstep ")
			if words := strings.Fields(name); of && !slices.Contains(subs, words[len(words)-1]) {
				t.Errorf("%s: synopsis: there is no lockstep %s", file, name)
			}
		}
	}
}

func pageNamed(t *testing.T, all []page, file string) page {
	t.Helper()
	at := slices.IndexFunc(all, func(p page) bool { return p.file == file })
	if at < 0 {
		t.Fatalf("there is no page %s", file)
	}
	return all[at]
}

func TestManualRefersToPagesThatAreThere(t *testing.T) {
	all := pages(t)
	var names []string
	for _, p := range all {
		names = append(names, p.name())
	}
	for _, p := range all {
		for _, name := range p.references() {
			ours := strings.Contains(name, "lockstep") || strings.Contains(name, ".toml")
			if ours && !slices.Contains(names, name) {
				t.Errorf("%s refers to %s, which is not there", p.file, name)
			}
		}
		if !strings.Contains(p.text, ".Dt "+strings.ToUpper(p.name())+"\n") {
			t.Errorf("%s: its .Dt is not %s", p.file, strings.ToUpper(p.name()))
		}
	}
}

// All pages have one date, that of lockstep.1.
func TestManualHasOneDate(t *testing.T) {
	all := pages(t)
	date := regexp.MustCompile(`\A\.Dd .*\n`)
	want := date.FindString(pageNamed(t, all, "lockstep.1").text)
	for _, p := range all {
		if strings.HasPrefix(p.text, want) {
			continue
		}
		if !*update {
			t.Errorf("%s: want %s as lockstep.1; go test ./cmd/lockstep -run Manual -update writes it", p.file, strings.TrimSpace(want))
			continue
		}
		text := date.ReplaceAllLiteralString(p.text, want)
		if err := os.WriteFile(filepath.Join(manualDir, p.file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManualIsLintClean(t *testing.T) {
	t.Parallel()
	mandoc := testenv.Tool(t, "mandoc")
	for _, p := range pages(t) {
		out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", filepath.Join(manualDir, p.file)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", p.file, err, out)
		}
	}
}

// What people have is mostly groff and not mandoc.
func TestManualIsShownByMan(t *testing.T) {
	t.Parallel()
	man := testenv.Tool(t, "man")
	for _, p := range pages(t) {
		cmd := exec.Command(man, "--warnings=all", "-l", filepath.Join(manualDir, p.file))
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANPAGER=cat", "PAGER=cat", "MAN_KEEP_FORMATTING=", "GROFF_NO_SGR=1")
		var out, warnings strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &warnings
		if err := cmd.Run(); err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v\n%s", p.file, err, &warnings)
		}
		name, _, _ := strings.Cut(p.name(), " ")
		if shown := out.String(); !strings.Contains(shown, "\nNAME\n") || !strings.Contains(shown, name) {
			t.Errorf("%s is shown as\n%.200s", p.file, shown)
		}
	}
}
