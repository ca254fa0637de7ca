package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/server"
)

const defaultConfig = "/etc/lockstep/lockstep.toml"

// app is the program's way to the outside.
type app struct {
	in       io.Reader
	lines    *bufio.Reader
	out, err io.Writer
	usage    string // of the command that runs
}

func newApp(in io.Reader, out, err io.Writer) *app {
	return &app{in: in, lines: bufio.NewReader(in), out: out, err: err}
}

// failure is an error with the exit status that it leads to.
type failure struct {
	status int
	err    error // nil: all has been said
	hint   string
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func usagef(format string, args ...any) error {
	return &failure{status: statusUsage, err: fmt.Errorf(format, args...)}
}

// no ends the program with status 1; what there was to say has been printed.
func no() error { return &failure{status: statusNo} }

// report prints err for a person and returns the exit status.
func (a *app) report(err error) int {
	var (
		f      *failure
		faults config.Faults
	)
	switch {
	case err == nil:
		return statusOK
	case errors.Is(err, flag.ErrHelp):
		return statusOK
	case errors.As(err, &faults):
		// Bare, so that editors jump to the place.
		for _, fault := range faults {
			fmt.Fprintln(a.err, fault)
		}
		return statusUsage
	case !errors.As(err, &f):
		f = &failure{status: statusError, err: err}
	}
	if f.err != nil {
		fmt.Fprintf(a.err, "lockstep: error: %s\n", printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	if f.hint != "" {
		fmt.Fprintf(a.err, "lockstep: hint: %s\n", f.hint)
	}
	return f.status
}

// printable returns s without what a terminal would take for a command: names,
// entries and messages come from the directory and the network.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// flags returns a flag set that reports its faults as ours. usage is what the
// help shows above the options.
func (a *app) flags(name, usage string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // called for mistakes, too
	a.usage = usage
	return fs
}

// parse reads args into fs, and checks that so many arguments are left.
func (a *app) parse(fs *flag.FlagSet, args []string, want int) error {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(a.out, "Usage:\n    lockstep %s\n", a.usage)
		fs.SetOutput(a.out)
		fs.PrintDefaults()
		return err
	case err != nil:
		return usagef("%s: %v", fs.Name(), err)
	}
	return wantArgs(fs, want)
}

// wantArgs checks that so many arguments are left; -1 is any number.
func wantArgs(fs *flag.FlagSet, want int) error {
	switch n := fs.NArg(); {
	case want < 0:
	case n < want:
		return usagef("%s: want the name of a user", fs.Name())
	case n > want:
		return usagef("%s: %q is one argument too many; options come first", fs.Name(), fs.Arg(want))
	}
	return nil
}

// load reads the command line and then the configuration, and returns that and
// its path. What server.Start would find wrong with it is wrong here too, and so
// is a directory file that cannot be used.
func (a *app) load(fs *flag.FlagSet, args []string, want int) (*config.Config, string, error) {
	path := configFlag(fs)
	if err := a.parse(fs, args, want); err != nil {
		return nil, "", err
	}
	cfg, err := readConfig(config.Load, *path)
	return cfg, *path, err
}

// loadDirectory is load for commands that need nothing but the directory. check is
// called when the command line has been read.
func (a *app) loadDirectory(fs *flag.FlagSet, args []string, check func() error) (*config.Config, error) {
	path := configFlag(fs)
	if err := a.parse(fs, args, -1); err != nil {
		return nil, err
	}
	if err := check(); err != nil {
		return nil, err
	}
	return readConfig(config.LoadDirectory, *path)
}

func configFlag(fs *flag.FlagSet) *string {
	return fs.String("config", defaultConfig, "read the configuration from `FILE`")
}

func readConfig(load func(string) (*config.Config, error), path string) (*config.Config, error) {
	cfg, err := load(path)
	if err != nil {
		return nil, err
	}
	if err := checkDirectory(cfg); err != nil {
		return nil, &failure{status: statusUsage, err: fmt.Errorf("%s: directory: %w", path, err)}
	}
	return cfg, nil
}

func checkDirectory(cfg *config.Config) error {
	dir, err := server.OpenDirectory(cfg, slog.New(slog.DiscardHandler))
	if err != nil || !strings.HasPrefix(cfg.Directory.URLs[0], "ldif:") {
		return err
	}
	return dir.Refresh(context.Background())
}

// ask prints prompt and reads a line. A password is not echoed on a terminal.
// The prompt goes to stderr, so that stdout holds results alone.
func (a *app) ask(prompt string, echo bool) (opaque.Bytes, error) {
	f, isFile := a.in.(*os.File)
	if isFile && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.err, printable(prompt))
		if !echo {
			line, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(a.err)
			return opaque.Of(line), err
		}
	}
	line, err := a.lines.ReadBytes('\n')
	if err == io.EOF && len(line) == 0 {
		return opaque.Bytes{}, fmt.Errorf("%q is not answered: %w of standard input", strings.TrimSpace(prompt), io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF {
		return opaque.Bytes{}, fmt.Errorf("read the answer to %q: %w", strings.TrimSpace(prompt), err)
	}
	line = []byte(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"))
	return opaque.Of(line), nil
}

// isTerminal reports whether a person is at the other end of stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
