package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lockstep/ldapsync/sealed"
)

// Rewrapped is what [Directory.Rewrap] came to.
type Rewrapped struct {
	Sealed int              // keys that are sealed anew
	Kept   int              // keys that were sealed to the right one before
	Failed map[string]error // by canonical name: why one of theirs could not be
}

// Rewrap seals all keys of the replica, which must have been refreshed, to the one
// that the Config says new ones are sealed to: those in clear, and those that are
// sealed to another that the Config can open. A key that has changed meanwhile is
// left as it is and counts as failed; so do those of an ambiguous name. progress is
// called after each account, unless it is nil. An error means that it has not gone
// through all of them; it can be called again. With o.DryRun nothing is written, and
// counted is what would be.
func (d *Directory) Rewrap(ctx context.Context, o EnrollOptions, progress func(done, of int)) (Rewrapped, error) {
	result := Rewrapped{Failed: map[string]error{}}
	ready, _, _ := d.replica.state()
	switch {
	case d.sealTo == nil:
		return result, errors.New("directory.sealing_key_file and seal_to are not set: to whom should keys be sealed?")
	case d.replica.schema.control:
		return result, errors.New("FreeRADIUS could not read keys that are sealed")
	case !ready:
		return result, ErrNotReady
	}
	w, err := d.source.editor(ctx, o)
	if err != nil {
		return result, err
	}
	defer w.close()
	everybody := d.everybody(result.Failed)
	shared := d.shared(everybody)
	for i, p := range everybody {
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		// What has begun is brought to its end.
		err := d.rewrap(context.WithoutCancel(ctx), w, p, shared, o, &result)
		if errors.Is(err, ErrUncertain) {
			return result, fmt.Errorf("%s: %w", p.name, err)
		}
		if err != nil {
			result.Failed[p.name] = err
		}
		if progress != nil {
			progress(i+1, len(everybody))
		}
	}
	return result, nil
}

type named struct {
	name    string
	records []*record
}

// everybody returns the people of the replica. Those of an ambiguous name are put
// into failed instead: nobody can say for whom to seal.
func (d *Directory) everybody(failed map[string]error) (all []named) {
	d.replica.people(func(name string, records []*record, err error) bool {
		if err != nil {
			failed[name] = err
		} else {
			all = append(all, named{name, records})
		}
		return true
	})
	return all
}

// shared returns the token entries that more than one of all name. Whoever may
// write the name of one must not have it sealed for themselves.
func (d *Directory) shared(all []named) map[*record]bool {
	by, shared := map[*record]*record{}, map[*record]bool{}
	for _, p := range all {
		for _, rec := range p.records {
			for dn := range rec.each(fieldToken) {
				token := d.replica.byDN(dn)
				if other := by[token]; token != nil && token != rec && other != nil && other != rec {
					shared[token] = true
				}
				by[token] = rec
			}
		}
	}
	return shared
}

func (d *Directory) rewrap(ctx context.Context, w editor, p named, shared map[*record]bool, o EnrollOptions, result *Rewrapped) error {
	b := &builder{replica: d.replica, names: p.records[0].all(fieldName)}
	for _, rec := range p.records {
		entries := []*record{rec}
		for dn := range rec.each(fieldToken) {
			token, err := b.linked(rec, dn)
			if err != nil {
				return err
			}
			if shared[token] {
				return fmt.Errorf("%q is named by several people: nobody can say for whom to seal it", dn)
			}
			if token != rec {
				entries = append(entries, token)
			}
		}
		for _, rec := range entries {
			if err := d.rewrapEntry(ctx, w, b, rec, p.name, o, result); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewrapEntry seals the keys of one entry, in one write.
func (d *Directory) rewrapEntry(ctx context.Context, w editor, b *builder, rec *record, name string, o EnrollOptions, result *Rewrapped) error {
	s := &d.replica.schema
	e := rec.digest()
	change := edit{dn: e.first[fieldDN]}
	for i, value := range e.all(fieldKey) {
		id, err := sealed.KeyID(value)
		current := err == nil && id == d.sealTo.ID()
		if current && d.replica.keyring == nil {
			result.Kept++ // as far as anybody can tell
			continue
		}
		t, err := b.decode(&e, value)
		if err != nil {
			return fmt.Errorf("read the key at %q: %w", change.dn, err)
		}
		if current {
			result.Kept++
			continue
		}
		slot := or(e.first[fieldSerial], strconv.Itoa(i+1))
		next, err := d.sealTo.Seal(sealed.Binding{Realm: d.replica.realm, User: name, Slot: slot},
			sealed.Content{Key: t.Key, Algorithm: t.Algorithm, Digits: t.Digits, Period: t.Period, Created: d.replica.now().Truncate(time.Second)})
		if err != nil {
			return err
		}
		change.mod(opDelete, s.key, value)
		change.mod(opAdd, s.key, next)
	}
	if len(change.mods) == 0 {
		return nil
	}
	if o.DryRun {
		result.Sealed += len(change.mods) / 2
		return nil
	}
	if err := w.apply(ctx, change); err != nil {
		return err
	}
	result.Sealed += len(change.mods) / 2
	return nil
}
