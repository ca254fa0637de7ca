package server

import (
	"context"
	"fmt"
	"time"
)

const (
	// longestLogin is when a login without an answer is a fault of the program: it
	// ends at its deadline, after 5 s.
	longestLogin = 15 * time.Second
	// longestLook is the same for a look at the store, which ends after lookTime.
	longestLook = 15 * time.Second
)

// Alive returns nil if the server can do its work: packets are read, logins that
// were begun end, the store is looked at, and the replica and the clocks can be read.
// It waits for locks until ctx ends, which is an error too.
//
// A directory or a store that cannot be reached is not held against it: a restart
// would not bring it back. That is what [Server.Failed] and the doctor are for.
func (s *Server) Alive(ctx context.Context) error {
	found := make(chan error, 1)
	go func() { found <- s.alive() }()
	select {
	case err := <-found:
		return err
	case <-ctx.Done():
		return fmt.Errorf("look at the server: %w", context.Cause(ctx))
	}
}

func (s *Server) alive() error {
	if stuck := s.radius.Stuck(); stuck > longestLogin {
		return fmt.Errorf("no packet or login was ended for %s", stuck.Round(time.Second))
	}
	if since := time.Since(*s.looked.Load()); since > longestLook {
		return fmt.Errorf("the store was not looked at for %s", since.Round(time.Second))
	}
	// Whether they answer well is not asked, only whether they do.
	s.dir.current.Load().Status()
	_ = s.dir.healthy()
	s.verifier.Alarm()
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil
}

// noteLook keeps the moment with its monotonic clock: setting the other is no fault.
func (s *Server) noteLook() {
	now := time.Now()
	s.looked.Store(&now)
}
