package bolt

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/verifier"
)

// view runs fn in a read transaction. What fn takes from it must be copied.
func (s *Store) view(fn func(*bbolt.Tx) error) (err error) {
	if err := s.health.condemned(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.unavailable()
	}
	begun := false
	defer func() {
		if !begun && errors.Is(err, errPanic) {
			// bbolt takes its locks at the beginning, and keeps them in a panic.
			s.health.condemn(err)
		}
	}()
	defer panicOnFault()()
	defer guard(&err)
	return s.db.View(func(tx *bbolt.Tx) error {
		begun = true
		return fn(tx)
	})
}

// pageLength is the number of records that List reads in one transaction. A
// transaction left open while the caller does as it likes would keep the file
// from growing, and a caller that writes would wait for itself.
const pageLength = 256

type entry struct {
	id      string
	state   verifier.State
	version verifier.Version
	err     error
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, each func(id string, state verifier.State) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list %s: %w", s.path, err)
	}
	// What moves from the tables to the file meanwhile is found in the one or
	// the other: the tables are looked at first.
	ids, changes := s.tables.snapshot()
	var damaged error
	for after, more := "", true; more; {
		page, err := s.page(ctx, after)
		if err != nil {
			return fmt.Errorf("list %s: %w", s.path, err)
		}
		more = len(page) == pageLength
		if more {
			after = page[len(page)-1].id
		}
		n := len(ids)
		if more {
			n = sort.Search(len(ids), func(i int) bool { return ids[i] > after })
		}
		for _, e := range merge(page, ids[:n], changes) {
			if e.err != nil {
				if damaged == nil { // the first will do: there may be a million
					damaged = fmt.Errorf("list %s: state %q: %w", s.path, e.id, e.err)
				}
				continue
			}
			if err := each(e.id, e.state); err != nil {
				return err
			}
		}
		ids = ids[n:]
	}
	return damaged
}

// merge returns the entries of page and the changes of ids, in order. Of an id
// in both, the later one counts: the page was read after the changes.
func merge(page []entry, ids []string, changes map[string]change) []entry {
	var all []entry
	for len(page) > 0 || len(ids) > 0 {
		switch {
		case len(ids) == 0 || len(page) > 0 && page[0].id < ids[0]:
			all, page = append(all, page[0]), page[1:]
			continue
		case len(page) > 0 && page[0].id == ids[0]:
			e := page[0]
			page = page[1:]
			if uint64(e.version) > changes[ids[0]].version {
				all, ids = append(all, e), ids[1:]
				continue
			}
		}
		if c := changes[ids[0]]; !c.deleted {
			e := entry{id: ids[0]}
			e.state, e.err = store.Decode(c.record)
			all = append(all, e)
		}
		ids = ids[1:]
	}
	return all
}

// page returns up to pageLength records after the given id.
func (s *Store) page(ctx context.Context, after string) (page []entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(recordsBucket).Cursor()
		key, raw := c.Seek([]byte(after))
		if key != nil && string(key) == after {
			key, raw = c.Next()
		}
		for ; key != nil && len(page) < pageLength; key, raw = c.Next() {
			e := entry{id: string(key)}
			e.state, e.version, e.err = parseRecord(raw)
			page = append(page, e)
		}
		return nil
	})
	return page, err
}
