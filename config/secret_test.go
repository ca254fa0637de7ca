package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is a secret file is the business of package secretfile, and tested there.
func TestReadSecret(t *testing.T) {
	path := filepath.Join(write(t, map[string]string{"s": canary + "\n"}), "s")
	for mode, want := range map[os.FileMode]string{0o640: "", 0o644: "cannot use the secret file: others have access to the file; chmod 640"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSecret(path)
		switch {
		case want == "" && (err != nil || string(got.Reveal()) != canary):
			t.Errorf("mode %o: %d octets, %v", mode, got.Len(), err)
		case want != "" && (err == nil || got.Len() != 0 || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary)):
			t.Errorf("mode %o: %d octets, %v; want %q", mode, got.Len(), err, want)
		}
	}
	if _, err := ReadSecret(canary); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a secret in the place of its file's name: %v", err)
	}
}
