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

// Copy writes every State of from to to. It overwrites nothing: of a State that
// to has in another form nobody can say which is the later one. Neither store may
// be in use meanwhile, or what is spent there may be good again here.
//
// step is told how many of how many are done, by one goroutine at a time; nil for
// nobody. An error means that not all was copied; to do it again is safe. Records
// of from that cannot be read are such an error, and all others are copied.
func Copy(ctx context.Context, from, to Store, step func(done, of int)) (Copied, error) {
	var ids []string
	unreadable := from.List(ctx, func(id string, _ verifier.State) error {
		ids = append(ids, id)
		return nil
	})
	if unreadable != nil && !errors.Is(unreadable, ErrDamaged) {
		return Copied{}, fmt.Errorf("copy: %w", unreadable)
	}
	// First, or a copy that is cut short would be one without it.
	restored, err := from.Restored(ctx)
	if err == nil && !restored.IsZero() {
		err = to.MarkRestored(ctx, restored)
	}
	if err != nil {
		return Copied{}, fmt.Errorf("copy: %w", err)
	}
	c := copying{ctx: ctx, from: from, to: to, of: len(ids), step: step}
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
	if err := errors.Join(c.failed, unreadable); err != nil {
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
