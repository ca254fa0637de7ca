package tokenfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxSpent is far more than google-authenticator keeps: it forgets steps that
// its window has left.
const maxSpent = 10_000

// readGoogle reads the file that google-authenticator keeps in a user's home:
// the key, then options that each begin with a quote and a space, then scratch
// codes, which are left out.
func readGoogle(data []byte, o Options) ([]Token, error) {
	t := Token{User: o.User, Line: 1}
	options, keyed := map[string]string{}, false
	err := lines(data, func(num int, line string) error {
		option, isOption := strings.CutPrefix(line, `" `)
		switch {
		case !keyed:
			t.Line, keyed = num, true
			t.setKey(line, fromBase32)
		case isOption:
			name, value, _ := strings.Cut(option, " ")
			return collect(options, name, strings.TrimSpace(value))
		case strings.Trim(line, "0123456789") != "":
			return errors.New("neither an option nor a scratch code")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !keyed {
		return nil, errors.New("it has no key")
	}
	return []Token{t}, t.applyGoogle(options)
}

// googleOptions are those that matter here.
var googleOptions = []string{"OTP_DISABLED", "HOTP_COUNTER", "TOTP_AUTH", "STEP_SIZE", "DISALLOW_REUSE"}

func collect(options map[string]string, name, value string) error {
	if !slices.Contains(googleOptions, name) {
		return nil
	}
	if _, ok := options[name]; ok {
		return fmt.Errorf("a second %s", name)
	}
	options[name] = value
	return nil
}

// applyGoogle says what the options mean.
func (t *Token) applyGoogle(options map[string]string) error {
	_, disabled := options["OTP_DISABLED"]
	_, counts := options["HOTP_COUNTER"]
	_, tells := options["TOTP_AUTH"]
	switch {
	case disabled:
		t.refuse("it is disabled")
	case counts || !tells:
		t.refuse(skipHOTP)
	}
	t.setPeriod(options["STEP_SIZE"])
	for _, s := range strings.Fields(options["DISALLOW_REUSE"]) {
		step, err := strconv.ParseInt(s, 10, 64)
		if err != nil || step < 0 || len(t.Spent) == maxSpent {
			// A step left out would be a code accepted twice.
			return errors.New("DISALLOW_REUSE: not a list of steps")
		}
		t.Spent = append(t.Spent, step)
	}
	return nil
}
