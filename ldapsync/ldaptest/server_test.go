package ldaptest

import (
	"errors"
	"io"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/wire"
)

// connect binds, searches, and returns the DN of the first entry.
func connect(t *testing.T, s *Server) (string, *wire.Conn) {
	t.Helper()
	c := wire.New(s.Dial(), wire.Options{})
	t.Cleanup(func() { c.Close() })
	if err := c.Bind(t.Context(), "cn=svc", opaque.Text("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.Search(t.Context(), wire.Search{Filter: "(a=b)", Sync: &wire.SyncRequest{Persist: true}}); err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return string(m.DN), c
}

func TestEachConnectionHasAScript(t *testing.T) {
	t.Parallel()
	s := Serve(t,
		func(c *Conn) {
			c.Search()
			c.Send(Entry("first"))
		},
		func(c *Conn) {
			c.Search()
			c.Send(Entry("later, by " + c.Last))
			c.Hold()
		})
	for i, want := range []string{"first", "later, by cn=svc", "later, by cn=svc"} {
		got, c := connect(t, s)
		if got != want || s.Accepted() != i+1 {
			t.Errorf("connection %d of %d: got %q, want %q", i+1, s.Accepted(), got, want)
		}
		if i > 0 {
			continue // held until the test ends
		}
		if _, err := c.Next(20 * time.Second); !errors.Is(err, io.EOF) {
			t.Errorf("the script has returned: %v", err)
		}
	}
}

func TestMessagesStayAsTheyWere(t *testing.T) {
	plain := Entry("x", "a", "b")
	before := string(plain.Octets(1))
	plain.State(wire.Add, UUID(1)).Cookie("c").Control(wire.Control{OID: "1.2.3"}).Attribute("d").ID(7)
	if got := string(plain.Octets(1)); got != before {
		t.Errorf("%x, was %x", got, before)
	}
}
