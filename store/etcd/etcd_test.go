package etcd

import (
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/storetest"
)

var prefixes atomic.Int64

// newPrefix is one that no other test has, so that tests can share a cluster.
func newPrefix() string { return "/test" + strconv.FormatInt(prefixes.Add(1), 10) + "/" }

func TestStoreOnOneNode(t *testing.T) { suite(t, testenv.Etcd(t, 1)) }

func TestStoreOnThreeNodes(t *testing.T) { suite(t, testenv.Etcd(t, 3)) }

func suite(t *testing.T, c *testenv.EtcdCluster) {
	storetest.Run(t, func(t testing.TB) store.Store { return open(t, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()}) })
}

// open returns a store that is closed at the end of t.
func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// logger returns a logger and what was logged so far.
func logger() (*slog.Logger, func() string) {
	var b testenv.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), b.String
}
