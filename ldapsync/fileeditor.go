package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"lockstep/ldapsync/ldif"
)

// fileEditor writes to an LDIF file. What it has read of it holds as long as the
// file stays the same.
type fileEditor struct {
	*file
	records []ldif.Record
	of      version
}

// editor implements source.
func (f *file) editor(context.Context, EnrollOptions) (editor, error) {
	if f.replica.schema.owner != "" {
		return nil, fmt.Errorf("schema %q has entries for tokens, which cannot be added to a file", f.replica.schema.name)
	}
	return &fileEditor{file: f}, nil
}

func (f *fileEditor) close() {}

// read reads the file unless it is as it was.
func (f *fileEditor) read() error {
	before := f.version()
	if f.records != nil && before == f.of {
		return nil
	}
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	if f.records, err = ldif.Parse(in); err != nil {
		f.records = nil
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.of = before // an earlier one is read again
	return nil
}

// find implements editor: the one record that has the canonical login name.
func (f *fileEditor) find(_ context.Context, name string) (p holder, err error) {
	if err := f.read(); err != nil {
		return p, err
	}
	for _, r := range f.records {
		if !hasName(valuesOf(r, f.replica.schema.login), name) || !f.covers(normalizeDN(r.DN)) {
			continue
		}
		if p.dn != "" {
			return p, fmt.Errorf("%q and %q: %w", p.dn, r.DN, ErrAmbiguous)
		}
		p.target = recordTarget(r)
	}
	if p.dn == "" {
		return p, ErrNoEntry
	}
	return p, nil
}

func recordTarget(r ldif.Record) target {
	return target{dn: r.DN, get: func(attr string) []string { return valuesOf(r, attr) }}
}

func valuesOf(r ldif.Record, attr string) []string { return r.Attrs[strings.ToLower(attr)] }

// apply implements editor. What e removes must still be there.
func (f *fileEditor) apply(_ context.Context, e edit) error {
	if e.create || e.delete {
		return errors.New("records of a file are only changed")
	}
	if err := f.read(); err != nil {
		return err
	}
	norm := normalizeDN(e.dn)
	for _, r := range f.records {
		if normalizeDN(r.DN) != norm {
			continue
		}
		t := recordTarget(r)
		for _, m := range e.mods {
			gone := func(v string) bool { return !slices.Contains(t.get(m.attr), v) }
			if m.op == opDelete && slices.ContainsFunc(m.values, gone) {
				return fmt.Errorf("write to %q: somebody else changed it meanwhile", e.dn)
			}
		}
		return ldif.Set(f.path, e.dn, e.changes(&t)...)
	}
	return ErrNoEntry
}
