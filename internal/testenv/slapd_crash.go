package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Backup keeps the present content, and returns what puts it back. The server must
// be stopped for both.
func (s *SlapdServer) Backup(t testing.TB) (restore func()) {
	t.Helper()
	data, kept := filepath.Join(s.dir, "data"), t.TempDir()
	replace := func(to, from string) {
		t.Helper()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	replace(kept, data)
	return func() { replace(data, kept) }
}
