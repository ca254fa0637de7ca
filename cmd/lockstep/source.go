package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/tokenfile"
)

// source is the file that many are enrolled from, and what is to be known of it.
type source struct {
	from, format, user    string
	passwordFile, keyFile string
	folder                string // for pictures
	skipBad, json         bool
}

func (s *source) define(fs *flag.FlagSet) {
	fs.StringVar(&s.from, "from", "", "enrol all who are in `FILE`")
	fs.StringVar(&s.format, "format", "", "what FILE is: csv, pskc, freeipa, privacyidea, google-authenticator or otpauth; found out if absent")
	fs.StringVar(&s.user, "user", "", "the `NAME` of whose google-authenticator FILE is")
	fs.StringVar(&s.passwordFile, "password-file", "", "read the password that FILE is encrypted with from `FILE`; asked for if absent")
	fs.StringVar(&s.keyFile, "key-file", "", "read the shared key that FILE is encrypted with from `FILE`")
	fs.StringVar(&s.folder, "out", "", "write the QR codes of new keys to folder `DIR`, an SVG file for each user")
	fs.BoolVar(&s.skipBad, "skip-bad", false, "enrol the others, if some in FILE cannot be")
	fs.BoolVar(&s.json, "json", false, "print what came of each as JSON")
}

// maxSource is more than tokenfile reads.
const maxSource = 64<<20 + 16

// tokens reads the file. It may ask for a password.
func (a *app) tokens(s source) ([]tokenfile.Token, error) {
	o := tokenfile.Options{Format: s.format, User: s.user}
	for option, secret := range map[string]struct {
		path string
		into *opaque.Bytes
	}{"-password-file": {s.passwordFile, &o.Password}, "-key-file": {s.keyFile, &o.PreSharedKey}} {
		if secret.path == "" {
			continue
		}
		b, err := config.ReadSecret(secret.path)
		if err != nil {
			return nil, usagef("user enroll: %s: %w", option, err)
		}
		*secret.into = b
	}
	data, err := readSource(s.from)
	if err != nil {
		return nil, usagef("user enroll: %w", err)
	}
	tokens, format, err := tokenfile.Read(bytes.NewReader(data), o)
	if errors.Is(err, tokenfile.ErrPassword) {
		if o.Password, err = a.ask("Password of "+s.from+": ", false); err != nil {
			return nil, err
		}
		tokens, format, err = tokenfile.Read(bytes.NewReader(data), o)
	}
	switch {
	case err != nil:
		return nil, &failure{status: statusUsage, err: fmt.Errorf("user enroll: %q: %w", s.from, err), hint: sourceHint(err)}
	case s.user == "" && format == tokenfile.GoogleAuthenticator:
		return nil, usagef("user enroll: %q: a file of google-authenticator does not say whose it is; -user NAME does", s.from)
	case s.user != "" && format != tokenfile.GoogleAuthenticator:
		return nil, usagef("user enroll: -user goes with files of google-authenticator; this one is %s, and names its users", format)
	case len(tokens) == 0:
		return nil, &failure{status: statusNo, err: fmt.Errorf("user enroll: nobody is in %q", s.from)}
	}
	return tokens, nil
}

func readSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSource))
}

func sourceHint(err error) string {
	switch {
	case errors.Is(err, tokenfile.ErrPreSharedKey):
		return "-key-file FILE names the file with that key"
	case errors.Is(err, tokenfile.ErrPassword):
		return "the password is asked for, or read by -password-file FILE"
	}
	return ""
}
