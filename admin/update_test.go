package admin

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpdate(t *testing.T) {
	u, log := &users{}, &bytes.Buffer{}
	c, _ := serve(t, u, log)
	if err := c.Update(t.Context()); err != nil || len(u.asked) != 1 || u.asked[0] != "update" {
		t.Errorf("Update: %v; asked %q", err, u.asked)
	}
	if want := fmt.Sprintf(`msg="admin action" action=update uid=%d`, os.Getuid()); !strings.Contains(log.String(), want) {
		t.Errorf("log %q, want %q", log, want)
	}
	u.err = errors.New("the directory is away")
	if err := c.Update(t.Context()); err == nil || err.Error() != "the directory is away" {
		t.Errorf("a directory that is away: %v", err)
	}
	if err := NewClient(filepath.Join(t.TempDir(), "none")).Update(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no server: %v, want ErrUnreachable", err)
	}
}

func TestSealingKeys(t *testing.T) {
	u := &users{}
	c, _ := serve(t, u, &bytes.Buffer{})
	if ids, err := c.SealingKeys(t.Context()); err != nil || len(ids) != 1 || ids[0] != "kid1" {
		t.Errorf("%q, %v", ids, err)
	}
	u.err = errors.New("no")
	if ids, err := c.SealingKeys(t.Context()); err == nil {
		t.Errorf("%q and no error", ids)
	}
}
