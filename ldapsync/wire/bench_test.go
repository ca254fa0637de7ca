package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// entries are those of an enrolled person each, as OpenLDAP sends them.
func entries(n int) (all []byte) {
	for i := range n {
		all = append(all, Entry(fmt.Sprintf("uid=user%06d,ou=people,dc=example,dc=org", i), "uid", fmt.Sprintf("user%06d", i),
			"oathSecret", "{HPKE}1$abcdefgh$"+fmt.Sprintf("%0108d", i), "oathTOTPParams", "cn=totp,ou=policy,dc=example,dc=org",
			"objectClass", "inetOrgPerson", "objectClass", "oathTOTPToken").State(wire.Add, UUID(i)).Octets(1)...)
	}
	return all
}

// loop gives the same octets over and over.
type loop struct {
	octets []byte
	at     int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.octets[l.at:])
	l.at = (l.at + n) % len(l.octets)
	return n, nil
}

func BenchmarkNext(b *testing.B) {
	stream := entries(1000)
	c := searching(b, &loop{octets: stream}, wire.Options{})
	b.SetBytes(int64(len(stream) / 1000))
	b.ReportAllocs()
	for b.Loop() {
		if m, err := c.Next(0); err != nil || !m.HasState {
			b.Fatal(m, err)
		}
	}
}

func TestAnEntryTakesNoAllocation(t *testing.T) {
	for name, stream := range map[string]io.Reader{
		"entries": &loop{octets: entries(1000)},
		"present": &loop{octets: octets(IDSet(false, make([][16]byte, 256)...))},
		"cookies": &loop{octets: octets(NewCookie("rid=000,csn=20260101000000.000000Z#000000#000#000000"))},
		"long":    &loop{octets: octets(Entry("x", "jpegPhoto", string(bytes.Repeat([]byte("x"), 200_000))))},
	} {
		c := searching(t, stream, wire.Options{})
		read := func() {
			if _, err := c.Next(0); err != nil {
				t.Fatal(err)
			}
		}
		for range 1000 {
			read()
		}
		if n := testing.AllocsPerRun(2000, read); n > 0 {
			t.Errorf("%s: %v allocations each", name, n)
		}
	}
}
