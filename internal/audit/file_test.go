package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory of the server's user is written by commands of root, too.
func TestALinkInThePlaceOfTheFileIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	for name, prepare := range map[string]func(target string) error{
		"to a file that is empty":     func(target string) error { return os.WriteFile(target, nil, 0o600) },
		"to a file that is not there": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			target, path := filepath.Join(t.TempDir(), "other"), filepath.Join(dir, "audit.log")
			if err := errors.Join(prepare(target), os.Symlink(target, path)); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			before, _ := os.Lstat(target)
			f, err := openFile(path)
			if err == nil {
				f.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("%v; want that it is a symbolic link", err)
			}
			if _, err := os.Lstat(target); before == nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error("what the link names was made")
			}
		})
	}
}
