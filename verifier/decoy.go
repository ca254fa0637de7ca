package verifier

import (
	"context"
	"time"
)

// decoys keeps the failures of names that nobody has, in memory and bounded, so
// that they lock like others and strangers cannot fill the store.
type decoys struct {
	now    func() time.Time
	states recent[State]
}

func (d *decoys) init(now func() time.Time) {
	d.now = now
	d.states = recent[State]{age: 10 * time.Minute, most: 10_000}
}

func (d *decoys) Load(_ context.Context, id string) (State, Version, error) {
	s, _ := d.states.get(id, d.now())
	return s, 0, nil
}

// CompareAndSwap needs no versions: one decision at a time is made about an ID.
func (d *decoys) CompareAndSwap(_ context.Context, id string, _ Version, next State) error {
	d.states.put(id, next, d.now())
	return nil
}
