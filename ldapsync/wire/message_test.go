package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	ber "github.com/go-asn1-ber/asn1-ber"

	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// One of each, with what is read from it.
var kinds = []struct {
	name    string
	message Message
	want    string
}{
	{"entry of a plain search", Entry("uid=alice", "uid", "alice", "mail", "a@x", "mail", "b@x"), `entry "uid=alice" uid=["alice"] mail=["a@x" "b@x"]`},
	{"entry without attributes", Entry(""), `entry ""`},
	{"entry added", Entry("uid=alice", "uid", "alice").State(wire.Add, UUID(1)), `entry "uid=alice" uid=["alice"] state 1 0000000000000001`},
	{"entry present", Entry("uid=alice").State(wire.Present, UUID(1)), `entry "uid=alice" state 0 0000000000000001`},
	{"entry modified, with a cookie", Entry("uid=alice").State(wire.Modify, UUID(1)).Cookie("c"), `entry "uid=alice" state 2 0000000000000001 cookie "c"`},
	{"entry deleted, with an empty cookie", Entry("uid=alice").State(wire.Delete, UUID(1)).Cookie(""), `entry "uid=alice" state 3 0000000000000001 cookie ""`},
	{"entry with an unknown critical control", Entry("uid=alice").Control(wire.Control{OID: "1.2.3", Critical: true}), `entry "uid=alice"`},
	{"entry with a control of another message", Entry("uid=alice").SyncDone(true).Cookie("c").Page("p"), `entry "uid=alice"`},
	{"reference", Reference("ldap://elsewhere/"), `reference`},
	{"reference with a state", Reference("ldap://elsewhere/").State(wire.Add, UUID(2)), `reference state 1 0000000000000002`},
	{"new cookie", NewCookie("c"), `info cookie cookie "c"`},
	{"new cookie, empty", NewCookie(""), `info cookie cookie ""`},
	{"end of a delete phase and the refresh", RefreshDelete(true).Cookie("c"), `info delete cookie "c" refreshDone`},
	{"end of a delete phase", RefreshDelete(false), `info delete`},
	{"end of a present phase and the refresh", RefreshPresent(true), `info present refreshDone`},
	{"end of a present phase", RefreshPresent(false).Cookie("c"), `info present cookie "c"`},
	{"refreshDone in full", Intermediate("1.3.6.1.4.1.4203.1.9.1.4", "\xa2\x03\x01\x01\xff"), `info present refreshDone`},
	{"UUIDs present", IDSet(false, UUID(1), UUID(2)), `info ids 0000000000000001 0000000000000002`},
	{"UUIDs deleted", IDSet(true, UUID(1)).Cookie("c"), `info ids cookie "c" refreshDeletes 0000000000000001`},
	{"no UUIDs", IDSet(false), `info ids`},
	{"done", Done(0, ""), `done 0 ""`},
	{"size limit", Done(4, "too many"), `done 4 "too many"`},
	{"refresh required", Done(4096, ""), `done 4096 ""`},
	{"sync done", Done(0, "").SyncDone(false), `done 0 "" sync`},
	{"sync done with deletes", Done(0, "").SyncDone(true).Cookie("c"), `done 0 "" sync cookie "c" refreshDeletes`},
	{"done with a control of another message", Done(0, "").State(wire.Add, UUID(1)).Cookie("c"), `done 0 ""`},
	{"page with more to come", Done(0, "").Page("p"), `done 0 "" page "p"`},
	{"last page", Done(0, "").Page(""), `done 0 "" page ""`},
	{"referral", Raw("\x30\x1a\x02\x01\x01\x65\x15\x0a\x01\x0a\x04\x00\x04\x00\xa3\x0c\x04\x0aldap://x/a"), `done 10 ""`},
}

func TestMessages(t *testing.T) {
	for _, tt := range kinds {
		t.Run(tt.name, func(t *testing.T) {
			all, err := readAll(t, bytes.NewReader(octets(tt.message)))
			if len(all) != 1 || all[0] != tt.want || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("got %q, %v\nwant %q", all, err, tt.want)
			}
		})
	}
}

// everything is a stream of all messages, and what is read from it.
func everything() (messages []Message, want []string) {
	var last []Message
	for _, tt := range kinds {
		if strings.HasPrefix(tt.want, "done") {
			last = []Message{tt.message}
			continue
		}
		messages, want = append(messages, tt.message), append(want, tt.want)
	}
	return append(messages, last...), want
}

func TestMessagesInOneStream(t *testing.T) {
	messages, want := everything()
	for name, r := range map[string]io.Reader{
		"at once":        bytes.NewReader(octets(messages...)),
		"octet by octet": iotest.OneByteReader(bytes.NewReader(octets(messages...))),
		"end with data":  iotest.DataErrReader(bytes.NewReader(octets(messages...))),
		"long lengths":   bytes.NewReader(longForm(t, octets(messages...))),
	} {
		got, err := readAll(t, r)
		if err != nil || !slices.Equal(got[:len(got)-1], want) {
			t.Errorf("%s: got %q, %v\nwant %q", name, got, err, want)
		}
	}
}

// longForm gives every length four octets, as OpenLDAP does for constructed
// elements.
func longForm(t *testing.T, stream []byte) (all []byte) {
	t.Helper()
	for r := bytes.NewReader(stream); r.Len() > 0; {
		p, err := ber.ReadPacket(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stretch(p)...)
	}
	return all
}

func stretch(p *ber.Packet) []byte {
	content := p.Data.Bytes()
	if len(p.Children) > 0 {
		content = nil
		for _, child := range p.Children {
			content = append(content, stretch(child)...)
		}
	}
	b := append(p.Bytes()[:1:1], 0x84)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

func TestUnknownIntermediateResponsesAreSkipped(t *testing.T) {
	got, err := readAll(t, bytes.NewReader(octets(
		Intermediate("1.2.3", "x"), Raw("\x30\x05\x02\x01\x01\x79\x00"), Entry("uid=alice"), Intermediate("1.2.3", ""), Done(0, ""))))
	if want := []string{`entry "uid=alice"`, `done 0 ""`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestComponentsOfLaterVersionsAreSkipped(t *testing.T) {
	const more = "\x8f\x01x"
	attribute := "\x30\x0c\x04\x03uid\x31\x02\x04\x00" + more[:3]
	entry := "\x64" + string(rune(2+1+2+len(attribute)+3)) + "\x04\x01d\x30" + string(rune(len(attribute))) + attribute + more
	state := "\x30\x18\x0a\x01\x01\x04\x10" + strings.Repeat("u", 16) + more
	control := "\x04\x18" + "1.3.6.1.4.1.4203.1.9.1.2" + "\x04" + string(rune(len(state))) + state + more
	control = "\x30" + string(rune(len(control))) + control
	content := "\x02\x01\x01" + entry + "\xa0" + string(rune(len(control))) + control + more
	got, err := readAll(t, bytes.NewReader(append([]byte("\x30"+string(rune(len(content)))+content), octets(Done(0, ""))...)))
	if want := []string{`entry "d" uid=[""] state 1 7575757575757575`, `done 0 ""`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestValues(t *testing.T) {
	r := bytes.NewReader(octets(Entry("x", "uid", "alice", "cert;binary", "c", "OathSecret", "k", "OathSecret", "l")))
	m, err := searching(t, r, wire.Options{}).Next(0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"uid": 1, "UID": 1, "cert": 0, "cert;binary": 1, "oathSecret": 2, "mail": 0, "": 0} {
		if got := len(m.Values(name)); got != want {
			t.Errorf("%q has %d values, want %d", name, got, want)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	attributes := []string{"uid", "alice"}
	for range 5000 {
		attributes = append(attributes, "member", strings.Repeat("m", 100))
	}
	c := searching(t, bytes.NewReader(octets(Entry("x", "uid", "bob"), Entry("group", attributes...), Entry("x", "uid", "carol"))), wire.Options{})
	for _, want := range []int{0, 5000, 0} {
		m, err := c.Next(0)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.Values("member")); n != want || len(m.Values("uid")) != 1 {
			t.Errorf("%d members, want %d; uid %q", n, want, m.Values("uid"))
		}
	}
}
