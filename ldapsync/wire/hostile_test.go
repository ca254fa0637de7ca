package wire_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// tlv is an element of less than 128 octets.
func tlv(tag byte, parts ...string) string {
	content := strings.Join(parts, "")
	return string([]byte{tag, byte(len(content))}) + content
}

// ldapMessage is one for the first request.
func ldapMessage(parts ...string) string {
	return tlv(0x30, append([]string{"\x02\x01\x01"}, parts...)...)
}

func withControl(oid, value string) string {
	return ldapMessage(tlv(0x65, "\x0a\x01\x00\x04\x00\x04\x00"), tlv(0xa0, tlv(0x30, tlv(0x04, oid), tlv(0x04, value))))
}

func entryWithState(value string) string {
	return ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, tlv(0x30, tlv(0x04, "1.3.6.1.4.1.4203.1.9.1.2"), tlv(0x04, value))))
}

func syncInfo(value string) string {
	return ldapMessage(tlv(0x79, tlv(0x80, "1.3.6.1.4.1.4203.1.9.1.4"), tlv(0x81, value)))
}

func TestHostileMessages(t *testing.T) {
	const syncDone, page = "1.3.6.1.4.1.4203.1.9.1.3", "1.2.840.113556.1.4.319"
	uuid := tlv(0x04, strings.Repeat("u", 16))
	for _, tt := range []struct{ name, stream, want string }{
		{"no LDAP at all", "HTTP/1.1 400 Bad Request\r\n", "tag 0x48, want 0x30"},
		{"indefinite length of a message", "\x30\x80\x02\x01\x01", "indefinite length"},
		{"length of 5 octets", "\x30\x85\x00\x00\x00\x00\x05", "length of more than 4 octets"},
		{"length of 127 octets", "\x30\xff", "length of more than 4 octets"},
		{"long tag", "\x3f\x81\x01\x00", "tag of more than one octet"},
		{"4 GiB", "\x30\x84\xff\xff\xff\xff", "4294967301 octets, more than the 1048576 that are allowed"},
		{"one octet too many", "\x30\x83\x0f\xff\xfc", "1048577 octets, more than the 1048576"},
		{"empty message", "\x30\x00", "message ID: ends too early"},
		{"no operation", tlv(0x30, "\x02\x01\x01"), "operation: ends too early"},
		{"ID that is no number", tlv(0x30, "\x04\x01\x01\x64\x00"), "message ID: tag 0x04, want 0x02"},
		{"negative ID", tlv(0x30, "\x02\x01\xff\x64\x00"), "message ID: number of 1 octets or negative"},
		{"empty ID", tlv(0x30, "\x02\x00\x64\x00"), "message ID: number of 0 octets"},
		{"ID of 5 octets", tlv(0x30, "\x02\x05\x00\x00\x00\x00\x01\x64\x00"), "message ID: number of 5 octets"},
		{"ID of another request", tlv(0x30, "\x02\x01\x02\x64\x04\x04\x00\x30\x00"), "message for request 2, want 1"},
		{"operation longer than its message", tlv(0x30, "\x02\x01\x01\x64\x05\x04\x00\x30\x00"), "operation: ends too early"},
		{"operation of 4 GiB", tlv(0x30, "\x02\x01\x01\x64\x84\xff\xff\xff\xff"), "operation: ends too early"},
		{"operation of indefinite length", tlv(0x30, "\x02\x01\x01\x64\x80\x04\x00\x30\x00\x00\x00"), "operation: indefinite length"},
		{"bind response", ldapMessage(tlv(0x61, "\x0a\x01\x00\x04\x00\x04\x00")), "operation 0x61 in a search"},
		{"extended response", ldapMessage(tlv(0x78, "\x0a\x01\x00\x04\x00\x04\x00")), "operation 0x78 in a search"},
		{"a request", ldapMessage("\x42\x00"), "operation 0x42 in a search"},
		{"behind the controls", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), "\xa0\x00\x55\x05"), "message: ends too early"},

		{"entry without a DN", ldapMessage("\x64\x00"), "entry: DN: ends too early"},
		{"entry without a list of attributes", ldapMessage(tlv(0x64, "\x04\x00")), "entry: attributes: ends too early"},
		{"DN in pieces", ldapMessage(tlv(0x64, "\x24\x03\x04\x01d\x30\x00")), "entry: DN: tag 0x24, want 0x04"},
		{"attribute that is none", ldapMessage(tlv(0x64, "\x04\x00", tlv(0x30, "\x04\x00"))), "entry: attribute: tag 0x04"},
		{"attribute without a name", ldapMessage(tlv(0x64, "\x04\x00", tlv(0x30, "\x30\x00"))), "entry: name of an attribute: ends"},
		{"attribute without values", ldapMessage(tlv(0x64, "\x04\x00", tlv(0x30, tlv(0x30, "\x04\x01a")))), "entry: values of an attribute: ends"},
		{"value that is a number", ldapMessage(tlv(0x64, "\x04\x00", tlv(0x30, tlv(0x30, "\x04\x01a", tlv(0x31, "\x02\x01\x01"))))), "entry: value of an attribute: tag 0x02"},
		{"value longer than its set", ldapMessage(tlv(0x64, "\x04\x00", tlv(0x30, tlv(0x30, "\x04\x01a", tlv(0x31, "\x04\x02v"))))), "entry: value of an attribute: ends"},
		{"behind the attributes", ldapMessage(tlv(0x64, "\x04\x00\x30\x00\x04\x09")), "entry: ends"},
		{"control that is none", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, "\x04\x00")), "control: tag 0x04"},
		{"control without a type", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, "\x30\x00")), "control: type: ends"},
		{"criticality of two octets", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, tlv(0x30, "\x04\x01x\x01\x02\xff\xff"))), "criticality: BOOLEAN of 2 octets"},
		{"rest of an unknown control", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, tlv(0x30, "\x04\x01x\x04\x09"))), "control: ends"},

		{"state without a value", ldapMessage(tlv(0x64, "\x04\x00\x30\x00"), tlv(0xa0, tlv(0x30, tlv(0x04, "1.3.6.1.4.1.4203.1.9.1.2")))), "sync state: ends"},
		{"empty state", entryWithState(""), "sync state: ends"},
		{"state 4", entryWithState(tlv(0x30, "\x0a\x01\x04", uuid)), "unknown state 4"},
		{"negative state", entryWithState(tlv(0x30, "\x0a\x01\x80", uuid)), "sync state: number of 1 octets or negative"},
		{"state without a UUID", entryWithState(tlv(0x30, "\x0a\x01\x01")), "UUID: ends"},
		{"UUID of 15 octets", entryWithState(tlv(0x30, "\x0a\x01\x01", tlv(0x04, strings.Repeat("u", 15)))), "UUID: 15 octets, want 16"},
		{"UUID as text", entryWithState(tlv(0x30, "\x0a\x01\x01", tlv(0x04, "9b9d3ed5-0000-1000-8000-00c04fd430c8"))), "UUID: 36 octets, want 16"},
		{"behind the state", entryWithState(tlv(0x30, "\x0a\x01\x01", uuid) + "x"), "sync state: octets behind its end"},
		{"cut behind the UUID", entryWithState(tlv(0x30, "\x0a\x01\x01", uuid, "\x04")), "sync cookie: ends"},

		{"no result code", ldapMessage("\x65\x00"), "result code: ends"},
		{"result code of 5 octets", ldapMessage(tlv(0x65, "\x0a\x05\x00\x00\x00\x00\x00\x04\x00\x04\x00")), "result code: number of 5 octets"},
		{"negative result code", ldapMessage(tlv(0x65, "\x0a\x01\xff\x04\x00\x04\x00")), "result code: number"},
		{"no diagnostic message", ldapMessage(tlv(0x65, "\x0a\x01\x00\x04\x00")), "diagnostic message: ends"},
		{"referral cut short", ldapMessage(tlv(0x65, "\x0a\x01\x0a\x04\x00\x04\x00\xa3\x05x")), "referral: ends"},
		{"sync done that is none", withControl(syncDone, "\x04\x00"), "sync done: tag 0x04"},
		{"empty refreshDeletes", withControl(syncDone, tlv(0x30, "\x01\x00")), "refreshDeletes: BOOLEAN of 0 octets"},
		{"behind sync done", withControl(syncDone, "\x30\x00\x00"), "sync done: octets behind its end"},
		{"page without a size", withControl(page, tlv(0x30, "\x04\x00")), "page: size: tag 0x04"},
		{"page without a cookie", withControl(page, tlv(0x30, "\x02\x01\x00")), "page: cookie: ends"},

		{"empty sync info", syncInfo(""), "sync info: ends"},
		{"sync info without a value", ldapMessage(tlv(0x79, tlv(0x80, "1.3.6.1.4.1.4203.1.9.1.4"))), "sync info: ends"},
		{"sync info of an unknown kind", syncInfo("\xa4\x00"), "sync info: unknown kind 0xa4"},
		{"new cookie in pieces", syncInfo("\xa0\x03\x04\x01c"), "sync info: unknown kind 0xa0"},
		{"behind sync info", syncInfo("\x80\x00\x80\x00"), "sync info: octets behind its end"},
		{"refreshDone of two octets", syncInfo(tlv(0xa1, "\x01\x02\xff\xff")), "refreshDone: BOOLEAN of 2 octets"},
		{"cookie cut short", syncInfo(tlv(0xa2, "\x04\x05c")), "sync cookie: ends"},
		{"set of UUIDs missing", syncInfo(tlv(0xa3, "\x01\x01\xff")), "sync info: UUIDs: ends"},
		{"set with a UUID of 17 octets", syncInfo(tlv(0xa3, tlv(0x31, uuid, tlv(0x04, strings.Repeat("u", 17))))), "UUID: 17 octets, want 16"},
		{"set with an empty UUID", syncInfo(tlv(0xa3, tlv(0x31, "\x04\x00"))), "UUID: 0 octets, want 16"},

		{"unsolicited entry", tlv(0x30, "\x02\x01\x00", tlv(0x64, "\x04\x00\x30\x00")), "unsolicited message"},
		{"unsolicited and not about disconnection", tlv(0x30, "\x02\x01\x00", tlv(0x78, "\x0a\x01\x00\x04\x00\x04\x00\x8a\x051.2.3")), "unsolicited message"},
		{"notice cut short", tlv(0x30, "\x02\x01\x00", tlv(0x78, "\x0a\x01\x34\x04\x00\x04\x09")), "unsolicited message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := searching(t, strings.NewReader(tt.stream), wire.Options{})
			m, err := c.Next(0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v, want an error with %q", m, err, tt.want)
			}
			// What came behind it must not be taken for the next message.
			if _, again := c.Next(0); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

// A message after one that could not be read is not read, or a change would be
// lost without a word.
func TestNothingIsReadBehindAnError(t *testing.T) {
	for _, bad := range []string{entryWithState(""), tlv(0x30, "\x02\x01\x07\x64\x04\x04\x00\x30\x00")} {
		got, err := readAll(t, strings.NewReader(bad+string(octets(Entry("x"), Done(0, "")))))
		if err == nil || got != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestDeepNesting(t *testing.T) {
	deep := bytes.Repeat([]byte("\x30\x84\x00\x0f\xff\xf0"), 100_000)
	value := func(tag byte) []byte {
		return append([]byte{tag, 0x84, 0, byte(len(deep) >> 16), byte(len(deep) >> 8 & 0xff), byte(len(deep) & 0xff)}, deep...)
	}
	for name, op := range map[string][]byte{
		"in an entry":       append([]byte("\x64\x84\x00\x09\x27\xca\x04\x00\x30\x00"), value(0x30)...),
		"instead of one":    value(0x30),
		"in a reference":    value(0x73),
		"in a continuation": value(0x79),
	} {
		content := append([]byte("\x02\x01\x01"), op...)
		n := len(content)
		stream := append([]byte{0x30, 0x84, 0, byte(n >> 16), byte(n >> 8 & 0xff), byte(n & 0xff)}, content...)
		c := searching(t, bytes.NewReader(stream), wire.Options{})
		for {
			if _, err := c.Next(0); err != nil {
				if errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: not read at all: %v", name, err)
				}
				break
			}
		}
	}
}

func TestCutShortAnywhere(t *testing.T) {
	for _, tt := range kinds {
		whole := octets(tt.message)
		for n := range len(whole) {
			got, err := readAll(t, bytes.NewReader(whole[:n]))
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if got != nil || !errors.Is(err, want) {
				t.Errorf("%s, %d of %d octets: got %q, %v, want %v", tt.name, n, len(whole), got, err, want)
			}
		}
	}
}

// The message says that it ends where it was cut, as if the server had meant it.
func TestCutShortWithin(t *testing.T) {
	for _, tt := range kinds {
		whole := octets(tt.message)
		if whole[1] >= 0x80 {
			t.Fatalf("%s: has a long length", tt.name)
		}
		for n := 2; n < len(whole); n++ {
			cut := append([]byte{0x30, byte(n - 2)}, whole[2:n]...)
			got, err := readAll(t, bytes.NewReader(append(cut, octets(Done(9, "next"))...)))
			// All that may be left out is the controls.
			without := strings.HasPrefix(strings.Join(got, ""), strings.SplitN(tt.want, " state", 2)[0]) ||
				strings.HasPrefix(tt.want, "done") && len(got) == 1
			if err == nil && !without || err != nil && (len(got) > 0 || errors.Is(err, io.EOF)) {
				t.Errorf("%s, %d of %d octets: got %q, %v", tt.name, n, len(whole), got, err)
			}
		}
	}
}

// Memory is taken as octets arrive, not as they are announced.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	o := wire.Options{MaxMessage: 1 << 30}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	arrived := io.MultiReader(strings.NewReader("\x30\x84\x3f\x00\x00\x00\x02\x01\x01"), strings.NewReader(strings.Repeat("x", 100_000)))
	_, err := searching(t, arrived, o).Next(0)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, io.ErrUnexpectedEOF) || taken > 1<<20 {
		t.Errorf("%v, %d octets taken", err, taken)
	}
}

// The smallest elements make the most of a message.
func TestMemoryOfAMessageIsBounded(t *testing.T) {
	const n = 1<<20 - 100
	three := func(n int) []byte { return []byte{0x83, byte(n >> 16), byte(n >> 8 & 0xff), byte(n & 0xff)} }
	wrap := func(tag byte, content []byte) []byte {
		return append(append([]byte{tag}, three(len(content))...), content...)
	}
	entry := func(list []byte) []byte {
		return wrap(0x30, append([]byte("\x02\x01\x01"), wrap(0x64, append([]byte("\x04\x00"), list...))...))
	}
	values := append([]byte("\x04\x01a"), wrap(0x31, bytes.Repeat([]byte("\x04\x00"), n/2))...)
	for name, message := range map[string][]byte{
		"values":     entry(wrap(0x30, wrap(0x30, values))),
		"attributes": entry(wrap(0x30, bytes.Repeat([]byte("\x30\x04\x04\x00\x31\x00"), n/6))),
	} {
		c := searching(t, bytes.NewReader(message), wire.Options{})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := c.Next(0)
		runtime.GC()
		runtime.ReadMemStats(&after)
		kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		if err != nil || kept > 32*int64(len(message)) {
			t.Errorf("%s: %v, %d octets kept for a message of %d", name, err, kept, len(message))
		}
		runtime.KeepAlive(m)
	}
}
