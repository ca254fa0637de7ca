package radiusd

import (
	"sync"
	"sync/atomic"
	"time"
)

// defaultPatience is how long a request waits for a worker. Appliances wait two
// or three seconds before they send a request again or turn to another server:
// the answer has to come before that.
const defaultPatience = time.Second

// standing is the part of its patience that the oldest may wait before the
// newest goes first. A burst is over by then; if not, more comes than can be
// decided, and whoever waited longest is the likeliest to have given up.
const standing = 4

const (
	fewestWorkers = 64 // what the limit does not fall below
	reserved      = 8  // workers for challenged requests alone
	mostIdle      = 64 // workers that wait for work and do not end
)

// class says who goes first.
type class int

const (
	fresh      class = iota
	challenged       // a person has already waited once
	classes
)

// result is what came of a job.
type result int

const (
	dropped result = iota // nothing was asked
	failed                // asked, and not decided
	decided
)

// crew decides jobs on goroutines that begin when there is work. At most limit
// jobs are under way. What waits beyond them waits here, where those that were
// challenged can go first and what is too old can be told, and not inside an
// Authenticator, in front of a directory that is slow. To that end the limit
// falls while decisions fail or take more than half of patience, and rises again
// when they do not.
type crew struct {
	work     func(*job, time.Time) result
	now      func() time.Time
	most     int // workers
	patience time.Duration
	waiting  atomic.Int64 // queues[fresh].len, for those without the lock

	mu      sync.Mutex // guards those below
	limit   int        // workers, at present
	running [classes]int
	queues  [classes]line
	idle    []chan *job // of workers without work, the last to become so last
	moved   time.Time   // when a job was ended last, or begun while there was none
	stopped bool
}

func newCrew(workers, queue int, patience time.Duration, now func() time.Time, work func(*job, time.Time) result) *crew {
	c := &crew{work: work, now: now, most: workers, patience: patience, limit: workers}
	for i := range c.queues {
		c.queues[i].jobs = make([]*job, queue)
	}
	return c
}

// full reports whether take would refuse a fresh request.
func (c *crew) full() bool { return c.waiting.Load() >= int64(len(c.queues[fresh].jobs)) }

// take sees to it that j is worked on, now or later, or returns false.
func (c *crew) take(j *job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.free(j.class) {
		c.start(j)
		return true
	}
	defer c.count()
	return c.queues[j.class].push(j)
}

// free reports whether a job of a class may be begun.
func (c *crew) free(of class) bool {
	if of == fresh && c.running[fresh] >= c.limit-min(reserved, c.limit/8) {
		return false
	}
	return c.busy() < c.limit
}

func (c *crew) busy() int { return c.running[fresh] + c.running[challenged] }

// quiet reports whether there is at most one job under way.
func (c *crew) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy() <= 1
}

// start gives j to the worker that was busy last: its stack has grown to what
// the work needs, and is in the processor's cache.
func (c *crew) start(j *job) {
	if c.busy() == 0 {
		c.moved = c.now()
	}
	c.running[j.class]++
	if last := len(c.idle) - 1; last >= 0 {
		c.idle[last] <- j
		c.idle = c.idle[:last]
		return
	}
	go c.run(j)
}

// run works on j and on what waits, and then waits itself.
func (c *crew) run(j *job) {
	own := make(chan *job, 1) // start does not wait
	for j != nil {
		begun := c.now()
		r := c.work(j, begun)
		if j = c.next(j.class, r, begun, own); j == nil {
			j = <-own
		}
	}
}

// stop ends the workers once they are without work.
func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, own := range c.idle {
		close(own)
	}
	c.idle = nil
}

// rest lets a worker wait for work, if there are not enough who do.
func (c *crew) rest(own chan *job) {
	if c.stopped || len(c.idle) == mostIdle {
		close(own)
		return
	}
	c.idle = append(c.idle, own)
}

// next ends a job and returns the next one, if it may be begun. If not, there
// may be one later through own.
func (c *crew) next(done class, r result, begun time.Time, own chan *job) *job {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adapt(r, now.Sub(begun))
	c.moved = now
	c.running[done]--
	j := c.pick(now)
	if j == nil {
		c.rest(own)
		return nil
	}
	c.running[j.class]++
	if more := c.pick(now); more != nil { // the limit has risen
		c.start(more)
	}
	return j
}

// pick takes the request that is to be begun next from its queue.
func (c *crew) pick(now time.Time) *job {
	defer c.count()
	for of := classes - 1; of >= 0; of-- {
		if c.free(of) {
			if j := c.queues[of].pop(now, c.patience); j != nil {
				return j
			}
		}
	}
	return nil
}

func (c *crew) count() { c.waiting.Store(int64(c.queues[fresh].len)) }

// adapt changes the limit after a job. A slow decision or none lowers it: more
// is asked of the Authenticator than it can do. A quick one raises it, if the
// limit was reached, or is far: then whatever lowered it is over.
func (c *crew) adapt(r result, took time.Duration) {
	busy := c.busy()
	switch {
	case r == dropped:
	case r == failed || took > c.patience/2:
		c.limit = max(min(fewestWorkers, c.most), min(c.limit, busy-busy/16))
	case took < c.patience/4 && (busy >= c.limit-min(reserved, c.limit/8) || busy <= c.limit/2):
		c.limit = min(c.most, c.limit+1)
	}
}

// line holds the requests that wait: a ring, oldest first.
type line struct {
	jobs       []*job
	first, len int
}

func (l *line) push(j *job) bool {
	if l.len == len(l.jobs) {
		return false
	}
	l.jobs[(l.first+l.len)%len(l.jobs)] = j
	l.len++
	return true
}

// pop takes the oldest, or the newest where the oldest has waited too long for
// it to be useful, and not yet so long that it is to be dropped.
func (l *line) pop(now time.Time, patience time.Duration) *job {
	if l.len == 0 {
		return nil
	}
	at := l.first
	if age := now.Sub(l.jobs[at].received); age > patience/standing && age < patience {
		at = (l.first + l.len - 1) % len(l.jobs)
	} else {
		l.first = (l.first + 1) % len(l.jobs)
	}
	j := l.jobs[at]
	l.jobs[at] = nil
	l.len--
	return j
}
