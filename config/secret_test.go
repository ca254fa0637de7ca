package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadSecret(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		want, err     string
	}{
		{"one newline is cut off", "s\n\n", 0o600, "s\n", ""},
		{"a DOS newline too", "s\r\n", 0o640, "s", ""},
		{"any other octet belongs to it", " \x00\xff\r ", 0o400, " \x00\xff\r ", ""},
		{"64 KiB are allowed", strings.Repeat("x", 64<<10), 0o600, strings.Repeat("x", 64<<10), ""},
		{"more are not", strings.Repeat("x", 64<<10+1), 0o600, "", "larger than 64 KiB"},
		{"others can read it", canary, 0o604, "", "chmod 640"},
		{"others can write it", canary, 0o602, "", "chmod 640"},
		{"others can execute it", canary, 0o601, "", "chmod 640"},
		{"the group can write it", canary, 0o620, "", "chmod 640"},
		{"it is empty", "", 0o600, "", "is empty"},
		{"it is a newline", "\r\n", 0o600, "", "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(write(t, map[string]string{"s": tt.content}), "s")
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			checkReadSecret(t, path, tt.want, tt.err)
		})
	}
}

func TestReadSecretOfOtherThanFiles(t *testing.T) {
	dir := write(t, map[string]string{"s": "secret"})
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("s", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	checkReadSecret(t, filepath.Join(dir, "link"), "secret", "")
	checkReadSecret(t, filepath.Join(dir, "fifo"), "", "not a regular file")
	checkReadSecret(t, dir, "", "not a regular file")
	checkReadSecret(t, "/dev/zero", "", "not a regular file")
	checkReadSecret(t, filepath.Join(dir, canary), "", "no such file")
}

func checkReadSecret(t *testing.T, path, want, wantErr string) {
	t.Helper()
	got, err := ReadSecret(path)
	if string(got.Reveal()) != want || (err == nil) != (wantErr == "") {
		t.Errorf("ReadSecret(%s): %d octets, %v; want %d, error %q", path, got.Len(), err, len(want), wantErr)
	}
	if err != nil && (!strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), canary)) {
		t.Errorf("ReadSecret(%s): error %q, want %q and no secret", path, err, wantErr)
	}
}
