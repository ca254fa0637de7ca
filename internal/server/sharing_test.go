package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"lockstep/admin"
	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/etcd"
	"lockstep/verifier"
)

// fakeCluster is a store that servers share, with these servers and no keys.
type fakeCluster struct{ peers []store.Peer }

func (c *fakeCluster) Peers() []store.Peer                { return c.peers }
func (c *fakeCluster) Health(context.Context) etcd.Health { return etcd.Health{} }
func (c *fakeCluster) Keys(context.Context) (store.SharedKeys, error) {
	return store.SharedKeys{}, errors.New("none")
}

func TestWhatIsToldOfOtherServers(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		peer     store.Peer
		bad      bool
		log, say string
	}{
		{"all is well", store.Peer{Name: "b", Ahead: time.Second, Seen: now}, false, "", "its clock is like this one's"},
		{"its clock is 31 s ahead", store.Peer{Name: "b", Ahead: 31 * time.Second, Seen: now}, true, "the clocks of two servers differ", "31 s ahead"},
		{"its clock is 31 s slow", store.Peer{Name: "b", Ahead: -31 * time.Second, Seen: now}, true, "the clocks of two servers differ", "31 s"},
		{"it is silent", store.Peer{Name: "b", Ahead: 1, Seen: now.Add(-2 * time.Minute)}, true, "", "not heard of since"},
		{"it has our name", store.Peer{Name: "a", Ahead: 1, Seen: now}, true, "another server has the name", "another server has the name"},
		{"it is what we were before kill -9", store.Peer{Name: "a", Seen: now}, false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, cluster := &testenv.Buffer{}, &fakeCluster{peers: []store.Peer{tt.peer}}
			s := &sharing{name: "a", store: cluster, log: slog.New(slog.NewTextHandler(log, nil)), verifier: verifier.New(nil, nil, time.Now)}
			s.compare()
			s.compare()
			if n := strings.Count(log.String(), "\n"); n > 1 || !strings.Contains(log.String(), tt.log) || tt.log == "" && n > 0 {
				t.Errorf("logged %q, want %q, once", log, tt.log)
			}
			var all report
			all.servers(s, now)
			if tt.say == "" {
				if len(all) != 0 {
					t.Errorf("found %+v", all)
				}
				return
			}
			if len(all) != 1 || (all[0].Severity == admin.Error) != tt.bad || !strings.Contains(all[0].Text, tt.say) {
				t.Errorf("found %+v, want %q", all, tt.say)
			}
		})
	}
}

// Without the keys nobody is let in, which the log says at the first look alone.
func TestKeysThatCannotBeRead(t *testing.T) {
	log := &testenv.Buffer{}
	s := &sharing{name: "a", store: &fakeCluster{}, log: slog.New(slog.NewTextHandler(log, nil)), verifier: verifier.New(nil, nil, time.Now)}
	for range 3 {
		if err := s.look(t.Context()); err == nil {
			t.Error("no error")
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, log)
	}
}
