package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func fish(root *node) string {
	var b strings.Builder
	b.WriteString("# Completion of lockstep(1) for fish.\n" + madeBy + `
# Whether the words so far are these and no more.
function __lockstep_at
    set -l words (commandline -opc)
    test "$words[2..-1]" = "$argv"
end

# Whether the words so far begin with these.
function __lockstep_in
    set -l words (commandline -opc)
    set -l count (count $argv)
    test (count $words) -gt $count; or return 1
    set -l begin $words[2..(math $count + 1)]
    test "$begin" = "$argv"
end

# The same, and there may be options: a word that is none and stands behind none
# is the first argument, and ends them.
function __lockstep_options
    __lockstep_in $argv; or return 1
    set -l words (commandline -opc)
    for i in (seq (math (count $argv) + 2) (count $words))
        string match -q -- '-*' $words[$i]; and continue
        string match -q -- '-*' $words[(math $i - 1)]; or return 1
    end
    return 0
end

complete -c lockstep -f
`)
	fishCommands(&b, root)
	for _, g := range root.groups() {
		fishCommands(&b, g)
	}
	for _, n := range root.leaves() {
		if len(n.options) > 0 || n.argument.kind != nothing {
			b.WriteString("\n")
		}
		in := "complete -c lockstep -n '__lockstep_in " + n.path() + "'"
		options := strings.Replace(in, "_in ", "_options ", 1)
		for _, o := range n.options {
			fmt.Fprintf(&b, "%s -o %s%s -d %s\n", options, o.option.name, fishValue(o), fishWord(o.text))
		}
		switch n.argument.kind {
		case files:
			fmt.Fprintf(&b, "%s -F\n", in)
		case oneOf:
			fmt.Fprintf(&b, "%s -a %s\n", in, fishWord(strings.Join(n.argument.words, " ")))
		}
	}
	return b.String()
}

func fishCommands(b *strings.Builder, group *node) {
	at := strings.TrimSpace("__lockstep_at " + group.path())
	b.WriteString("\n")
	for _, s := range group.subs {
		fmt.Fprintf(b, "complete -c lockstep -n '%s' -a %s -d %s\n", at, s.name(), fishWord(s.about))
	}
}

func fishValue(o completedOption) string {
	switch {
	case o.value == "":
		return ""
	case o.takes.kind == files:
		return " -r -F"
	case o.takes.kind == folders:
		return " -x -a '(__fish_complete_directories)'"
	}
	return strings.TrimSuffix(" -x -a "+fishWord(strings.Join(o.takes.words, " ")), " -a ''")
}

func fishWord(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func TestCompletionInFish(t *testing.T) {
	t.Parallel()
	shell := testenv.Tool(t, "fish")
	dir, script := completionSite(t, "lockstep.fish")
	for _, tt := range completed {
		cmd := exec.Command(shell, "--no-config", "-c", `source $argv[1]; complete -C "lockstep $argv[2]"`, script, strings.Join(tt.line, " "))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
			continue
		}
		var words []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, strings.TrimSuffix(word, "/"))
		}
		if got := sortedLines(strings.Join(words, "\n")); got != tt.want {
			t.Errorf("%s: %q may become %q, want %q", tt.name, tt.line, got, tt.want)
		}
	}
}
