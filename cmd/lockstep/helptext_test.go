package main

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// command is one command, as its -help describes it.
type command struct {
	words   []string // such as user, enroll
	usage   []string // the lines below "Usage:"
	options []option
	text    string // all of the help
}

// option is one option of a command.
type option struct {
	name     string
	value    string // what its value is called; empty if it takes none
	text     string
	fallback string // its default; empty for none
}

func (c command) String() string { return strings.Join(c.words, " ") }

var (
	subcommand  = regexp.MustCompile(`^    lockstep ([a-z]+) +([a-z]+)\b`)
	anyCommand  = regexp.MustCompile(`^    lockstep ([a-z]+)\b`)
	optionLines = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: (\S+))?\n((?:    \t.*\n)+)`)
	defaultText = regexp.MustCompile(` \(default (.*)\)$`)
)

// allCommands returns every command that the help knows, those of a group such as
// user one by one.
func allCommands(t *testing.T) (all []command) {
	t.Helper()
	for _, name := range firstWords(help, anyCommand) {
		text := helpOf(t, name)
		subs := firstWords(text, subcommand)
		if subs == nil {
			all = append(all, parseHelp(text, name))
		}
		for _, sub := range subs {
			all = append(all, parseHelp(helpOf(t, name, sub), name, sub))
		}
	}
	if len(all) < 15 {
		t.Fatalf("the help knows no more than %q", all)
	}
	return all
}

func helpOf(t *testing.T, words ...string) string {
	t.Helper()
	var out, err bytes.Buffer
	if status := run(append(slices.Clone(words), "-help"), strings.NewReader(""), &out, &err); status != statusOK {
		t.Fatalf("lockstep %s -help: status %d: %s", strings.Join(words, " "), status, &err)
	}
	return out.String()
}

// firstWords returns the last group of line in each line of text, in order and
// once.
func firstWords(text string, line *regexp.Regexp) (words []string) {
	for _, l := range usageLines(text) {
		if m := line.FindStringSubmatch(l); m != nil && !slices.Contains(words, m[len(m)-1]) {
			words = append(words, m[len(m)-1])
		}
	}
	return words
}

// usageLines returns the lines below each "Usage:".
func usageLines(text string) (lines []string) {
	for _, part := range strings.Split("\n"+text, "\nUsage:\n")[1:] {
		part, _, _ = strings.Cut(part, "\n\n")
		lines = append(lines, strings.Split(part, "\n")...)
	}
	return lines
}

func parseHelp(text string, words ...string) command {
	c := command{words: words, text: text, usage: usageLines(text)}
	for _, m := range optionLines.FindAllStringSubmatch(text, -1) {
		o := option{name: m[1], value: m[2], text: strings.Join(strings.Fields(m[3]), " ")}
		if d := defaultText.FindStringSubmatch(o.text); d != nil {
			o.fallback = d[1]
			if unquoted, err := strconv.Unquote(d[1]); err == nil {
				o.fallback = unquoted
			}
			o.text = strings.TrimSuffix(o.text, d[0])
		}
		c.options = append(c.options, o)
	}
	return c
}

// The list of all commands names those of each group.
func TestHelpNamesTheCommandsOfGroups(t *testing.T) {
	small := regexp.MustCompile(`^[a-z]+$`)
	for _, name := range firstWords(help, anyCommand) {
		known := firstWords(helpOf(t, name), subcommand)
		at := slices.IndexFunc(usageLines(help), func(line string) bool { return strings.HasPrefix(line, "    lockstep "+name+" ") })
		if known == nil || at < 0 {
			continue
		}
		var listed []string
		for _, word := range strings.FieldsFunc(usageLines(help)[at], func(r rune) bool { return r == ' ' || r == '|' })[2:] {
			if small.MatchString(word) {
				listed = append(listed, word)
			}
		}
		slices.Sort(listed)
		slices.Sort(known)
		if !slices.Equal(listed, known) {
			t.Errorf("lockstep help lists %s %q, lockstep %s -help %q", name, listed, name, known)
		}
	}
}
