package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/metrics"
	"lockstep/internal/sysclock"
	"lockstep/store/etcd"
)

// measuring shows what this server measures. A nil one does nothing, and is what
// a configuration without a listener has.
type measuring struct {
	server *Server
	set    *metrics.Set
	http   *http.Server
	socket net.Listener

	followed atomic.Int64 // when the directory was last known to be followed, in Unix nanoseconds; 0 for never

	mu     sync.Mutex // guards health, and is held while the cluster is asked
	health etcd.Health
	asked  time.Time // when it was; zero for never
}

// startMeasuring opens the listener, which nobody answers yet.
func (s *Server) startMeasuring() error {
	if !s.cfg.Metrics.Listen.IsValid() {
		return nil
	}
	m := &measuring{server: s}
	m.set = metrics.New(m.look)
	m.set.Kinds(kinds)
	socket, err := metrics.Listen(s.ctx, s.cfg.Metrics.Listen)
	if err != nil {
		return err
	}
	m.http, m.socket, s.metrics = metrics.NewServer(m.set, s.log), socket, m
	s.log.Info("metrics are shown", "url", "http://"+socket.Addr().String()+metrics.Path)
	return nil
}

// serve answers until close. That it fails is no reason to let nobody in.
func (m *measuring) serve(wait *sync.WaitGroup, log *slog.Logger) {
	if m == nil {
		return
	}
	wait.Go(func() {
		if err := m.http.Serve(m.socket); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			log.Error("metrics are not shown any more", "err", err)
		}
	})
}

func (m *measuring) close() {
	if m != nil {
		m.http.Close()
		m.socket.Close() // which the server does not know if it did not come to serve
	}
}

// show sets which clients are in use.
func (m *measuring) show(s *Server) {
	if m == nil {
		return
	}
	var names []string
	for _, c := range *s.clients.Load() {
		names = append(names, c.Name)
	}
	m.set.Show(names)
}

// tick notes whether the directory is followed at now.
func (m *measuring) tick(now time.Time) {
	if m != nil && m.server.dir.current.Load().Status().Healthy {
		m.followed.Store(now.UnixNano())
	}
}

// look says how the server is.
func (m *measuring) look() metrics.State {
	s := m.server
	return metrics.State{
		Ready:        s.ready() == nil,
		Radius:       m.lookAtRadius(),
		Clients:      m.lookAtClients(),
		Directory:    m.lookAtDirectory(time.Now()),
		Store:        m.lookAtStore(),
		Clock:        m.lookAtClock(),
		Peers:        m.lookAtPeers(),
		Certificates: m.certificates(),
	}
}

func (m *measuring) lookAtRadius() metrics.Radius {
	n, busy := m.server.radius.Counters(), m.server.radius.Busy()
	r := metrics.Radius{
		Invalid: n["TotalInvalidRequests"], UnknownTypes: n["TotalUnknownTypes"],
		AcctRequests: n["TotalAcctRequests"], AcctResponses: n["TotalAcctResponses"],
		StatusRequests: n["StatusRequests"], SendErrors: n["SendErrors"], ReadErrors: n["ReadErrors"],
		Drops:    make(map[string]uint64),
		Deciding: busy.Deciding, Limit: busy.Limit,
		WaitingFresh: busy.Waiting, WaitingChallenged: busy.Challenged, Delayed: busy.Delayed,
	}
	for name, count := range n {
		if reason, ok := dropReason(name); ok {
			r.Drops[reason] = count
		}
	}
	return r
}

func (m *measuring) lookAtClients() (all []metrics.ClientState) {
	required := make(map[string]bool)
	for _, c := range *m.server.clients.Load() {
		required[c.Name] = c.RequireMessageAuthenticator
	}
	for _, c := range m.server.radius.Clients() {
		all = append(all, metrics.ClientState{
			Name: c.Name, LastSeen: c.LastSeen, Required: required[c.Name],
			Requests: c.Requests, Accepts: c.Accepts, Rejects: c.Rejects, Challenges: c.Challenges,
			Duplicates: c.Duplicates, Malformed: c.Malformed, BadAuthenticators: c.BadAuthenticators,
			NoMessageAuthenticator: c.NoMessageAuthenticator, CHAP: c.CHAP, Dropped: c.Dropped, Unanswered: c.Unanswered,
		})
	}
	return all
}

func (m *measuring) lookAtDirectory(now time.Time) metrics.Directory {
	dir := m.server.dir.current.Load()
	st := dir.Status()
	d := metrics.Directory{Healthy: dir.Healthy() == nil, Mode: st.Mode, Entries: st.Entries, Refreshed: st.Refreshed, Age: -1}
	if st.Kind == "ldif" {
		d.Mode = st.Kind
	}
	if at := m.followed.Load(); at != 0 {
		d.Age = max(0, now.Sub(time.Unix(0, at)))
	}
	return d
}

func (m *measuring) lookAtStore() metrics.Store {
	c := m.server.cfg.Store
	s := metrics.Store{Engine: c.Engine, Healthy: m.server.storeReady() == nil}
	if file, ok := m.server.store.(interface{ JournalUsed() float64 }); ok {
		used := file.JournalUsed()
		s.Free, s.Journal = space(filepath.Dir(c.Path)), &used
	}
	if m.server.sharing != nil {
		m.lookAtCluster(&s)
	}
	return s
}

// space returns that of the file system of a directory, nil if it is not known.
func space(dir string) *metrics.Space {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil
	}
	return &metrics.Space{Free: st.Bavail * uint64(st.Bsize), Size: st.Blocks * uint64(st.Bsize)}
}

// How often the cluster is asked at most, however often we are, and how long it
// may take: less than a scrape may.
const (
	clusterEvery = 5 * time.Second
	clusterTime  = 3 * time.Second
)

func (m *measuring) lookAtCluster(s *metrics.Store) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked.IsZero() || time.Since(m.asked) >= clusterEvery {
		ctx, cancel := context.WithTimeout(m.server.ctx, clusterTime)
		defer cancel()
		m.health, m.asked = m.server.sharing.store.Health(ctx), time.Now()
	}
	for _, member := range m.health.Members {
		quota := member.Quota
		if quota == 0 {
			quota = defaultQuota
		}
		s.Members = append(s.Members, metrics.Member{Endpoint: member.Endpoint, Up: member.Err == nil, Size: member.DBSize, Quota: quota})
	}
	if n := len(m.health.Alarms); m.health.Err == nil {
		s.Alarms = &n
	}
}

func (m *measuring) lookAtClock() metrics.Clock {
	s := m.server
	c := metrics.Clock{Trusted: s.clock.Trusted()}
	if status, err := sysclock.Read(); err == nil {
		c.Synchronised, c.MaxError = &status.Synchronised, status.MaxError
	}
	if jumps := s.clock.Jumps(); len(jumps) > 0 {
		c.LastJump = jumps[len(jumps)-1].At
	}
	alarm, on := s.verifier.Alarm()
	c.Together, c.Moved = on, alarm.Moved
	return c
}

func (m *measuring) lookAtPeers() (all []metrics.Peer) {
	if m.server.sharing == nil {
		return nil
	}
	for _, p := range m.server.sharing.others() {
		all = append(all, metrics.Peer{Name: p.Name, Ahead: p.Ahead, Seen: p.Seen})
	}
	return all
}

func (m *measuring) certificates() []metrics.Certificate {
	own := m.server.cfg.Store.Etcd.Certificate
	if own == nil || own.Leaf == nil || m.server.sharing == nil {
		return nil
	}
	return []metrics.Certificate{{Setting: "store.cert_file", Expires: own.Leaf.NotAfter}}
}
