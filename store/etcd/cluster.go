package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cluster asks the nodes, and makes sure that it is always the same cluster
// that answers.
type cluster struct {
	nodes   []*node
	log     *slog.Logger
	elapsed func() time.Duration
	hear    func(began, now time.Duration, revision int64) // of each answer
	blind   int                                            // resends that ask cannot see, at most

	favourite atomic.Int32          // the node that answered last
	usual     atomic.Int64          // nanoseconds that an answer takes
	trouble   atomic.Pointer[error] // of the last try, nil if it was answered

	mu       sync.Mutex // guards all below
	id       uint64     // of the cluster, 0 until one answered
	revision int64      // the highest that was answered
	fault    error      // never cleared
	foreign  map[string]bool
}

func newCluster(opts Options, elapsed func() time.Duration, hear func(began, now time.Duration, revision int64)) *cluster {
	c := &cluster{log: opts.Log, elapsed: elapsed, hear: hear, foreign: map[string]bool{}}
	if opts.User != "" {
		c.blind = 1
	}
	for _, endpoint := range opts.Endpoints {
		c.nodes = append(c.nodes, newNode(endpoint, opts))
	}
	return c
}

func (c *cluster) start(ctx context.Context, background *sync.WaitGroup) error {
	for _, n := range c.nodes {
		if err := n.start(ctx, background); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		n.close()
	}
}

// An appliance gives up after two or three seconds. A node that has not answered
// after hedgeLeast, and not after a few times what is usual, is passed by.
const (
	hedgeLeast = 300 * time.Millisecond
	hedgeMost  = time.Second
	hedgeTimes = 4
	pauseRound = 50 * time.Millisecond // when all nodes have refused
)

func (c *cluster) hedge() time.Duration {
	return min(max(hedgeLeast, hedgeTimes*time.Duration(c.usual.Load())), hedgeMost)
}

// response is what every answer of etcd is.
type response interface{ GetHeader() *pb.ResponseHeader }

type answer[R response] struct {
	from  int
	took  time.Duration
	reply R
	err   error
}

// ask has call put a question to a node, and to the next ones while no answer
// comes, until ctx is done. The question must be one that only a quorum can
// answer, and that may be asked twice. The first good answer counts; sent says
// how often the question may have been sent.
func ask[R response](ctx context.Context, c *cluster, call func(context.Context, *node) (R, error)) (reply R, sent int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	known, err := c.known()
	if err != nil {
		return reply, 0, err
	}
	began, next, failed := c.elapsed(), int(c.favourite.Load()), 0
	answers := make(chan answer[R])
	timer := time.NewTimer(0)
	defer timer.Stop()
	sent = c.blind
	for {
		select {
		case <-timer.C:
			sent++
			go func(from int) {
				asked := c.elapsed()
				reply, err := call(ctx, c.nodes[from])
				select {
				case answers <- answer[R]{from, c.elapsed() - asked, reply, err}:
				case <-ctx.Done():
				}
			}(next)
			next = (next + 1) % len(c.nodes)
			timer.Reset(c.hedge())
		case a := <-answers:
			if a.err == nil {
				a.err = c.accept(a.reply.GetHeader(), known, c.nodes[a.from].endpoint)
			}
			if a.err == nil {
				c.answered(a.from, a.took)
				c.hear(began, c.elapsed(), a.reply.GetHeader().GetRevision())
				return a.reply, sent, nil
			}
			fault := fmt.Errorf("%s: %w", c.nodes[a.from].endpoint, rpctypes.Error(a.err))
			c.trouble.Store(&fault)
			err = fault
			if final(a.err) {
				return reply, sent, err
			}
			if failed++; failed%len(c.nodes) == 0 {
				timer.Reset(pauseRound)
			} else {
				timer.Reset(0)
			}
		case <-ctx.Done():
			if err == nil {
				err = errors.New("no node answers")
			}
			return reply, sent, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
	}
}

// answered notes who answers, and how fast.
func (c *cluster) answered(from int, took time.Duration) {
	c.favourite.Store(int32(from))
	c.trouble.Store(nil)
	usual := c.usual.Load()
	c.usual.Store(usual + (int64(took)-usual)/8)
}

// final reports whether another node, or another try, would say the same.
func final(err error) bool {
	err = rpctypes.Error(err)
	if errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, rpctypes.ErrCorrupt) || errors.Is(err, errChanged) {
		return true
	}
	if errors.Is(err, rpctypes.ErrAuthOldRevision) {
		return false
	}
	var etcd rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &etcd) {
		code = etcd.Code()
	}
	return code == codes.InvalidArgument || code == codes.OutOfRange || code == codes.PermissionDenied || code == codes.Unimplemented
}

var (
	errChanged = errors.New("etcd has lost what it had confirmed, as when it is restored from a backup: codes that were spent since would be good again. " +
		"Make sure that it is in order, wait until those codes are too old, and restart lockstep")
	errForeign = errors.New("this node belongs to another cluster than the one that answered first")
)

// known returns the highest revision that was answered. What is asked from now
// on must show at least that.
func (c *cluster) known() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision, c.fault
}

func (c *cluster) condemned() error {
	_, err := c.known()
	return err
}

// accept says whether an answer is from our cluster, as it was or later.
func (c *cluster) accept(h *pb.ResponseHeader, known int64, endpoint string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fault != nil:
		return c.fault
	case h.GetClusterId() == 0 || h.GetRevision() <= 0:
		return errors.New("the answer has no proper header")
	case c.id == 0:
		c.id = h.GetClusterId()
	case c.id != h.GetClusterId():
		// Others may be as they were. If there are none, nobody is let in.
		if !c.foreign[endpoint] {
			c.foreign[endpoint] = true
			c.log.Error("etcd node belongs to another cluster, and is not asked", "url", endpoint,
				"hint", "if the whole cluster was made anew, wait until codes that were spent are too old, and restart lockstep")
		}
		return errForeign
	case h.GetRevision() < known:
		c.fault = errChanged
		c.log.Error("etcd went back, nobody is let in", "url", endpoint, "revision", h.GetRevision(), "known", known, "err", errChanged)
		return c.fault
	}
	c.revision = max(c.revision, h.GetRevision())
	return nil
}

// same reports whether h is from the cluster that answered first.
func (c *cluster) same(h *pb.ResponseHeader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.GetClusterId() == c.id
}
