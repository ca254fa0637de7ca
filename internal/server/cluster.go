package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lockstep/admin"
	"lockstep/store/etcd"
)

// Where etcd does not tell its quota, this is what it has unless configured.
const defaultQuota = 2 << 30

// clusterFindings tells of the members of the cluster.
func clusterFindings(ctx context.Context, cluster interface {
	Health(context.Context) etcd.Health
}) (all []admin.Finding) {
	h := cluster.Health(ctx)
	bad := func(text, advice string) {
		all = append(all, admin.Finding{Subject: "etcd", Bad: true, Text: text, Advice: advice})
	}
	var well []string
	for _, m := range h.Members {
		quota := m.Quota
		if quota == 0 {
			quota = defaultQuota
		}
		switch {
		case m.Err != nil:
			bad(m.Endpoint+": "+silence(m.Err), "with one more away than the cluster can spare nobody can log in")
		case m.DBSize > quota/10*8:
			bad(fmt.Sprintf("%s: its database takes %d of %d MiB", m.Endpoint, m.DBSize>>20, quota>>20),
				"etcdctl defrag gives back what was compacted; where compact = false, see that something compacts")
		default:
			well = append(well, fmt.Sprintf("%s (%s, %d MiB)", m.Endpoint, m.Version, m.DBSize>>20))
		}
	}
	if h.Err != nil {
		bad("cannot tell whether it has alarms: "+silence(h.Err), "")
	}
	if len(h.Alarms) > 0 {
		bad("alarm "+strings.Join(h.Alarms, ", "), "NOSPACE: compact, etcdctl defrag, then etcdctl alarm disarm; CORRUPT: replace the member")
	}
	if len(well) > 0 {
		all = append(all, admin.Finding{Subject: "etcd", Text: strings.Join(well, ", ") + " answer"})
	}
	return all
}

// silence says what err is, for people.
func silence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
