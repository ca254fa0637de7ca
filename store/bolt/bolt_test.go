package bolt

import (
	"log/slog"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store { return open(t, filepath.Join(t.TempDir(), "state.db"), Options{}) })
}

// open returns the store at path, and closes it at the end of t.
func open(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
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

type tx = bbolt.Tx
