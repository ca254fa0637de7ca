package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"lockstep/verifier"
)

// Copied counts what [Copy] found.
type Copied struct {
	Written int // that were not there
	Same    int // that were there already, as after a copy that was cut short
	Differ  int // that were there with another State, and are as they were
}

// copiers is how many records are written at once: stores group them.
const copiers = 64

// ErrInUse is wrapped by what [Copy] returns where a record that was not there
// differs now: somebody has used one of the stores meanwhile.
var ErrInUse = errors.New("one of the stores has been in use since the copy was begun")

// Copy writes every State of from to to. It overwrites nothing: of a State that
// to has in another form nobody can say which is the later one. Neither store may
// be in use meanwhile, or what is spent there may be good again here.
//
// From before the first record to after the last one to has a mark, so that no server
// lets anybody in by half of it, see [Store].BeginCopy. At the end stopped is asked
// whether still nobody uses the stores; nil for not at all.
//
// step is told how many of how many are done, by one goroutine at a time; nil for
// nobody. An error means that not all was copied, or that a store is in use, and the
// mark stays: to do it again is safe, goes on where it was, and takes the mark away. Records
// of from that cannot be read are such an error, and all others are copied. Where to
// was empty at first, a State that differs is one, too, which wraps [ErrInUse]: to copy
// again does not help then, but another place does.
func Copy(ctx context.Context, from, to Store, step func(done, of int), stopped func(context.Context) error) (Copied, error) {
	c := copying{ctx: ctx, from: from, to: to, step: step}
	if err := c.all(stopped); err != nil {
		return c.Copied, fmt.Errorf("copy: %w", err)
	}
	return c.Copied, nil
}

type copying struct {
	ctx      context.Context
	from, to Store
	of       int
	step     func(done, of int)

	mu sync.Mutex // guards the rest
	Copied
	done   int
	failed error
}

// all copies all that can be read, and takes the mark away if that is all there is.
func (c *copying) all(stopped func(context.Context) error) error {
	ids, unreadable := idsOf(c.ctx, c.from)
	if unreadable != nil && !errors.Is(unreadable, ErrDamaged) {
		return unreadable
	}
	mark, end, err := c.begin()
	if err != nil {
		return err
	}
	c.of = len(ids)
	c.records(ids)
	if err := errors.Join(c.failed, unreadable); err != nil {
		return err
	}
	if mark.Empty && c.Differ > 0 {
		return fmt.Errorf("%d keys are there with another state: %w", c.Differ, ErrInUse)
	}
	if stopped != nil {
		if err := stopped(c.ctx); err != nil {
			return err
		}
	}
	return end(c.ctx)
}

func idsOf(ctx context.Context, s Store) (ids []string, err error) {
	err = s.List(ctx, func(id string, _ verifier.State) error {
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// begin marks the target, with what the source says of restores.
func (c *copying) begin() (CopyMark, func(context.Context) error, error) {
	restored, err := c.from.Restored(c.ctx)
	if err != nil {
		return CopyMark{}, nil, err
	}
	empty, err := isEmpty(c.ctx, c.to)
	if err != nil {
		return CopyMark{}, nil, err
	}
	return c.to.BeginCopy(c.ctx, CopyMark{Restored: restored, Empty: empty})
}

// isEmpty takes a record that cannot be read for one.
func isEmpty(ctx context.Context, s Store) (bool, error) {
	found := errors.New("a record")
	err := s.List(ctx, func(string, verifier.State) error { return found })
	if errors.Is(err, found) || errors.Is(err, ErrDamaged) {
		return false, nil
	}
	return err == nil, err
}

func (c *copying) records(ids []string) {
	work := make(chan string)
	var all sync.WaitGroup
	for range copiers {
		all.Go(func() { c.run(work) })
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	all.Wait()
}

func (c *copying) run(work <-chan string) {
	for id := range work {
		if c.broken() {
			continue // or who sends would wait
		}
		c.note(c.one(id))
	}
}

func (c *copying) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil
}

// one copies a record. Which of the three it was is in the Copied.
func (c *copying) one(id string) (Copied, error) {
	state, version, err := c.from.Load(c.ctx, id)
	if errors.Is(err, ErrDamaged) || err == nil && version == 0 {
		err = fmt.Errorf("%q has changed meanwhile: the store is in use", id)
	}
	if err != nil {
		return Copied{}, err
	}
	there, version, err := c.to.Load(c.ctx, id)
	switch {
	case err != nil:
		return Copied{}, err
	case version == 0:
		return Copied{Written: 1}, c.to.CompareAndSwap(c.ctx, id, 0, state)
	case slices.Equal(Encode(there), Encode(state)):
		return Copied{Same: 1}, nil
	}
	return Copied{Differ: 1}, nil
}

func (c *copying) note(one Copied, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = errors.Join(c.failed, err)
		return
	}
	c.Written, c.Same, c.Differ = c.Written+one.Written, c.Same+one.Same, c.Differ+one.Differ
	c.done++
	if c.step != nil {
		c.step(c.done, c.of)
	}
}
