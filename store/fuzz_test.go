package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"lockstep/verifier"
)

func FuzzDecode(f *testing.F) {
	f.Add(encode(verifier.State{}))
	f.Add(encode(full()))
	f.Add(encode(typical()))
	f.Add(withoutLast(verifier.State{}))
	f.Add(withoutLast(typical()))
	f.Add([]byte{format, 0x80, 0x00, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{format, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{format, 0, 0, 0, 1, 2, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		checkAsDecode(t, b)
		if err != nil {
			if !reflect.DeepEqual(s, verifier.State{}) {
				t.Errorf("decode(%x) fails with %v and returns part of a State: %+v", b, err, s)
			}
			return
		}
		again := encode(s)
		if b[0] == formatNoLast {
			again = withoutLast(s)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("encode(decode(%x)) = %x", b, again)
		}
		if broken := brokenRule(s); broken != "" {
			t.Errorf("decode(%x) breaks a rule: %s: %+v", b, broken, s)
		}
	})
}

// checkAsDecode has Check say what Decode says of a record with this content.
func checkAsDecode(t *testing.T, content []byte) {
	t.Helper()
	record := binary.BigEndian.AppendUint32(bytes.Clone(content), crc32.Checksum(content, castagnoli))
	_, want := Decode(record)
	if got := Check(record); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Check(%x) = %v, Decode: %v", record, got, want)
	}
}

// withoutLast returns s, which has no Last, as the program of before encoded it.
func withoutLast(s verifier.State) []byte {
	b := encode(s)
	b[0] = formatNoLast
	return b[:len(b)-1]
}

// brokenRule returns what package verifier says of a State and s does not keep
// to, or "".
func brokenRule(s verifier.State) string {
	switch {
	case len(s.Spent) > 0 && (s.Spent[0] <= s.Floor || !ascends(s.Spent)):
		return "spent steps"
	case !ascends(s.Far.Steps):
		return "far steps"
	}
	for _, c := range []verifier.Clock{s.Clock, s.Former} {
		switch {
		case c.At.IsZero() && c != verifier.Clock{}:
			return "a clock that was never observed"
		case c.Since.After(c.At):
			return "a clock's beginning"
		case c.Offset.Low > c.Offset.High || c.Start.Low > c.Start.High || c.Rate.Low > c.Rate.High:
			return "a clock's bounds"
		}
	}
	for _, f := range s.Sources {
		if f.Kind < 0 || f.Kind > lastKind {
			return "a kind"
		}
	}
	return ""
}

func ascends(steps []int64) bool {
	for i := range steps {
		if i > 0 && steps[i] <= steps[i-1] {
			return false
		}
	}
	return true
}

// FuzzEncode goes the other way: a State that keeps its rules comes back, and
// one that does not is refused.
func FuzzEncode(f *testing.F) {
	f.Add(uint32(0), int64(0), uint64(1), int64(0), int64(0), int64(0), "", uint16(0), 0, uint64(0))
	f.Add(uint32(9), int64(-5), uint64(1<<40), int64(1_700_000_000_123), int64(-1500), int64(60_000), "vpn", uint16(1<<15), 4, uint64(1<<63))
	f.Add(uint32(9), int64(5), uint64(1<<63), int64(1_700_000_000_123), int64(1), int64(-1), "vpn", uint16(1), 5, uint64(1))
	f.Fuzz(func(t *testing.T, count uint32, step int64, gap uint64, ms, low, high int64, name string, input uint16, kind int, from uint64) {
		now := time.UnixMilli(min(max(ms, minMilli), maxMilli)).UTC()
		since := time.UnixMilli(min(max(low, minMilli), maxMilli)).UTC()
		low, high = min(max(low, -maxOffset), maxOffset), min(max(high, -maxOffset), maxOffset)
		next := int64(uint64(step) + gap)
		s := verifier.State{
			Floor: step, Spent: []int64{next}, Failures: count,
			Recent: []verifier.Spent{{Step: next, At: now, By: name}, {Step: step, At: since}},
			Clock:  verifier.Clock{At: now, Offset: offsets(low, high), Rate: verifier.Rates{Low: low, High: high}, Since: since, Start: offsets(low, high)},
			Former: verifier.Clock{At: now, Since: now},
			Last:   verifier.Login{From: from, Server: from >> 1, Input: input},
			Far:    verifier.Far{At: now, Source: name, Steps: []int64{step, next}},
			Sources: []verifier.SourceFailures{
				{Source: name, Count: count, Last: now, Input: input, Kind: verifier.Kind(kind)}, {},
			},
		}
		if now.IsZero() {
			s.Former = verifier.Clock{}
		}
		got, err := decode(encode(s))
		if broken := brokenRule(s); broken != "" {
			if err == nil {
				t.Errorf("decode(encode(%+v)) = %+v; want an error, for %s", s, got, broken)
			}
			return
		}
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("decode(encode(%+v)) = %+v, %v", s, got, err)
		}
	})
}
