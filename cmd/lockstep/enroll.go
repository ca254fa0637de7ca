package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/qr"
	"lockstep/internal/server"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

// enrolment is what the command line of "user enroll" asks for.
type enrolment struct {
	issuer, algorithm        string
	bindDN, bindPasswordFile string
	digits                   int
	period                   time.Duration
	replace, unconfirmed     bool
}

func (a *app) enroll(args []string) error {
	var e enrolment
	fs := a.flags("user enroll", "user enroll [OPTION ...] USER\n\nMakes a key for USER and prints it as a QR code, as an otpauth URI and as base32. When a code\nfrom the device is right, the key is written to the directory; until then nothing is.\n")
	e.define(fs)
	cfg, _, err := a.load(fs, args, 1)
	if err != nil {
		return err
	}
	if e.issuer == "" || strings.Contains(e.issuer, ":") {
		return usagef("user enroll: -issuer %q: want a name without a colon", e.issuer)
	}
	key, err := e.newKey()
	if err != nil {
		return &failure{status: statusUsage, err: fmt.Errorf("user enroll: %w", err)}
	}
	options, err := a.bindOptions(e)
	if err != nil {
		return err
	}
	dir, err := server.OpenDirectory(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	c, err := a.enrollIn(dir, fs.Arg(0), key, e, options)
	if err != nil {
		return err
	}
	a.seed(cfg.Admin.Socket, key, c)
	return nil
}

func (e *enrolment) define(fs *flag.FlagSet) {
	fs.StringVar(&e.issuer, "issuer", "Lockstep", "the `NAME` that the authenticator shows beside the user's")
	fs.StringVar(&e.algorithm, "algorithm", "SHA1", "SHA1, SHA256 or SHA512; many authenticators know SHA1 only")
	fs.IntVar(&e.digits, "digits", 6, "6 or 8")
	fs.DurationVar(&e.period, "period", 30*time.Second, "how long each code lasts, 15s to 120s; many authenticators know 30s only")
	fs.StringVar(&e.bindDN, "bind-dn", "", "write to the directory as `DN` and not as the service account")
	fs.StringVar(&e.bindPasswordFile, "bind-password-file", "", "read the password of -bind-dn from `FILE`; asked for if absent")
	fs.BoolVar(&e.replace, "replace", false, "replace the key that the user has")
	fs.BoolVar(&e.unconfirmed, "no-confirm", false, "write the key at once, without a code")
}

// newKey makes a key as long as its hash, as RFC 4226, section 4, recommends.
func (e *enrolment) newKey() (verifier.Key, error) {
	sizes := map[verifier.Algorithm]int{verifier.SHA1: 20, verifier.SHA256: 32, verifier.SHA512: 64}
	algorithm := verifier.Algorithm(strings.ToUpper(e.algorithm))
	b := make([]byte, max(20, sizes[algorithm]))
	rand.Read(b)
	k := verifier.Key{Bytes: opaque.Of(b), Algorithm: algorithm, Digits: e.digits, Period: e.period}
	return k, k.Check()
}

func (a *app) bindOptions(e enrolment) (ldapsync.EnrollOptions, error) {
	o := ldapsync.EnrollOptions{Replace: e.replace, BindDN: e.bindDN}
	var err error
	switch {
	case e.bindDN == "" && e.bindPasswordFile != "":
		return o, usagef("user enroll: -bind-password-file goes with -bind-dn")
	case e.bindPasswordFile != "":
		if o.BindPassword, err = config.ReadSecret(e.bindPasswordFile); err != nil {
			return o, &failure{status: statusUsage, err: err}
		}
	case e.bindDN != "":
		o.BindPassword, err = a.ask("Password of "+e.bindDN+": ", false)
	}
	return o, err
}

// enrollIn shows the key, has it confirmed, and writes it, in that order: a key
// that did not reach the device must not lock its owner out.
func (a *app) enrollIn(dir *ldapsync.Directory, name string, key verifier.Key, e enrolment, o ldapsync.EnrollOptions) (confirmation, error) {
	ctx := context.Background()
	record := ldapsync.Enrolment{Key: key.Bytes, Algorithm: string(key.Algorithm), Digits: key.Digits, Period: key.Period}
	check := o
	check.DryRun = true
	if err := dir.Enroll(ctx, name, record, check); err != nil {
		return confirmation{}, enrollFailure(name, err)
	}
	if err := a.present(name, key, e.issuer); err != nil {
		return confirmation{}, err
	}
	var c confirmation
	if !e.unconfirmed {
		var err error
		if c, err = a.confirm(key); err != nil {
			return confirmation{}, err
		}
	}
	if err := dir.Enroll(ctx, name, record, o); err != nil {
		return confirmation{}, enrollFailure(name, err)
	}
	fmt.Fprintf(a.out, "%s: enrolled\n", name)
	return c, nil
}

func enrollFailure(name string, err error) error {
	err = fmt.Errorf("enroll %q: %w", name, err)
	badName := (*ldapsync.NameError)(nil)
	switch {
	case errors.Is(err, ldapsync.ErrEnrolled):
		return &failure{status: statusNo, err: err, hint: "-replace puts a new key in place of the old one"}
	case errors.Is(err, ldapsync.ErrNoEntry), errors.As(err, &badName):
		return &failure{status: statusNo, err: err}
	}
	return err
}

// present prints the key in the three forms that authenticators take.
func (a *app) present(name string, key verifier.Key, issuer string) error {
	uri, err := provisioningURI(name, key, issuer)
	if err != nil {
		return err
	}
	colour := qr.Plain
	if a.terminal() {
		colour = qr.ANSI
	}
	if err := qr.Write(a.out, uri.String(), colour); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\nkey: %s\n", uri, grouped(uri.Secret()))
	return err
}

func provisioningURI(name string, key verifier.Key, issuer string) (*otp.Key, error) {
	algorithms := map[verifier.Algorithm]otp.Algorithm{
		verifier.SHA1: otp.AlgorithmSHA1, verifier.SHA256: otp.AlgorithmSHA256, verifier.SHA512: otp.AlgorithmSHA512,
	}
	uri, err := totp.Generate(totp.GenerateOpts{
		Issuer:      issuer,
		AccountName: name,
		Period:      uint(key.Period / time.Second),
		Secret:      key.Bytes.Reveal(),
		Digits:      otp.Digits(key.Digits),
		Algorithm:   algorithms[key.Algorithm],
	})
	if err != nil {
		return nil, fmt.Errorf("make the provisioning URI: %w", err)
	}
	return uri, nil
}

// grouped returns s in groups of four, to be typed by hand.
func grouped(s string) string {
	var groups []string
	for len(s) > 4 {
		groups, s = append(groups, s[:4]), s[4:]
	}
	return strings.Join(append(groups, s), " ")
}
