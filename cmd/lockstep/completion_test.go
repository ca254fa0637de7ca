package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const completionDir = "../../packaging/completions"

// The completions are made from the help of the commands: -update writes them.
func TestCompletionsAreThoseOfTheHelp(t *testing.T) {
	root := commandTree(t)
	for file, text := range map[string]string{"lockstep.bash": bash(root), "_lockstep": zsh(root), "lockstep.fish": fish(root)} {
		path := filepath.Join(completionDir, file)
		if *update {
			if err := os.MkdirAll(completionDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != text {
			t.Errorf("%s is not what the help says: %v; write it by go test ./cmd/lockstep -run Completion -update", file, err)
		}
	}
}

// node is a command or a group of commands.
type node struct {
	words    []string // those that lead here; none at the top
	about    string   // in one line
	subs     []*node  // of a group
	options  []completedOption
	argument completion // what stands behind the options
	many     bool       // there is more than one argument
}

type completedOption struct {
	option
	takes completion // as its value
}

// completion is what a word may be.
type completion struct {
	kind  kind
	words []string
	name  string // what the help calls it
}

type kind int

const (
	nothing kind = iota // no value, or one that nobody can guess
	files
	folders
	oneOf
)

// choices are the words that an option or an argument takes, where it takes no
// others. The help has to have them.
var choices = map[string]string{
	"-algorithm": "SHA1 SHA256 SHA512",
	"-digits":    "6 8",
	"-format":    "csv pskc freeipa privacyidea google-authenticator otpauth",
	"FROM":       "bolt etcd",
	"TO":         "bolt etcd",
}

func commandTree(t *testing.T) *node {
	t.Helper()
	root := &node{}
	for _, c := range allCommands(t) {
		parent, list := root, help
		if len(c.words) > 1 {
			parent, list = root.group(c.words[0]), helpOf(t, c.words[0])
		}
		n := &node{words: c.words, about: aboutOf(list, c)}
		n.argument, n.many = argumentOf(t, c)
		for _, o := range c.options {
			n.options = append(n.options, completedOption{o, completionOf(t, c, "-"+o.name, o.value)})
		}
		parent.subs = append(parent.subs, n)
	}
	root.subs = append(root.subs, &node{words: []string{"help"}, about: "List the commands"})
	return root
}

// group returns the group of that name, which it makes if there is none.
func (n *node) group(name string) *node {
	for _, s := range n.subs {
		if s.words[0] == name {
			return s
		}
	}
	group := &node{words: []string{name}, about: aboutIn(help, name)}
	n.subs = append(n.subs, group)
	return group
}

// aboutOf says what c does: as the list that it stands in does, or as its own help.
func aboutOf(list string, c command) string {
	if about := aboutIn(list, c.words[len(c.words)-1]); about != "" {
		return about
	}
	_, text, _ := strings.Cut(c.text, "\n\n")
	return firstSentence(text)
}

// aboutIn returns what a list of commands says of one.
func aboutIn(list, name string) string {
	m := regexp.MustCompile(`(?m)^    ` + name + ` +([A-Z].*(?:\n     +.*)*)`).FindStringSubmatch(list)
	if m == nil {
		return ""
	}
	return firstSentence(m[1])
}

func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text, _, _ = strings.Cut(text+" ", ". ")
	text, _, _ = strings.Cut(text, ": ")
	return strings.TrimSpace(text)
}

// argumentOf returns the first that c takes behind its options, by its usage, and
// whether it takes more of the kind.
func argumentOf(t *testing.T, c command) (argument completion, many bool) {
	t.Helper()
	optional := regexp.MustCompile(`\[[^\]]*\]| -\S+( [A-Z]+)?`)
	for _, line := range c.usage {
		rest := strings.TrimPrefix(strings.TrimSpace(line), "lockstep "+c.String())
		names := regexp.MustCompile(`[A-Z]+`).FindAllString(optional.ReplaceAllString(rest, ""), -1)
		if len(names) > 0 {
			return completionOf(t, c, names[0], names[0]), len(names) > 1 || strings.HasSuffix(rest, "...")
		}
	}
	return completion{}, false
}

// completionOf returns how the value of an option is completed, or an argument; what
// is either.
func completionOf(t *testing.T, c command, what, value string) completion {
	t.Helper()
	if words, ok := choices[what]; ok {
		for word := range strings.FieldsSeq(words) {
			if !regexp.MustCompile(`\b` + word + `\b`).MatchString(c.text) {
				t.Errorf("lockstep %s: %s is not one of %s in its help", c, word, what)
			}
		}
		return completion{oneOf, strings.Fields(words), value}
	}
	switch value {
	case "FILE", "BACKUP":
		return completion{kind: files, name: value}
	case "DIR":
		return completion{kind: folders, name: value}
	}
	return completion{name: value}
}

// leaves returns the commands that are no groups.
func (n *node) leaves() (all []*node) {
	if n.subs == nil {
		return []*node{n}
	}
	for _, s := range n.subs {
		all = append(all, s.leaves()...)
	}
	return all
}

func (n *node) groups() (all []*node) {
	for _, s := range n.subs {
		if s.subs != nil {
			all = append(all, s)
		}
	}
	return all
}

func (n *node) name() string { return n.words[len(n.words)-1] }

func (n *node) subNames() string {
	var names []string
	for _, s := range n.subs {
		names = append(names, s.name())
	}
	return strings.Join(names, " ")
}

const madeBy = "# Made from the help of the commands, by:\n# go test ./cmd/lockstep -run Completion -update\n"

func (n *node) path() string { return strings.Join(n.words, " ") }

// with returns the options that take a value.
func (n *node) with() (all []completedOption) {
	for _, o := range n.options {
		if o.value != "" {
			all = append(all, o)
		}
	}
	return all
}

func dashed(options []completedOption) string {
	var all []string
	for _, o := range options {
		all = append(all, "-"+o.option.name)
	}
	return strings.Join(all, " ")
}
