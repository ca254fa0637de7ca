package verifier

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
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
	locks  locks // of the records: a conflict would cost a second write
}

const shadows = 256 // the records in the store

func (d *decoys) init(s Store, now func() time.Time) {
	d.store, d.now = s, now
	d.states = recent[State]{age: 10 * time.Minute, most: 10_000}
}

// Load implements [Store].
func (d *decoys) Load(ctx context.Context, id string) (State, Version, error) {
	if _, _, err := d.store.Load(ctx, shadow(id)); err != nil {
		return State{}, 0, err
	}
	s, _ := d.states.get(id, d.now())
	return s, 0, nil
}

// CompareAndSwap implements [Store]. It needs no versions: one decision at a
// time is made about an id.
func (d *decoys) CompareAndSwap(ctx context.Context, id string, _ Version, next State) error {
	release, err := d.locks.acquire(ctx, shadow(id))
	if err != nil {
		return err
	}
	defer release()
	for {
		_, version, err := d.store.Load(ctx, shadow(id))
		if err != nil {
			return err
		}
		err = d.store.CompareAndSwap(ctx, shadow(id), version, State{})
		if err == nil {
			d.states.put(id, next, d.now())
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

func shadow(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprintf("decoy:%d", h.Sum32()%shadows)
}
