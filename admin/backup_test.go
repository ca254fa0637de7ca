package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// halfway is a server whose backup fails after so many bytes.
type halfway struct {
	Users
	bytes int
}

func (h halfway) Backup(_ context.Context, w io.Writer) error {
	w.Write(make([]byte, h.bytes))
	return errors.New("disk on fire")
}

func TestBackupOverTheSocket(t *testing.T) {
	ask := func(u Users) (string, error) {
		path := filepath.Join(t.TempDir(), "admin.sock")
		l, err := Listen(path, "")
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(u, slog.New(slog.DiscardHandler), nil)
		s.WriteTimeout = time.Nanosecond // of all other answers; a backup takes its time
		go s.Serve(l)
		defer s.Close()
		var b bytes.Buffer
		err = NewClient(path).Backup(t.Context(), &b)
		return b.String(), err
	}
	if got, err := ask(&users{}); got != "a backup" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	// What failed in the middle is no answer that has ended.
	for _, n := range []int{1, 1 << 20} {
		if _, err := ask(halfway{bytes: n}); err == nil {
			t.Errorf("an error after %d bytes is not told", n)
		}
	}
}

func TestBackupThatCannotBegin(t *testing.T) {
	u := &users{err: errors.New("disk on fire")}
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(u, slog.New(slog.DiscardHandler), nil)
	go s.Serve(l)
	defer s.Close()
	if err := NewClient(path).Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("%v", err)
	}
}
