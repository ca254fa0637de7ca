package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"lockstep/internal/qr"
)

// pngModule is the width of a QR code's modules in a PNG file, in pixels.
const pngModule = 8

// isPicture tells whether the name of a file says which kind of picture it is.
func isPicture(path string) bool {
	kind := strings.ToLower(filepath.Ext(path))
	return kind == ".png" || kind == ".svg"
}

// writePicture draws text as a QR code into a new file that only its owner can
// read: PNG or SVG, by the end of its name.
func writePicture(path, text string) error {
	var picture bytes.Buffer
	var err error
	if strings.EqualFold(filepath.Ext(path), ".png") {
		err = qr.PNG(&picture, text, pngModule)
	} else {
		err = qr.SVG(&picture, text)
	}
	if err == nil {
		err = writeNew(path, picture.Bytes())
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%q exists, and is left as it is", path)
	}
	return err
}

// exists tells whether there is something of that name, be it a dangling link.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pictureName returns the name of the file with the QR code of a user, whose name
// may hold anything.
func pictureName(user string) string {
	var b strings.Builder
	for i, r := range user {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("@_-", r) || r == '.' && i > 0 {
			b.WriteRune(r)
			continue
		}
		for _, octet := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", octet)
		}
	}
	return b.String() + ".svg"
}

// makePrivate makes a directory that only its owner can look into, or sees to it
// that the one that is there is such.
func makePrivate(path string) error {
	err := os.Mkdir(path, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%q is no directory", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others have access to the directory; chmod 700 %q", path)
	}
	return nil
}
