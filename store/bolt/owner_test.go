package bolt

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Root copies a store to where the server of another user opens it.
func TestWhatRootMakesBelongsToTheOwnerOfTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	const server = 12345
	if err := os.Chown(dir, server, server); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	s := open(t, path, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, lockPath(path)} {
		is, err := os.Stat(name)
		if err != nil || is.Sys().(*syscall.Stat_t).Uid != server {
			t.Errorf("%s: %+v, %v", name, is, err)
		}
	}
}
