package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// clientLogins are the logins of all clients. A client that is taken out of the
// configuration is not shown any more; if it comes back, it counts on.
type clientLogins struct {
	kinds []Kind

	mu     sync.Mutex // guards those below, and is not held while a login is counted
	byName map[string]*Client
	shown  []*Client
}

var loginsDesc = prometheus.NewDesc("lockstep_logins_total",
	"Logins that were decided, by client, outcome and reason; undecided if directory or store could not be asked, and nothing was answered.",
	[]string{"client", "outcome", "reason"}, nil)

func (l *clientLogins) get(s *Set, name string) *Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.byName[name]
	if c == nil {
		c = &Client{set: s, name: name, n: make([]atomic.Uint64, len(l.kinds))}
		if l.byName == nil {
			l.byName = make(map[string]*Client)
		}
		l.byName[name] = c
	}
	return c
}

func (l *clientLogins) show(shown []*Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = shown
}

// Describe implements [prometheus.Collector].
func (l *clientLogins) Describe(to chan<- *prometheus.Desc) { to <- loginsDesc }

// Collect implements [prometheus.Collector].
func (l *clientLogins) Collect(to chan<- prometheus.Metric) {
	l.mu.Lock()
	shown := l.shown
	l.mu.Unlock()
	for _, c := range shown {
		for i, k := range l.kinds {
			to <- prometheus.MustNewConstMetric(loginsDesc, prometheus.CounterValue, float64(c.n[i].Load()), c.name, k.Outcome.String(), k.Reason)
		}
	}
}
