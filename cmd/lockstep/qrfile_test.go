package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/ldapsync"
)

func TestPictureName(t *testing.T) {
	for user, want := range map[string]string{
		"alice":             "alice.svg",
		"alice@example.com": "alice@example.com.svg",
		"j.o-e_1":           "j.o-e_1.svg",
		"müller":            "müller.svg",
		"../../etc/passwd":  "%2E.%2F..%2Fetc%2Fpasswd.svg",
		"..":                "%2E..svg",
		"a b%20":            "a%20b%2520.svg",
		`a\b`:               "a%5Cb.svg",
	} {
		if got := pictureName(user); got != want {
			t.Errorf("pictureName(%q) = %q, want %q", user, got, want)
		}
	}
}

// No name leads out of the folder, and no two names to one file.
func FuzzPictureName(f *testing.F) {
	for _, pair := range [][2]string{{"a", "A"}, {"a/b", "a%2fb"}, {"..", "."}, {"a b", "a%20b"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		a, errA := ldapsync.Canonical(a)
		b, errB := ldapsync.Canonical(b)
		if errA != nil || errB != nil {
			return
		}
		name := pictureName(a)
		if strings.ContainsAny(name, "/\x00\\") || strings.HasPrefix(name, ".") || filepath.Base(name) != name {
			t.Errorf("pictureName(%q) = %q", a, name)
		}
		if a != b && name == pictureName(b) {
			t.Errorf("%q and %q are both %q", a, b, name)
		}
	})
}

func TestPicturesAreNewFiles(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.svg")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := writePicture(link, "text"); err == nil || !exists(link) || exists(filepath.Join(dir, "elsewhere")) {
		t.Errorf("through a link: %v", err)
	}
	if err := writePicture(filepath.Join(dir, "a.png"), strings.Repeat("x", 5000)); err == nil || exists(filepath.Join(dir, "a.png")) {
		t.Errorf("too much text: %v", err)
	}
}
