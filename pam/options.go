package pam

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ways is how people are asked.
type ways int

const (
	twoPrompts ways = iota // password, then code
	onePrompt              // both in one string
	codeOnly               // the password is checked elsewhere
)

// passes is what is done with the password that a module before this one has
// asked for.
type passes int

const (
	ignoreFirstPass passes = iota
	tryFirstPass           // take it, or ask if there is none
	useFirstPass           // take it, and never ask
)

// options are the module's arguments.
type options struct {
	config      string // absolute
	ask         ways
	firstPass   passes
	forwardPass bool
	echoCode    bool
	nullok      bool // ask the server first whether there is anything to ask for
	digits      int  // of a code, 6 or 8; for forwardPass with one string
}

// DefaultConfig is read where no argument names another file.
const DefaultConfig = "/etc/lockstep/pam.toml"

// parseOptions reads the module's arguments. One that is not known is an error:
// it may be a misspelt one that says who is let in.
func parseOptions(args []string) (options, error) {
	o := options{config: DefaultConfig, digits: 6}
	var wrong []error
	one, alone, try, use := false, false, false, false
	for _, arg := range args {
		name, value, given := strings.Cut(arg, "=")
		switch {
		case name == "config":
			o.config = value
		case arg == "one_prompt":
			one, o.ask = true, onePrompt
		case arg == "code_only":
			alone, o.ask = true, codeOnly
		case arg == "try_first_pass":
			try, o.firstPass = true, tryFirstPass
		case arg == "use_first_pass":
			use, o.firstPass = true, useFirstPass
		case arg == "forward_pass":
			o.forwardPass = true
		case arg == "echo_code":
			o.echoCode = true
		case arg == "nullok": // what comes of it is the module's
			o.nullok = true
		case arg == "digits=6":
			o.digits = 6
		case arg == "digits=8":
			o.digits = 8
		case name == "digits":
			wrong = append(wrong, errors.New("digits: want digits=6 or digits=8"))
		default:
			if given {
				name += "=..." // its value may be a secret that belongs elsewhere
			}
			wrong = append(wrong, fmt.Errorf("%.64q: no such option", name))
		}
	}
	if !filepath.IsAbs(o.config) {
		wrong = append(wrong, fmt.Errorf("config: want an absolute path, such as config=%s", DefaultConfig))
	}
	if one && alone {
		wrong = append(wrong, errors.New("one_prompt and code_only: want one of them"))
	}
	if try && use {
		wrong = append(wrong, errors.New("try_first_pass and use_first_pass: want one of them"))
	}
	return o, errors.Join(wrong...)
}
