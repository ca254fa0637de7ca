package server

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAlive(t *testing.T) {
	s := startAlive(t)
	if err := s.Alive(t.Context()); err != nil {
		t.Errorf("a server that works: %v", err)
	}
	// A store that is away is not the server's fault.
	away := errors.New("away")
	s.storeErr.Store(&away)
	if err := s.Alive(t.Context()); err != nil {
		t.Errorf("a store that is away: %v", err)
	}
}

func TestNotAlive(t *testing.T) {
	s := startAlive(t)
	if err := s.Shutdown(t.Context()); err != nil { // or the look would be noted again
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Minute)
	s.looked.Store(&long)
	if err := s.Alive(t.Context()); err == nil || !strings.Contains(err.Error(), "the store was not looked at for 1m0s") {
		t.Errorf("a store that nobody looks at: %v", err)
	}
	s.noteLook()
	if err := s.Alive(t.Context()); err != nil {
		t.Errorf("looked at again: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is never given back: %v", err)
	}
}

func startAlive(t *testing.T) *Server {
	t.Helper()
	dir := t.TempDir()
	people(t, filepath.Join(dir, "people.ldif"), "alice")
	return begin(t, testConfig(dir, "people.ldif"))
}
