package server

import (
	"context"
	"sync"
	"time"

	"lockstep/admin"
)

// doctor says what is in order and what is not, of all that only the running server
// knows, and of what it needs. What takes time is asked at once.
func (s *Server) doctor(ctx context.Context) []admin.Finding {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	now := time.Now()
	dir := s.dir.current.Load()
	return together(
		func(r *report) {
			r.clock(s.clock)
			r.moved(s.alarms)
		},
		func(r *report) {
			r.directory(dir, now)
			sealed := r.keys(dir)
			r.directoryServers(ctx, dir, sealed, now)
			r.authorities("directory.ca", "directory.ca_file", s.cfg.Directory.CA, now)
			r.enrolled(ctx, s)
		},
		func(r *report) {
			r.store(ctx, s, now)
			r.restored(ctx, s, now)
		},
		func(r *report) { r.shared(ctx, s, now) },
		func(r *report) { r.rules(ctx, *s.rules.Load(), dir) },
		func(r *report) {
			r.clients(*s.clients.Load(), s.radius.Clients(), s.began, now)
			r.strangers(s.radius.Strangers(strangersTold))
			r.sockets(s.sockets)
			r.audit(s)
			r.process(s.cfg.Directory.Pool)
			r.swap(readSwap())
		},
	)
}

const (
	doctorTime    = 20 * time.Second // who asks waits for half a minute
	strangersTold = 3
)

// together lets each look at once, and returns what they have found in their order.
func together(looks ...func(*report)) []admin.Finding {
	found := make([]report, len(looks))
	var wait sync.WaitGroup
	for i, look := range looks {
		wait.Go(func() { look(&found[i]) })
	}
	wait.Wait()
	all := []admin.Finding{}
	for _, r := range found {
		all = append(all, r...)
	}
	return all
}

// enrolled tells of users whose enrolment or state cannot be used.
func (r *report) enrolled(ctx context.Context, s *Server) {
	if s.storeReady() != nil {
		return // which has a finding; each state would be waited for
	}
	if list, err := s.users().List(ctx); err == nil { // else directory and store say why
		r.users(list)
	}
}

// shared tells of a store that several servers have.
func (r *report) shared(ctx context.Context, s *Server, now time.Time) {
	if s.sharing == nil {
		return
	}
	r.cluster(s.sharing.store.Health(ctx))
	r.etcdCertificates(ctx, s.cfg.Store.Etcd, now)
	r.servers(s.sharing, now)
}

func (s *Server) users() users { return users{s.verifier, s.dir, s.clock.Trusted, s.doctor, s.backup} }
