package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func zsh(root *node) string {
	var b strings.Builder
	b.WriteString("#compdef lockstep\n# Completion of lockstep(1) for zsh.\n" + madeBy)
	for _, n := range root.leaves() {
		fmt.Fprintf(&b, "\n%s() {\n\t_arguments -A '-*'", zshFunction(n))
		for _, o := range n.options {
			fmt.Fprintf(&b, " \\\n\t\t%s", zshWord("-"+o.option.name+"["+zshText(o.text)+"]"+zshValue(o)))
		}
		switch kind := n.argument; {
		case kind.kind == nothing:
		case n.many:
			fmt.Fprintf(&b, " \\\n\t\t%s", zshWord("*:"+kind.name+":"+zshAction(kind)))
		default:
			fmt.Fprintf(&b, " \\\n\t\t%s", zshWord(":"+kind.name+":"+zshAction(kind)))
		}
		b.WriteString("\n}\n")
	}
	for _, g := range append(root.groups(), root) {
		zshGroup(&b, g)
	}
	b.WriteString("\n_lockstep \"$@\"\n")
	return b.String()
}

// zshGroup writes the function that completes the next command, or hands over to
// that of the one that is there.
func zshGroup(b *strings.Builder, g *node) {
	fmt.Fprintf(b, "\n%s() {\n\tlocal context state state_descr line\n\ttypeset -A opt_args\n", zshFunction(g))
	b.WriteString("\t_arguments -C '1:command:->command' '*::argument:->argument'\n\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(\n")
	for _, s := range g.subs {
		fmt.Fprintf(b, "\t\t\t%s\n", zshWord(s.name()+":"+strings.ReplaceAll(s.about, ":", `\:`)))
	}
	b.WriteString("\t\t)\n\t\t_describe command commands\n\t\t;;\n\targument)\n\t\tcase $words[1] in\n")
	for _, s := range g.subs {
		fmt.Fprintf(b, "\t\t%s) %s ;;\n", s.name(), zshFunction(s))
	}
	b.WriteString("\t\tesac\n\t\t;;\n\tesac\n}\n")
}

func zshFunction(n *node) string {
	return "_" + strings.Join(append([]string{"lockstep"}, n.words...), "_")
}

func zshValue(o completedOption) string {
	if o.value == "" {
		return ""
	}
	return ":" + o.value + ":" + zshAction(o.takes)
}

func zshAction(c completion) string {
	switch c.kind {
	case files:
		return "_files"
	case folders:
		return "_files -/"
	case oneOf:
		return "(" + strings.Join(c.words, " ") + ")"
	}
	return " "
}

func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(s)
}

func zshWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func TestCompletionInZsh(t *testing.T) {
	t.Parallel()
	shell := testenv.Tool(t, "zsh")
	dir, script := completionSite(t, "_lockstep")
	if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var lines []string
	for _, tt := range completed {
		lines = append(lines, strings.Join(tt.line, " "))
	}
	rc := t.TempDir()
	if err := os.WriteFile(filepath.Join(rc, ".zshrc"), []byte(zshrc), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, append([]string{"-f", "-c", inZsh, "zsh"}, lines...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+rc, "ZDOTDIR="+rc, "TERM=dumb", "SCRIPTS="+filepath.Dir(script), "FOUND="+filepath.Join(rc, "found"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := strings.Split(strings.TrimSuffix(string(out), "END\n"), "END\n")
	if len(found) != len(completed) {
		t.Fatalf("%d answers to %d lines:\n%s", len(found), len(completed), out)
	}
	for i, tt := range completed {
		want := strings.TrimPrefix(tt.want, "sub/") // which it keeps apart
		if got := sortedLines(found[i]); got != want {
			t.Errorf("%s: %q may become %q, want %q", tt.name, tt.line, got, want)
		}
	}
}

// zshrc is for a zsh that writes to $FOUND what it finds.
const zshrc = `
PS1=
fpath=($SCRIPTS $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
	local -a hits
	if [[ ${@[(I)-[OAD]]} == 0 ]]; then
		builtin compadd -O hits "$@"
		(($#hits)) && print -rl -- $hits >>$FOUND
	fi
	builtin compadd "$@"
}
tell() {
	zle complete-word
	print END >>$FOUND
	BUFFER=
}
zle -N tell
bindkey '^I' tell
print READY >>$FOUND
`

// inZsh types each argument and a tab in such a zsh, and prints what was found.
const inZsh = `
zmodload zsh/zpty
: >$FOUND
zpty -b z zsh -d -i
await() { while [[ $(tail -n 1 $FOUND) != $1 ]]; do zpty -r -t z output; sleep 0.01; done }
await READY
for line; do
	: >$FOUND
	zpty -w -n z "lockstep $line"$'\t'
	await END
	cat $FOUND
done
zpty -d z
`
