package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"lockstep/ldapsync/ldif"
)

// fileEditor writes to an LDIF file.
type fileEditor struct{ *file }

// editor implements source.
func (f *file) editor(context.Context, EnrollOptions) (editor, error) {
	if f.replica.schema.owner != "" {
		return nil, fmt.Errorf("schema %q has entries for tokens, which cannot be added to a file", f.replica.schema.name)
	}
	return fileEditor{f}, nil
}

func (f fileEditor) close() {}

// find implements editor: the one record that has the canonical login name.
func (f fileEditor) find(_ context.Context, name string) (p holder, err error) {
	in, err := os.Open(f.path)
	if err != nil {
		return p, err
	}
	defer in.Close()
	records, err := ldif.Parse(in)
	if err != nil {
		return p, fmt.Errorf("%s: %w", f.path, err)
	}
	for _, r := range records {
		get := func(attr string) []string { return r.Attrs[strings.ToLower(attr)] }
		if !f.covers(normalizeDN(r.DN)) || !hasName(get(f.replica.schema.login), name) {
			continue
		}
		if p.dn != "" {
			return p, fmt.Errorf("%q and %q: %w", p.dn, r.DN, ErrAmbiguous)
		}
		p.target = target{dn: r.DN, get: get}
	}
	if p.dn == "" {
		return p, ErrNoEntry
	}
	return p, nil
}

// apply implements editor.
func (f fileEditor) apply(_ context.Context, e edit, p holder) error {
	if e.create || e.delete {
		return errors.New("records of a file are only changed")
	}
	return ldif.Set(f.path, e.dn, e.changes(&p.target)...)
}
