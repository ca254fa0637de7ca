package server

import (
	"context"
	"errors"
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
	return together(ctx,
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

// lateness is for how long looks may still tell what has kept them until ctx ended.
const lateness = time.Second

// together lets each look at once, and returns what they have found in their order. Soon
// after ctx it waits for none, and says so: a file system that hangs ends for nobody.
func together(ctx context.Context, looks ...func(*report)) []admin.Finding {
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lateness, func() { close(late) }) })()
	found := make([]chan report, len(looks))
	for i, look := range looks {
		found[i] = make(chan report, 1)
		go func() {
			var r report
			look(&r)
			found[i] <- r
		}()
	}
	all := report{}
	for _, c := range found {
		select {
		case r := <-c:
			all = append(all, r...)
		case <-late:
			select {
			case r := <-c: // at the same moment
				all = append(all, r...)
			default:
				all.untold("doctor.late", "doctor", "look for a disk or a network file system that hangs", "not all could be looked at in time")
			}
		}
	}
	return all
}

// consulted is doctor for one at a time: it makes connections to all directory servers.
func (s *Server) consulted(ctx context.Context) ([]admin.Finding, error) {
	if !s.consulting.TryLock() {
		return nil, errors.New("the doctor is busy with somebody else; ask again")
	}
	defer s.consulting.Unlock()
	return s.doctor(ctx), nil
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

func (s *Server) users() users {
	return users{s.verifier, s.dir, s.clock.Trusted, s.consulted, s.backup}
}
