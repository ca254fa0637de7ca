package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"lockstep/store"
)

// Check implements [store.Store]. It asks nobody: it says how the last write
// went, and whether the quorum has answered within 1.5 seconds; a probe goes out
// each second in which nothing else does. Right after Open it waits for the first
// answer, as long as that.
func (s *Store) Check(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return fmt.Errorf("check etcd: %w", err)
	}
	if left := away - s.elapsed(); left > 0 {
		s.awaitFirst(ctx, left)
	}
	silent, ever := s.pulse.silent(s.elapsed())
	switch fault := s.pulse.failing(); {
	case ever && silent <= away && fault == nil:
		return nil
	case ever && silent <= away:
		return fmt.Errorf("check etcd: the last write failed: %w", fault)
	}
	return fmt.Errorf("check etcd: no quorum for %v: %w", silent.Round(100*time.Millisecond), s.why())
}

// why returns what the last node said that was asked in vain.
func (s *Store) why() error {
	if trouble := s.cluster.trouble.Load(); trouble != nil {
		return *trouble
	}
	return errors.New("no node answers")
}

func (s *Store) awaitFirst(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-s.pulse.begun():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Health is what the members say of themselves, for people.
type Health struct {
	Members []Member
	Alarms  []string // such as "NOSPACE at node 8e9e05c52164694d"
	Err     error    // why the alarms are not known; nil if they are
}

// Member is one node of the cluster, by the endpoint that was configured.
type Member struct {
	Endpoint string
	Version  string // of etcd
	Leader   bool
	DBSize   int64 // bytes
	Quota    int64 // bytes; 0 if the node does not tell, as before etcd 3.6
	Learner  bool  // it has no vote yet
	Took     time.Duration
	Err      error // why the rest is not known
}

// memberWait is how long a node may take to tell about itself.
const memberWait = 2 * time.Second

// Health asks each member, and waits for two seconds for each at most.
func (s *Store) Health(ctx context.Context) Health {
	if err := s.usable(); err != nil {
		return Health{Err: err}
	}
	return s.cluster.health(ctx)
}

func (c *cluster) health(ctx context.Context) Health {
	h := Health{Members: make([]Member, len(c.nodes))}
	var asked sync.WaitGroup
	for i, n := range c.nodes {
		asked.Go(func() { h.Members[i] = n.member(ctx) })
	}
	asked.Go(func() { h.Alarms, h.Err = c.alarms(ctx) })
	asked.Wait()
	return h
}

func (n *node) member(ctx context.Context) Member {
	m := Member{Endpoint: n.endpoint}
	client, err := n.conn()
	if err != nil {
		m.Err = err
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, memberWait)
	defer cancel()
	began := time.Now()
	status, err := client.Status(ctx, n.endpoint)
	if err != nil {
		m.Err = err
		return m
	}
	m.Took, m.Learner = time.Since(began), status.IsLearner
	m.Version, m.DBSize, m.Quota = status.Version, status.DbSize, status.DbSizeQuota
	m.Leader = status.Leader != 0 && status.Leader == status.Header.GetMemberId()
	return m
}

func (n *node) alarms(ctx context.Context, client *clientv3.Client) (*clientv3.AlarmResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, memberWait)
	defer cancel()
	return client.AlarmList(ctx)
}

// alarms asks the nodes in turn. Their answers prove nothing of the quorum.
func (c *cluster) alarms(ctx context.Context) (alarms []string, err error) {
	var reply *clientv3.AlarmResponse
	for _, n := range c.nodes {
		var client *clientv3.Client
		if client, err = n.conn(); err != nil {
			continue
		}
		if reply, err = n.alarms(ctx, client); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	for _, a := range reply.Alarms {
		alarms = append(alarms, fmt.Sprintf("%s at node %x", a.Alarm, a.MemberID))
	}
	return alarms, nil
}

var _ store.Store = (*Store)(nil)
