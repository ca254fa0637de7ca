package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/opaque"
)

// trail keeps lines.
type trail struct {
	lines         []string
	ready, broken error
}

func (t *trail) Ready() error { return t.ready }

func (t *trail) Record(_ context.Context, action string, facts ...slog.Attr) error {
	line := action
	for _, f := range facts {
		if f.Key != "login_uid" { // which depends on who runs the test
			line += " " + f.String()
		}
	}
	t.lines = append(t.lines, line)
	return t.broken
}

func TestTrail(t *testing.T) {
	u, kept := &users{}, &trail{}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(u, slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil)), kept)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	c := NewClient(l.Addr().String())

	c.Unlock(t.Context(), "alice")
	c.Explain(t.Context(), "alice", opaque.Text("493817"))
	c.Show(t.Context(), "alice") // changes nothing
	if err := c.Report(t.Context(), Report{Action: "revoke", User: "bob"}); err != nil {
		t.Error(err)
	}
	if err := c.Report(t.Context(), Report{Action: "enroll", User: "carol", Text: "add", Error: "no entry"}); err != nil {
		t.Error(err)
	}
	if err := c.Report(t.Context(), Report{Action: "Not An Action"}); err == nil {
		t.Error("a report of nothing: no error")
	}
	u.err = errors.New("store is away")
	c.Unlock(t.Context(), "alice")
	uid := fmt.Sprint("uid=", os.Getuid())
	want := []string{"unlock user=alice failures=7 " + uid, "explain user=alice result=out of step " + uid,
		"revoke user=bob reported=true " + uid, "enroll user=carol text=add reason=no entry result=failed reported=true " + uid,
		"unlock user=alice " + uid + " result=failed reason=store is away"}
	if !slices.Equal(kept.lines, want) {
		t.Errorf("kept\n%q\nwant\n%q", kept.lines, want)
	}

	// What could not be put down: somebody is told, before it is done if that is known.
	u.err, kept.broken = nil, errors.New("disk full")
	if _, err := c.Unlock(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "unlock: done, but not recorded: disk full") {
		t.Errorf("Unlock: %v", err)
	}
	kept.ready = errors.New("disk full")
	done := len(u.unlocked)
	if _, err := c.Unlock(t.Context(), "alice"); err == nil || err.Error() != "nothing is done: disk full" || len(u.unlocked) != done {
		t.Errorf("Unlock: %v", err)
	}
	if _, err := c.Show(t.Context(), "alice"); err != nil {
		t.Errorf("Show: %v", err)
	}
}
