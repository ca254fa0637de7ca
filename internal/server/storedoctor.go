package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/store/bolt"
	"lockstep/store/etcd"
)

// slowWrite is how long a write may take that every login waits for.
const slowWrite = 250 * time.Millisecond

// store tells how the store of the running server stands.
func (r *report) store(ctx context.Context, s *Server, now time.Time) {
	what := s.cfg.Store.Path
	if s.sharing != nil {
		what = "etcd"
	}
	if err := s.storeReady(); err != nil {
		r.bad("store.writable", "store", "nobody can log in until it can be written", "%v", err)
	} else {
		r.written(ctx, what, s.store)
	}
	if file, ok := s.store.(*bolt.Store); ok {
		r.file(file)
		r.space(filepath.Dir(s.cfg.Store.Path), s.space.rate(now), freeOn)
	}
}

// written tries a write.
func (r *report) written(ctx context.Context, what string, s any) {
	probe, ok := s.(interface {
		Probe(context.Context) (time.Duration, error)
	})
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	switch took, err := probe.Probe(ctx); {
	case err != nil:
		r.bad("store.writable", "store", "nobody can log in until it can be written", "%v", err)
	case took > slowWrite:
		r.warn("store.writable", "store", "each login waits for such a write: what else keeps the disk busy (iostat -x 1)? Give the state a disk of its own", "%s: a write is on disk after %s", what, brief(took))
	default:
		r.ok("store.writable", "store", "%s: a write is on disk after %s", what, brief(took))
	}
}

// file tells of the state file and its log.
func (r *report) file(s *bolt.Store) {
	f, err := s.Report()
	if err != nil {
		r.bad("store.file", "store", "restart lockstep, and restore the file if that does not help", "%v", err)
		return
	}
	r.ok("store.file", "store", "state file %s, log %s in %s, %d %% of the one in use taken", size(f.Bytes), size(f.LogBytes), count(f.LogFiles, "file"), f.LogUsed)
}

// Below these a disk is about to be full: the log takes so much, and the state file when
// it grows.
const (
	littleSpace = 1 << 30
	noSpace     = 4 * bolt.Growth / 3
	fewNodes    = 100
	lastsLong   = 30 * 24 * time.Hour
	lastsShort  = 3 * 24 * time.Hour
)

// room is what is left of a file system.
type room struct{ bytes, nodes uint64 } // nodes: how many more files

// freeOn returns the room where path is, for those who are not root.
func freeOn(path string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return room{}, fmt.Errorf("ask how much space there is at %s: %w", path, err)
	}
	nodes := st.Ffree
	if st.Files == 0 {
		nodes = fewNodes // the file system does not count
	}
	return room{st.Bavail * uint64(st.Bsize), nodes}, nil
}

// space tells how much of it there is, and how long that lasts at rate, bytes in a
// second.
func (r *report) space(dir string, rate float64, look func(string) (room, error)) {
	const id, advice = "store.space", "make room, or move the state to a larger disk: when it is full nobody can log in"
	free, err := look(dir)
	if err != nil {
		r.untold(id, "store", "", "%v", err)
		return
	}
	text := fmt.Sprintf("%s free at %s (%d bytes)", size(int64(free.bytes)), dir, free.bytes)
	lasts := time.Duration(0)
	if rate > 0 {
		lasts = time.Duration(min(float64(free.bytes)/rate, 1e9)) * time.Second
		text += ", which lasts " + span(lasts) + " if the disk goes on filling as in the last day"
	}
	switch {
	case free.nodes < fewNodes:
		r.bad(id, "store", advice, "%s, and room for %s more", text, count(int(free.nodes), "file"))
	case free.bytes < noSpace, rate > 0 && lasts < lastsShort:
		r.bad(id, "store", advice, "%s", text)
	case free.bytes < littleSpace, rate > 0 && lasts < lastsLong:
		r.warn(id, "store", advice, "%s", text)
	default:
		r.ok(id, "store", "%s", text)
	}
}

// size says how much n bytes are.
func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB"} {
		if n < 1<<10 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		if n < 10<<10 && unit != "MiB" {
			return fmt.Sprintf("%.1f %s", float64(n)/(1<<10), map[string]string{"bytes": "KiB", "KiB": "MiB"}[unit])
		}
		n >>= 10
	}
	return fmt.Sprintf("%d GiB", n)
}

// spaceTrend remembers for a day how much room there was, to tell how fast it goes.
type spaceTrend struct {
	mu   sync.Mutex // guards past
	past []spaceThen
}

type spaceThen struct {
	at    time.Time
	bytes uint64
}

const (
	spaceEvery = 10 * time.Minute
	spaceKept  = 24 * time.Hour
	spaceLeast = time.Hour // from which on there is a trend
)

// look takes note of the room where path is, if it is time to.
func (s *spaceTrend) look(path string, now time.Time, look func(string) (room, error)) {
	free, err := look(path) // without the lock: a disk may hang, and the doctor asks
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.past); n > 0 && now.Sub(s.past[n-1].at) < spaceEvery {
		return
	}
	for len(s.past) > 0 && now.Sub(s.past[0].at) > spaceKept {
		s.past = s.past[1:]
	}
	if err == nil {
		s.past = append(s.past, spaceThen{now, free.bytes})
	}
}

// rate returns by how many bytes the room has shrunk in a second, 0 if it has not, or if
// it is not known yet.
func (s *spaceTrend) rate(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.past) < 2 {
		return 0
	}
	first, last := s.past[0], s.past[len(s.past)-1]
	took := last.at.Sub(first.at)
	if took < spaceLeast || last.bytes >= first.bytes {
		return 0
	}
	return float64(first.bytes-last.bytes) / took.Seconds()
}

// etcdCertificates tells how long those last that the members show, and our own.
func (r *report) etcdCertificates(ctx context.Context, c config.Etcd, now time.Time) {
	t := tlsConfig(c)
	for _, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" {
			continue
		}
		certificate, err := handshake(ctx, u.Host, t)
		if certificate != nil {
			r.certificate("etcd.certificate", "etcd "+endpoint, certificate, now)
		}
		if err != nil {
			r.bad("etcd.certificate", "etcd "+endpoint, "see that store.ca_file has its CA, and that the certificate is for the name of the endpoint", "TLS: %v", err)
		}
	}
	if c.Certificate != nil && len(c.Certificate.Certificate) > 0 {
		if own, err := x509.ParseCertificate(c.Certificate.Certificate[0]); err == nil {
			r.certificate("etcd.own_certificate", "store.cert_file", own, now)
		}
	}
	r.authorities("etcd.ca", "store.ca_file", c.CA, now)
}

// slowMember is how long a member may take to tell of itself.
const slowMember = 500 * time.Millisecond

// cluster tells of the members, and of the quorum that they make.
func (r *report) cluster(h etcd.Health) {
	well, votes := 0, 0
	for _, m := range h.Members {
		if r.member(m) {
			well++
		}
		if !m.Learner {
			votes++
		}
	}
	r.quorum(well, votes)
	for _, alarm := range h.Alarms {
		r.bad("etcd.alarm", "etcd", "NOSPACE: compact, etcdctl defrag, then etcdctl alarm disarm; CORRUPT: replace the member", "alarm %s", alarm)
	}
	if h.Err != nil {
		r.untold("etcd.alarm", "etcd", "", "cannot tell whether it has alarms: %s", silence(h.Err))
	}
}

// member reports whether m answers, and has a vote.
func (r *report) member(m etcd.Member) bool {
	subject := "etcd " + m.Endpoint
	if m.Err != nil {
		r.bad("etcd.member", subject, "start it, or replace it: with one more away than the cluster can spare nobody can log in", "%s", silence(m.Err))
		return false
	}
	quota, role := m.Quota, ""
	if quota == 0 {
		quota = defaultQuota
	}
	if m.Leader {
		role = ", leads"
	}
	text := fmt.Sprintf("etcd %s%s, answers in %s, its database takes %s of %s", m.Version, role, brief(m.Took), size(m.DBSize), size(quota))
	switch {
	case m.DBSize > quota/10*8:
		r.bad("etcd.member", subject, "etcdctl defrag gives back what was compacted; where compact = false, see that something compacts", "%s", text)
	case m.Learner:
		r.warn("etcd.member", subject, "etcdctl member promote gives it a vote", "%s; it has no vote yet", text)
	case m.Took > slowMember:
		r.warn("etcd.member", subject, "look at its load, its disk and the network", "%s", text)
	default:
		r.ok("etcd.member", subject, "%s", text)
	}
	return !m.Learner
}

// quorum tells how many members more may go away.
func (r *report) quorum(well, votes int) {
	needed := votes/2 + 1
	switch {
	case well < needed:
		r.bad("etcd.quorum", "etcd", "start the members that are away: nobody can log in", "%d of %d members answer, and %d are needed", well, votes, needed)
	case well == needed && well < votes:
		r.warn("etcd.quorum", "etcd", "start the members that are away", "%d of %d members answer: if one more goes away, nobody can log in", well, votes)
	case votes == 1:
		r.ok("etcd.quorum", "etcd", "there is one member only: while it is away nobody can log in")
	default:
		r.ok("etcd.quorum", "etcd", "%d of %d members answer; %d of these can be spared", well, votes, well-needed)
	}
}
