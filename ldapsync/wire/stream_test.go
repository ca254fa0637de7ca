package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// stream is a connection on which everything has been said.
type stream struct {
	io.Reader
	written bytes.Buffer
}

func (s *stream) Write(p []byte) (int, error)      { return s.written.Write(p) }
func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return nil }
func (s *stream) RemoteAddr() net.Addr             { return nil }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// searching is a Conn that has sent its first search and is answered with
// what r holds.
func searching(t testing.TB, r io.Reader, o wire.Options) *wire.Conn {
	t.Helper()
	c := wire.New(&stream{Reader: r}, o)
	if err := c.Search(t.Context(), wire.Search{Filter: "(a=*)"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// readAll shows all messages of one search, and the error at its end if there
// is one.
func readAll(t testing.TB, r io.Reader) (all []string, err error) {
	t.Helper()
	c := searching(t, r, wire.Options{})
	for {
		m, err := c.Next(0)
		if err != nil {
			return all, err
		}
		all = append(all, show(m))
		if m.Kind == wire.Done {
			return all, nil
		}
	}
}

func octets(messages ...ldaptest.Message) (all []byte) {
	for _, m := range messages {
		all = append(all, m.Octets(1)...)
	}
	return all
}

// show has all that a message says in one line.
func show(m *wire.Message) string {
	var b strings.Builder
	add := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	switch m.Kind {
	case wire.Entry:
		add("entry %q", m.DN)
		for _, a := range m.Attributes {
			add(" %s=%q", a.Name, a.Values)
		}
	case wire.Reference:
		add("reference")
	case wire.Info:
		add("info %s", []string{"?", "cookie", "delete", "present", "ids"}[m.InfoKind])
	case wire.Done:
		add("done %d %q", m.Result.Code, m.Result.Text)
	}
	if m.HasState {
		add(" state %d %x", m.State, m.UUID[8:])
	}
	if m.HasSyncDone {
		add(" sync")
	}
	if m.Cookie != nil {
		add(" cookie %q", m.Cookie)
	}
	if m.RefreshDone {
		add(" refreshDone")
	}
	if m.RefreshDeletes {
		add(" refreshDeletes")
	}
	for _, id := range m.UUIDs {
		add(" %x", id[8:])
	}
	if m.PageCookie != nil {
		add(" page %q", m.PageCookie)
	}
	return b.String()
}
