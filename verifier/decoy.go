package verifier

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"
)

// decoys keeps the failures of names that nobody has, in memory and bounded, so
// that they lock like others and strangers cannot fill the store.
//
// Each load and each write goes to a record of the store all the same, one of
// few that hold nothing: an unknown name must take as long as a known one, and
// meet the same silence while the store is away.
type decoys struct {
	store  Store
	now    func() time.Time
	states recent[State]
	seed   maphash.Seed
}

const shadows = 256 // the records in the store

func (d *decoys) init(s Store, now func() time.Time) {
	d.store, d.now, d.seed = s, now, maphash.MakeSeed()
	d.states = recent[State]{age: 10 * time.Minute, most: 10_000}
}

// Load implements [Store].
func (d *decoys) Load(ctx context.Context, id string) (State, Version, error) {
	if _, _, err := d.store.Load(ctx, d.shadow(id)); err != nil {
		return State{}, 0, err
	}
	s, _ := d.states.get(id, d.now())
	return s, 0, nil
}

// CompareAndSwap implements [Store]. It needs no versions: one decision at a
// time is made about an id. Where another name has just written the same record
// that is as good: what counts is that the disk has been waited for.
func (d *decoys) CompareAndSwap(ctx context.Context, id string, _ Version, next State) error {
	_, version, err := d.store.Load(ctx, d.shadow(id))
	if err != nil {
		return err
	}
	err = d.store.CompareAndSwap(ctx, d.shadow(id), version, State{})
	if err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	d.states.put(id, next, d.now())
	return nil
}

// shadow names the record of id. Nobody can choose names that share one.
func (d *decoys) shadow(id string) string {
	return fmt.Sprintf("decoy:%d", maphash.String(d.seed, id)%shadows)
}
