package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// While the file is closed after a failed write, no other process gets it: this
// one still has in memory what it would write over what that accepts.
func TestAnotherProcessWhileTheFileIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	s.mu.Lock()
	if err := s.closeFile(); err != nil {
		t.Fatal(err)
	}
	s.mu.Unlock()
	if other, err := Open(path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("Open = %v, %v; want that it is in use", other, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
}

func TestLockIsNoLink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), lockPath(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil {
		t.Error("a link is taken for the lock")
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the link was followed")
	}
}
