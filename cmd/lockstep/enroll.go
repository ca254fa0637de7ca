package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/server"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

const enrollUsage = `user enroll [OPTION ...] USER
    lockstep user enroll -from FILE [OPTION ...]

Makes a key for USER and prints it as a QR code, as an otpauth URI and as base32. When a code
from the device is right, the key is written to the directory; until then nothing is. With
-pending it is written at once, and the user counts as pending until a code has been right.

With -from it enrols all who are in FILE: a CSV list with the columns user and, if there are
keys, key, serial, digits, period and algorithm; or what google-authenticator, FreeIPA,
privacyIDEA or a maker of tokens (PSKC) has written. Users without a key get a new one. All is
looked at before anything is written, and what came of each is printed. Who has exactly the
key of the file already is left as they are, so that it can be run again when it was interrupted.
Exits with 0 if everybody in FILE is enrolled.
`

// enrolment is what the command line of "user enroll" asks for.
type enrolment struct {
	writer
	source
	issuer, algorithm     string
	serial, picture       string
	digits                int
	period                time.Duration
	replace, add, pending bool
}

func (a *app) enroll(args []string) error {
	var e enrolment
	fs := a.flags("user enroll", enrollUsage)
	e.define(fs)
	cfg, err := a.loadDirectory(fs, args, func() error { return e.check(fs) })
	if err != nil {
		return err
	}
	o, err := a.writeAs(e.writer)
	if err != nil {
		return err
	}
	o.Replace, o.Add = e.replace, e.add
	dir, err := server.OpenDirectory(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if e.from != "" {
		return a.enrollAll(cfg, dir, e, o)
	}
	return a.enrollOne(cfg, dir, fs.Arg(0), e, o)
}

// warnOfLDIF says what lies open in what was printed. Keys that go are named in it
// as they are. A nil cfg is for when none comes.
func (a *app) warnOfLDIF(cfg *config.Config, removes bool) {
	if removes {
		fmt.Fprintln(a.err, "lockstep: warning: the LDIF names the keys that go, in clear where they were")
	}
	if cfg != nil && cfg.Directory.SealTo == nil {
		fmt.Fprintln(a.err, "lockstep: warning: keys are in clear in the LDIF; directory.seal_to has them sealed")
	}
}

func (e *enrolment) define(fs *flag.FlagSet) {
	e.writer.define(fs)
	e.defineLDIF(fs)
	fs.StringVar(&e.issuer, "issuer", "Lockstep", "the `NAME` that the authenticator shows beside the user's")
	fs.StringVar(&e.algorithm, "algorithm", "SHA1", "SHA1, SHA256 or SHA512; many authenticators know SHA1 only")
	fs.IntVar(&e.digits, "digits", 6, "6 or 8")
	fs.DurationVar(&e.period, "period", 30*time.Second, "how long each code lasts, 15s to 120s; many authenticators know 30s only")
	fs.StringVar(&e.serial, "serial", "", "what the token is called: a serial `NUMBER`, written where the schema has a place for it")
	fs.StringVar(&e.picture, "qr", "", "write the QR code to `FILE`, a new one that ends in .png or .svg, and print no key")
	fs.BoolVar(&e.replace, "replace", false, "replace the keys that the user has")
	fs.BoolVar(&e.add, "add", false, "add a key to those that the user has, where the schema allows several")
	fs.BoolVar(&e.pending, "pending", false, "write the key at once, without a code")
	e.source.define(fs)
}

// check says what is wrong with the command line.
func (e *enrolment) check(fs *flag.FlagSet) error {
	if err := e.writer.check(fs.Name()); err != nil {
		return err
	}
	if err := e.checkOneOrMany(fs); err != nil {
		return err
	}
	switch _, err := e.newKey(); {
	case e.replace && e.add:
		return usagef("user enroll: -replace and -add exclude one another")
	case e.issuer == "" || strings.Contains(e.issuer, ":"):
		return usagef("user enroll: -issuer %q: want a name without a colon", e.issuer)
	case e.picture != "" && !isPicture(e.picture):
		return usagef("user enroll: -qr: want the name of a file that ends in .png or .svg")
	case e.picture != "" && exists(e.picture):
		return &failure{status: statusNo, err: fmt.Errorf("user enroll: %q exists, and is left as it is", e.picture)}
	case err != nil:
		return usagef("user enroll: %w", err)
	}
	return nil
}

// checkOneOrMany says which options are for the other kind of enrolment.
func (e *enrolment) checkOneOrMany(fs *flag.FlagSet) (err error) {
	ofMany := []string{"format", "user", "out", "password-file", "key-file", "skip-bad", "json"}
	ofOne := []string{"serial", "qr", "algorithm", "digits", "period"}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case err != nil:
		case e.from == "" && slices.Contains(ofMany, f.Name):
			err = usagef("user enroll: -%s goes with -from", f.Name)
		case e.from != "" && slices.Contains(ofOne, f.Name):
			err = usagef("user enroll: -%s goes with one USER, and not with -from", f.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case e.from == "":
		return wantArgs(fs, 1)
	case fs.NArg() > 0:
		return usagef("user enroll: %q is one argument too many: -from takes the names from its file", fs.Arg(0))
	case e.ldif && e.json:
		return usagef("user enroll: -ldif and -json exclude one another")
	}
	return nil
}

// newKey makes a key as long as its hash, as RFC 4226, section 4, recommends.
func (e *enrolment) newKey() (verifier.Key, error) {
	return newKey(verifier.Algorithm(strings.ToUpper(e.algorithm)), e.digits, e.period)
}

func newKey(algorithm verifier.Algorithm, digits int, period time.Duration) (verifier.Key, error) {
	sizes := map[verifier.Algorithm]int{verifier.SHA1: 20, verifier.SHA256: 32, verifier.SHA512: 64}
	b := make([]byte, max(20, sizes[algorithm]))
	rand.Read(b)
	k := verifier.Key{Bytes: opaque.Of(b), Algorithm: algorithm, Digits: digits, Period: period}
	return k, k.Check()
}

// enrollOne shows the key, has it confirmed, and writes it, in that order: a key
// that did not reach the device must not lock its owner out.
func (a *app) enrollOne(cfg *config.Config, dir *ldapsync.Directory, name string, e enrolment, o ldapsync.EnrollOptions) error {
	key, err := e.newKey()
	if err != nil {
		return err
	}
	ctx := context.Background()
	record := ldapsync.Enrolment{Key: key.Bytes, Algorithm: string(key.Algorithm), Digits: key.Digits, Period: key.Period, Serial: e.serial}
	check := o
	check.DryRun = true
	if err := dir.Enroll(ctx, name, record, check); err != nil {
		return enrollFailure(name, err)
	}
	if err := a.handOver(name, key, e); err != nil {
		return err
	}
	var c confirmation
	if !e.pending {
		c, err = a.confirm(key)
	}
	if err == nil {
		err = dir.Enroll(ctx, name, record, o)
		if !e.ldif {
			a.record(cfg, admin.Report{Action: "enroll", User: name, Text: e.how(), Error: failed(err)})
		}
		err = enrollFailure(name, err)
	}
	if err != nil {
		return errors.Join(err, e.withdraw(err))
	}
	a.seed(cfg.Admin.Socket, key, c)
	if e.ldif {
		a.warnOfLDIF(cfg, e.replace)
		return nil
	}
	a.tellServer(cfg.Admin.Socket)
	return a.printLines(name + ": enrolled")
}

// handOver gives the key to the one who is enrolled: on the screen, or in a picture.
func (a *app) handOver(name string, key verifier.Key, e enrolment) error {
	switch {
	case e.picture != "":
		uri, err := provisioningURI(name, key, e.issuer)
		if err != nil {
			return err
		}
		return writePicture(e.picture, uri.String())
	case e.ldif:
		return present(a.err, name, key, e.issuer)
	}
	return present(a.out, name, key, e.issuer)
}

// withdraw removes the picture of a key that is nobody's, unless err leaves that
// open.
func (e *enrolment) withdraw(err error) error {
	if e.picture == "" || errors.Is(err, ldapsync.ErrUncertain) {
		return nil
	}
	return os.Remove(e.picture)
}

// how says what is particular about an enrolment.
func (e *enrolment) how() string {
	var how []string
	for _, o := range []struct {
		set  bool
		name string
	}{{e.replace, "replace"}, {e.add, "add"}, {e.pending, "pending"}} {
		if o.set {
			how = append(how, o.name)
		}
	}
	return strings.Join(how, " ")
}

// oneName is what to do about a name that two entries have.
const oneName = "give each entry a login name of its own"

// enrollFailure returns err as an admin can act on it.
func enrollFailure(name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("enroll %q: %w", name, err)
	badName := (*ldapsync.NameError)(nil)
	switch {
	case errors.Is(err, ldapsync.ErrUncertain):
		return &failure{status: statusError, err: err, hint: "if it was written, the device has the key: let the user log in; if not, run it again"}
	case errors.Is(err, ldapsync.ErrEnrolled):
		return &failure{status: statusNo, err: err, hint: "-replace puts a new key in place of the old one, -add adds one where the schema allows several"}
	case errors.Is(err, ldapsync.ErrAmbiguous):
		return &failure{status: statusNo, err: err, hint: oneName}
	case errors.Is(err, ldapsync.ErrNoEntry), errors.As(err, &badName):
		return &failure{status: statusNo, err: err}
	}
	return err
}
