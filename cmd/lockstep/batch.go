package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/tokenfile"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

// What can come of a row.
const (
	rowEnrolled = "enrolled"
	rowPrinted  = "printed" // as LDIF
	rowAlready  = "already enrolled"
	rowNobody   = "no such user"
	rowSkipped  = "skipped"
	rowFailed   = "failed"
	rowLeft     = "not done"
)

// row is one token of the file, and what came of it.
type row struct {
	Line    int    `json:"line"`
	User    string `json:"user"`
	Serial  string `json:"serial,omitempty"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	Picture string `json:"qr,omitempty"` // the file with the QR code of a new key

	record ldapsync.Enrolment
	fresh  bool // the key is a new one
}

func (r *row) set(outcome, format string, args ...any) {
	r.Outcome, r.Reason = outcome, fmt.Sprintf(format, args...)
}

// bad tells whether the row cannot be enrolled.
func (r *row) bad() bool { return r.Outcome == rowNobody || r.Outcome == rowSkipped }

// batch is the enrolment of many.
type batch struct {
	*app
	enrolment
	rows   []*row
	editor *ldapsync.Editor
	seen   map[string]*row // by DN
	wrote  bool
}

// enrollAll looks at all of the file first, then writes.
func (a *app) enrollAll(cfg *config.Config, dir *ldapsync.Directory, e enrolment, o ldapsync.EnrollOptions) error {
	tokens, err := a.tokens(e.source)
	if err != nil {
		return err
	}
	b := &batch{app: a, enrolment: e, seen: map[string]*row{}}
	if b.rows, err = rowsOf(tokens, e.folder, time.Now()); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if b.editor, err = dir.Editor(ctx, o); err != nil {
		return err
	}
	defer b.editor.Close()
	if err := b.check(ctx); err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	if n := b.count((*row).bad); n > 0 && !e.skipBad {
		return errors.Join(b.print((*row).bad), &failure{status: statusNo, err: fmt.Errorf("%d of %d cannot be enrolled; nothing was written", n, len(b.rows)),
			hint: "-skip-bad enrols the others"})
	}
	err = b.write(ctx)
	switch {
	case b.wrote && e.ldif:
		a.warnOfLDIF(cfg, e.replace)
	case b.wrote:
		b.record(cfg)
		a.tellServer(cfg.Admin.Socket)
	}
	if e := b.print(func(*row) bool { return true }); e != nil {
		return e
	}
	return b.outcome(err)
}

// record has the trail say who was enrolled.
func (b *batch) record(cfg *config.Config) {
	for _, r := range b.rows {
		if r.Outcome == rowEnrolled {
			b.app.record(cfg, admin.Report{Action: "enroll", User: r.User, Text: strings.TrimSpace("from a file " + b.how())})
		}
	}
}

// outcome is what the command ends with, after err has ended the writing.
func (b *batch) outcome(err error) error {
	left := b.count(func(r *row) bool {
		return r.Outcome != rowEnrolled && r.Outcome != rowAlready && r.Outcome != rowPrinted
	})
	if err != nil {
		return &failure{status: statusError, err: fmt.Errorf("%w; %d of %d are enrolled", err, len(b.rows)-left, len(b.rows)),
			hint: "run it again to go on: who has their key already is left as they are"}
	}
	if left > 0 {
		return &failure{status: statusNo, err: fmt.Errorf("%d of %d are not enrolled", left, len(b.rows))}
	}
	return nil
}

func (b *batch) count(of func(*row) bool) (n int) {
	for _, r := range b.rows {
		if of(r) {
			n++
		}
	}
	return n
}

// rowsOf returns a row for each token, with a new key where the file has none.
func rowsOf(tokens []tokenfile.Token, folder string, now time.Time) ([]*row, error) {
	var rows []*row
	fresh := 0
	for _, t := range tokens {
		r, err := rowOf(t, now)
		if err != nil {
			return nil, err
		}
		if r.fresh {
			fresh++
		}
		rows = append(rows, r)
	}
	if fresh > 0 && folder == "" {
		return nil, usagef("user enroll: %d of %d in the file get a new key: -out DIR says where to put their QR codes", fresh, len(rows))
	}
	return rows, nil
}

func rowOf(t tokenfile.Token, now time.Time) (*row, error) {
	r := &row{Line: t.Line, User: t.User, Serial: t.Serial, Outcome: rowLeft,
		record: ldapsync.Enrolment{Key: t.Key, Algorithm: t.Algorithm, Digits: t.Digits, Period: t.Period, Serial: t.Serial}}
	switch until := usedUntil(t); {
	case t.Skip != "":
		r.set(rowSkipped, "%s", t.Skip)
	case t.User == "":
		r.set(rowSkipped, "it has no user name")
	case t.NotBefore.After(now):
		r.set(rowSkipped, "not valid before %s", local(t.NotBefore))
	case !t.NotAfter.IsZero() && t.NotAfter.Before(now):
		r.set(rowSkipped, "not valid since %s", local(t.NotAfter))
	case until.After(now):
		r.set(rowSkipped, "a code of it was used a moment ago, and would be good once more: run it again after %s", local(until))
	case t.Key.Len() == 0:
		r.fresh = true
		key, err := newKey(verifier.Algorithm(t.Algorithm), t.Digits, t.Period)
		r.record.Key = key.Bytes
		return r, err
	}
	return r, nil
}

// usedUntil returns until when a code that was used elsewhere could be used here.
func usedUntil(t tokenfile.Token) (until time.Time) {
	k := verifier.Key{Period: t.Period}
	for _, step := range t.Spent {
		if end := k.Start(step + 2); end.After(until) {
			until = end
		}
	}
	return until
}

// check looks at each row and writes nothing. An error is about all of them.
func (b *batch) check(ctx context.Context) error {
	p := b.progress("checking")
	defer p.end()
	for i, r := range b.rows {
		if ctx.Err() != nil {
			return errInterrupted
		}
		if r.Outcome == rowLeft {
			if err := b.checkRow(ctx, r); err != nil {
				return err
			}
		}
		p.step(i+1, len(b.rows))
	}
	return nil
}

var errInterrupted = errors.New("interrupted")

func (b *batch) checkRow(ctx context.Context, r *row) error {
	found, err := b.editor.Check(ctx, r.User, r.record)
	if b.refused(r, err, found) {
		return nil
	}
	if err != nil && !errors.Is(err, ldapsync.ErrEnrolled) {
		return fmt.Errorf("line %d: %q: %w", r.Line, r.User, err)
	}
	other := b.seen[found.DN]
	b.seen[found.DN] = r
	switch {
	case other != nil && (r.fresh || !b.add):
		r.set(rowSkipped, "the same user as in line %d; -add enrols several keys, if they are in the file", other.Line)
	case r.fresh:
		b.checkPicture(r, found, err)
	case found.Same && (!b.replace || found.Keys == 1):
		r.set(rowAlready, "")
	case err != nil && found.Unread > 0:
		r.set(rowSkipped, "has a key that cannot be read here, and so not compared; -replace replaces it")
	case err != nil:
		r.set(rowSkipped, "has another key; -replace replaces it, -add adds to it where the schema allows several")
	}
	return nil
}

// refused notes why r cannot be enrolled, if err says that. Other errors are about
// more than one row.
func (b *batch) refused(r *row, err error, found ldapsync.Found) bool {
	badName := (*ldapsync.NameError)(nil)
	switch {
	case errors.Is(err, ldapsync.ErrNoEntry):
		r.set(rowNobody, "")
	case errors.As(err, &badName), errors.Is(err, ldapsync.ErrAmbiguous), errors.Is(err, ldapsync.ErrParameters):
		r.set(rowSkipped, "%v", err)
	default:
		return false
	}
	return true
}

// checkPicture decides about a row that gets a new key. The picture is written
// before the key is, so that the one who has a key and a picture is done, also
// where keys are replaced or added.
func (b *batch) checkPicture(r *row, found ldapsync.Found, err error) {
	name, _ := ldapsync.Canonical(r.User) // as it was found
	file := pictureName(name)
	r.Picture = filepath.Join(b.folder, file)
	there := exists(r.Picture)
	switch {
	case len(file) > 255:
		r.set(rowSkipped, "the name is too long for a file")
	case there && found.Keys > 0, err != nil:
		r.set(rowAlready, "")
	case there:
		r.set(rowSkipped, "%s is there, but the user has no key: remove it", r.Picture)
	}
	if !there && r.Outcome != rowLeft {
		r.Picture = ""
	}
}

// write enrols those that can be, and ends at the first error.
func (b *batch) write(ctx context.Context) error {
	if b.count(func(r *row) bool { return r.fresh && r.Outcome == rowLeft }) > 0 {
		if err := makePrivate(b.folder); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	p := b.progress("enrolling")
	defer p.end()
	for i, r := range b.rows {
		if r.Outcome != rowLeft {
			continue
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		// What has begun is brought to its end.
		if err := b.writeRow(context.WithoutCancel(ctx), r); err != nil {
			r.set(rowFailed, "%v", err)
			return fmt.Errorf("line %d: %q: %w", r.Line, r.User, err)
		}
		p.step(i+1, len(b.rows))
	}
	return nil
}

func (b *batch) writeRow(ctx context.Context, r *row) error {
	if r.fresh {
		if err := b.draw(r); err != nil {
			return err
		}
	}
	err := b.editor.Enroll(ctx, r.User, r.record)
	if err != nil && r.fresh && !errors.Is(err, ldapsync.ErrUncertain) {
		err, r.Picture = errors.Join(err, os.Remove(r.Picture)), ""
	}
	switch {
	case err == nil && b.ldif:
		r.set(rowPrinted, "")
	case err == nil:
		r.set(rowEnrolled, "")
	case errors.Is(err, ldapsync.ErrEnrolled):
		r.set(rowSkipped, "somebody else has enrolled the user meanwhile")
	default:
		b.wrote = b.wrote || errors.Is(err, ldapsync.ErrUncertain)
		return err
	}
	b.wrote = b.wrote || err == nil
	return nil
}

func (b *batch) draw(r *row) error {
	key := verifier.Key{Bytes: r.record.Key, Algorithm: verifier.Algorithm(r.record.Algorithm), Digits: r.record.Digits, Period: r.record.Period}
	uri, err := provisioningURI(r.User, key, b.issuer)
	if err != nil {
		return err
	}
	return writePicture(r.Picture, uri.String())
}
