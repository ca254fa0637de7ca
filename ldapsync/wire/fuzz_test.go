package wire_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// What is read from any stream, written again as servers write it, is read as
// the same.
func FuzzNext(f *testing.F) {
	for _, tt := range kinds {
		f.Add(octets(tt.message))
	}
	messages, _ := everything()
	f.Add(octets(messages...))
	f.Add(octets(Intermediate("1.2.3", "x"), Notice(52, "x")))
	f.Add([]byte("\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x64\x84\x00\x00\x00\x04\x04\x00\x30\x00"))
	f.Add([]byte("\x30\x80\x02\x01\x01\x64\x00\x00\x00"))
	f.Add([]byte(entryWithState("\x30\x00")))
	f.Add([]byte(syncInfo("\xa3\x05\x04\x01c\x31\x00")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := searching(t, bytes.NewReader(stream), wire.Options{MaxMessage: 4096})
		var again []byte
		var want []string
		for total := 0; ; {
			m, err := c.Next(0)
			if err != nil {
				if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\r\n\x1b") {
					t.Fatalf("error %q", err)
				}
				break
			}
			if total += 2 + len(m.DN) + size(m); total > len(stream) {
				t.Fatalf("%d octets from %d", total, len(stream))
			}
			again, want = append(again, rebuilt(m).Octets(1)...), append(want, show(m))
			if m.Kind == wire.Done {
				break
			}
		}
		if got, _ := readAll(t, bytes.NewReader(again)); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

// size is the least that m may have taken.
func size(m *wire.Message) (n int) {
	for _, a := range m.Attributes {
		n += 6 + len(a.Name)
		for _, value := range a.Values {
			n += 2 + len(value)
		}
	}
	return n + 18*len(m.UUIDs) + len(m.Cookie) + len(m.PageCookie)
}

// rebuilt is the message that m was read from, as it should have been sent.
func rebuilt(m *wire.Message) (out Message) {
	switch m.Kind {
	case wire.Entry:
		out = Entry(string(m.DN))
		for _, a := range m.Attributes {
			out = out.Attribute(string(a.Name), a.Values...)
		}
	case wire.Reference:
		out = Reference("ldap://x")
	case wire.Done:
		out = Done(m.Result.Code, m.Result.Text)
	case wire.Info:
		switch m.InfoKind {
		case wire.NewCookie:
			return NewCookie(string(m.Cookie))
		case wire.RefreshDelete:
			out = RefreshDelete(m.RefreshDone)
		case wire.RefreshPresent:
			out = RefreshPresent(m.RefreshDone)
		case wire.IDSet:
			out = IDSet(m.RefreshDeletes, m.UUIDs...)
		}
	}
	if m.HasState {
		out = out.State(m.State, m.UUID)
	}
	if m.HasSyncDone {
		out = out.SyncDone(m.RefreshDeletes)
	}
	if m.Cookie != nil {
		out = out.Cookie(string(m.Cookie))
	}
	if m.PageCookie != nil {
		out = out.Page(string(m.PageCookie))
	}
	return out
}
