package secretfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const canary = "a secret that no error shows"

func put(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
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
		{"others can read it", canary, 0o604, "", "others have access to the file; chmod 640"},
		{"others can write it", canary, 0o602, "", "others have access to the file; chmod 640"},
		{"others can execute it", canary, 0o601, "", "others have access to the file; chmod 640"},
		{"the group can write it", canary, 0o620, "", "the file's group can change it; chmod 640"},
		{"it is empty", "", 0o600, "", "is empty"},
		{"it is a newline", "\r\n", 0o600, "", "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkRead(t, put(t, t.TempDir(), "s", tt.content, tt.mode), tt.want, tt.err)
		})
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "s", "secret", 0o600)
	if err := os.Symlink("s", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	checkRead(t, filepath.Join(dir, "link"), "secret", "")
	checkRead(t, "/dev/zero", "", "not a regular file")
	checkRead(t, filepath.Join(dir, "fifo"), "", "not a regular file")
	checkRead(t, dir, "", "not a regular file")
	checkRead(t, filepath.Join(dir, canary), "", "no such file")
}

func checkRead(t *testing.T, path, want, wantErr string) {
	t.Helper()
	got, err := Read(path)
	if string(got) != want || (err == nil) != (wantErr == "") {
		t.Errorf("Read: %d octets, %v; want %d, error %q", len(got), err, len(want), wantErr)
	}
	if err != nil && (!strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), canary)) {
		t.Errorf("Read: error %q, want %q and no secret", err, wantErr)
	}
}

func TestOwned(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o644: "", 0o600: "", 0o664: "chmod go-w", 0o646: "chmod go-w"} {
		content, err := Content(put(t, t.TempDir(), "f", "x", mode), 10, Owned)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && string(content) != "x" {
			t.Errorf("mode %o: %q, %v", mode, content, err)
		}
	}
	if _, err := Content("/dev/null", 10, Owned); err == nil {
		t.Error("a device was taken")
	}
	if _, err := Content(put(t, t.TempDir(), "f", "12345678901", 0o600), 10, Anything); err == nil {
		t.Error("more than the limit was read")
	}
}
