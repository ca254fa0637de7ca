package radiusd

import (
	"context"
	"sync"
	"time"
)

// deadlineStep is how much longer than the deadline a request may have. All
// that come within a step share one context: a timer for each of them costs
// more than all else that is done about it between two system calls.
const deadlineStep = 100 * time.Millisecond

// deadlines makes the contexts in which requests are decided.
type deadlines struct {
	base  context.Context
	after time.Duration

	mu    sync.Mutex
	ctx   context.Context
	begun time.Time // when the first request of ctx came
}

// of returns a context that ends a deadline after a request came, or up to a
// deadlineStep later, or with base.
func (d *deadlines) of(received time.Time) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since := received.Sub(d.begun); d.ctx == nil || since < 0 || since >= deadlineStep {
		ctx, cancel := context.WithTimeout(d.base, d.after+deadlineStep)
		context.AfterFunc(ctx, cancel)
		d.ctx, d.begun = ctx, received
	}
	return d.ctx
}
