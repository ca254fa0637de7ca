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
