package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Probe writes what this server says of itself, waits until a quorum has it on disk, as
// a login does, and returns how long that took.
func (s *Store) Probe(ctx context.Context) (time.Duration, error) {
	if err := s.usable(); err != nil {
		return 0, fmt.Errorf("write to etcd: %w", err)
	}
	began := s.elapsed()
	if err := s.announce(ctx); err != nil {
		return 0, fmt.Errorf("write to etcd: %w", err)
	}
	return s.elapsed() - began, nil
}

// Look asks the members of a cluster of themselves, where no Store is open, and writes
// nothing. The error says what is wrong with opts.
func Look(ctx context.Context, opts Options) (Health, error) {
	if err := opts.complete(); err != nil {
		return Health{}, fmt.Errorf("look at etcd: %w", err)
	}
	began := time.Now()
	c := newCluster(opts, func() time.Duration { return time.Since(began) }, func(_, _ time.Duration, _ int64) {})
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, 2*memberWait)
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	if err := c.start(ctx, &background); err != nil {
		return Health{}, fmt.Errorf("look at etcd: %w", err)
	}
	c.awaitConnected(ctx)
	return c.health(ctx), nil
}

// awaitConnected waits until there is a client of each node, which takes a while where
// each has to be given a token first.
func (c *cluster) awaitConnected(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for most := time.After(loginWait); ; {
		missing := false
		for _, n := range c.nodes {
			missing = missing || n.client.Load() == nil
		}
		if !missing {
			return
		}
		select {
		case <-tick.C:
		case <-most:
			return
		case <-ctx.Done():
			return
		}
	}
}
