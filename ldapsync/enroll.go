package ldapsync

import (
	"context"
	"errors"
	"io"
)

// Enroll writes e to the one entry whose login attribute is name, which may stand
// with a domain, or where the schema has entries for tokens, makes one. The key is
// sealed if the Config says to whom; else the parameters are written too where they
// would otherwise not be read as e has them. It returns [ErrNoEntry],
// [ErrAmbiguous], [ErrEnrolled] unless o.Replace or o.Add, [ErrUncertain], or an
// error that says what the directory lacks. The replica sees the change when it
// next looks, as it would anybody's.
func (d *Directory) Enroll(ctx context.Context, name string, e Enrolment, o EnrollOptions) error {
	w, err := d.Editor(ctx, o)
	if err != nil {
		return err
	}
	defer w.Close()
	return w.Enroll(ctx, name, e)
}

// Revoke removes all keys of the one entry whose login attribute is name, and
// where tokens have entries of their own, those. It returns [ErrNotEnrolled] where
// there is none.
func (d *Directory) Revoke(ctx context.Context, name string, o EnrollOptions) error {
	w, err := d.Editor(ctx, o)
	if err != nil {
		return err
	}
	defer w.Close()
	return w.Revoke(ctx, name)
}

// Editor enrols many, over one connection. It must be used by one goroutine at a
// time, and closed.
type Editor struct {
	dir *Directory
	w   editor
	o   EnrollOptions
}

// Editor connects to the directory as o says.
func (d *Directory) Editor(ctx context.Context, o EnrollOptions) (*Editor, error) {
	w, err := d.source.editor(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Editor{d, w, o}, nil
}

// Close ends the connection.
func (w *Editor) Close() { w.w.close() }

// Found is what [Editor.Check] has found.
type Found struct {
	DN     string // of the entry
	Keys   int    // that are there
	Unread int    // of them cannot be read here: sealed, or wrong
	Same   bool   // the key is there already, with its parameters
}

// Check says what [Editor.Enroll] would meet with, as far as that shows without
// writing. The error is Enroll's; Found is filled in as far as things went.
func (w *Editor) Check(ctx context.Context, name string, e Enrolment) (f Found, err error) {
	if e, err = e.checked(); err != nil {
		return f, err
	}
	p, err := w.find(ctx, name)
	if err != nil {
		return f, err
	}
	f = w.dir.compare(p, e)
	_, err = w.dir.enrolment(p, e, w.o)
	return f, err
}

// Enroll is [Directory.Enroll].
func (w *Editor) Enroll(ctx context.Context, name string, e Enrolment) error {
	e, err := e.checked()
	if err != nil {
		return err
	}
	return w.write(ctx, name, func(p holder) ([]edit, error) { return w.dir.enrolment(p, e, w.o) })
}

// Revoke is [Directory.Revoke].
func (w *Editor) Revoke(ctx context.Context, name string) error {
	return w.write(ctx, name, w.dir.revocation)
}

// holder is somebody's entry with the entries of their tokens, where those have
// their own.
type holder struct {
	target
	name   string // canonical, under which it was found
	tokens []target
}

// editor reads and changes entries on behalf of somebody who may.
type editor interface {
	find(ctx context.Context, name string) (holder, error)
	apply(ctx context.Context, e edit) error
	close()
}

// find returns who is meant by name, as a login would: with its domain, or
// without it, but not if those are two.
func (w *Editor) find(ctx context.Context, name string) (holder, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return holder{}, err
	}
	p, err := w.w.find(ctx, canonical)
	p.name = canonical
	bare, ok := w.dir.domains.bare(canonical)
	if !ok || err != nil && !errors.Is(err, ErrNoEntry) {
		return p, err
	}
	q, bareErr := w.w.find(ctx, bare)
	q.name = bare
	switch {
	case err != nil:
		return q, bareErr
	case errors.Is(bareErr, ErrNoEntry), bareErr == nil && p.dn == q.dn:
		return p, nil
	case bareErr != nil:
		return holder{}, bareErr
	}
	return holder{}, ErrAmbiguous
}

func (w *Editor) write(ctx context.Context, name string, plan func(holder) ([]edit, error)) error {
	p, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	edits, err := plan(p)
	if err != nil || w.o.DryRun {
		return err
	}
	for _, e := range edits {
		if w.o.LDIF != nil {
			_, err = io.WriteString(w.o.LDIF, e.ldif())
		} else {
			err = w.w.apply(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
