package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func bash(root *node) string {
	var b strings.Builder
	b.WriteString("# Completion of lockstep(1) for bash.\n" + madeBy + `
_lockstep_fill() { # KIND [WORD ...]: what the word at the cursor may become
	case $1 in
	files)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	folders)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	words)
		shift
		mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
		;;
	esac
}

_lockstep_options() { # COMMAND: its options, those of them with a value, and its arguments
	case $1 in
`)
	for _, n := range root.leaves() {
		fmt.Fprintf(&b, "\t%q)\n", n.path())
		for _, is := range [][2]string{{"options", dashed(n.options)}, {"valued", dashed(n.with())}, {"argument", bashKind(n.argument)}} {
			if is[1] != "" {
				fmt.Fprintf(&b, "\t\t%s=%q\n", is[0], is[1])
			}
		}
		b.WriteString("\t\t;;\n")
	}
	b.WriteString("\tesac\n}\n\n_lockstep_value() { # COMMAND -OPTION: what its value may be\n\tcase \"$1 $2\" in\n")
	for _, n := range root.leaves() {
		for _, o := range n.with() {
			if o.takes.kind != nothing {
				fmt.Fprintf(&b, "\t%q) _lockstep_fill %s ;;\n", n.path()+" -"+o.option.name, bashKind(o.takes))
			}
		}
	}
	b.WriteString("\tesac\n}\n\n_lockstep() {\n\tlocal options= valued= argument=\n")
	b.WriteString("\tlocal cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} first=2\n\tCOMPREPLY=()\n")
	fmt.Fprintf(&b, "\tif ((COMP_CWORD == 1)); then\n\t\t_lockstep_fill words %s\n\t\treturn\n\tfi\n\tcase $command in\n", root.subNames())
	for _, g := range root.groups() {
		fmt.Fprintf(&b, "\t%s)\n\t\tif ((COMP_CWORD == 2)); then\n\t\t\t_lockstep_fill words %s\n\t\t\treturn\n\t\tfi\n", g.name(), g.subNames())
		b.WriteString("\t\tcommand+=\" ${COMP_WORDS[2]}\" first=3\n\t\t;;\n")
	}
	b.WriteString(`	esac
	_lockstep_options "$command"

	# bash cuts words at = and at :, which become words of their own.
	local i word option= arguments=
	for ((i = first; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == [=:] || ${COMP_WORDS[i - 1]} == : ]]; then
			continue
		elif [[ $option ]]; then
			option=
		elif [[ $word == -* ]]; then
			option=${word/#--/-}
			[[ " $valued " == *" $option "* ]] || option=
		else
			arguments=1
		fi
	done
	if [[ $argument == words* && ($cur == : || ${COMP_WORDS[COMP_CWORD - 1]} == :) ]]; then
		argument=files # of bolt:FILE
	fi
	[[ $cur == [=:] ]] && cur=

	if [[ $option ]]; then
		_lockstep_value "$command" "$option"
	elif [[ $arguments ]]; then
		_lockstep_fill $argument # options come first
	elif [[ $cur == --* ]]; then
		options=" $options"
		_lockstep_fill words "${options// -/ --}"
	elif [[ $cur == -* || ! $argument ]]; then
		_lockstep_fill words "$options"
	else
		_lockstep_fill $argument
	fi
}

complete -F _lockstep lockstep
`)
	return b.String()
}

// bashKind returns the arguments of _lockstep_fill.
func bashKind(c completion) string {
	switch {
	case c.kind == files:
		return "files"
	case c.kind == folders:
		return "folders"
	case c.kind == oneOf:
		return "words " + strings.Join(c.words, " ")
	case c.name != "":
		return "nothing"
	}
	return ""
}

// completed are command lines, and what the last word of them may become. Each shell
// is asked all of them.
var completed = []struct {
	name string
	line []string
	want string
}{
	{"a command", []string{"d"}, "demo doctor"},
	{"commands of a group", []string{"user", "re"}, "resync revoke rewrap"},
	{"the only one", []string{"user", "enr"}, "enroll"},
	{"an option", []string{"user", "show", "-"}, "-config -json"},
	{"an option behind another", []string{"user", "show", "-json", "-c"}, "-config"},
	{"a file for the configuration", []string{"serve", "-config", "loc"}, "lockstep.toml"},
	{"a file in a folder", []string{"check", "-config", "sub/"}, "sub/other.toml"},
	{"a folder and no file", []string{"user", "enroll", "-out", "s"}, "sub"},
	{"one of a few", []string{"user", "enroll", "-algorithm", "SHA2"}, "SHA256"},
	{"an option behind a value", []string{"user", "enroll", "-algorithm", "SHA256", "-per"}, "-period"},
	{"no user", []string{"user", "show", "l"}, ""},
	{"no user behind an option", []string{"user", "unlock", "-config", "lockstep.toml", "l"}, ""},
	{"no value that nobody can guess", []string{"login", "-server", "l"}, ""},
	{"a store", []string{"store", "copy", "b"}, "bolt"},
	{"another store", []string{"store", "copy", "-config", "lockstep.toml", "bolt", "e"}, "etcd"},
	{"no option behind an argument", []string{"user", "show", "alice", "-c"}, ""},
	{"no such command", []string{"frobnicate", "-"}, ""},
}

// completionSite returns a folder with files to be found, and the completion of a
// shell.
func completionSite(t *testing.T, script string) (dir, path string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(completionDir, script))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lockstep.toml", "sub/other.toml", "some file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

// inBash completes the last of words and prints what it may become, a line each.
const inBash = `
source "$1"; shift
[[ $(complete -p lockstep) == "complete -F _lockstep lockstep" ]] || { echo "not registered"; exit 1; }
COMP_WORDS=(lockstep "$@")
COMP_CWORD=$#
_lockstep lockstep "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
`

func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	shell := testenv.Tool(t, "bash")
	dir, script := completionSite(t, "lockstep.bash")
	complete := func(words ...string) string {
		cmd := exec.Command(shell, append([]string{"--norc", "-u", "-c", inBash, "bash", script}, words...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", words, err, out)
		}
		return sortedLines(string(out))
	}
	for _, tt := range completed {
		if got := complete(tt.line...); got != tt.want {
			t.Errorf("%s: %q may become %q, want %q", tt.name, tt.line, got, tt.want)
		}
	}
	// As bash cuts it.
	for _, tt := range []struct {
		name string
		line []string
		want string
	}{
		{"a file behind =", []string{"serve", "-config", "=", "lock"}, "lockstep.toml"},
		{"a file behind = alone", []string{"serve", "-config", "="}, "lockstep.toml some file sub"},
		{"an option behind a value with =", []string{"user", "show", "-config", "=", "lockstep.toml", "-j"}, "-json"},
		{"two dashes", []string{"user", "show", "--c"}, "--config"},
		{"a value behind two dashes", []string{"serve", "--config", "lock"}, "lockstep.toml"},
		{"a file that is a store", []string{"store", "copy", "bolt", ":", "lock"}, "lockstep.toml"},
		{"a store behind a file", []string{"store", "copy", "bolt", ":", "lockstep.toml", "e"}, "etcd"},
		{"an option behind an address", []string{"login", "-server", "127.0.0.1", ":", "1812", "-nas"}, "-nas-id"},
		{"a name with a space", []string{"serve", "-config", "so"}, "some file"},
		{"options where there is no argument", []string{"serve", ""}, "-config"},
	} {
		if got := complete(tt.line...); got != tt.want {
			t.Errorf("%s: %q may become %q, want %q", tt.name, tt.line, got, tt.want)
		}
	}
}

// sortedLines returns the lines of text in order, each once, in one.
func sortedLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), " ")
}
