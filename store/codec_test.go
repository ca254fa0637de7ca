package store

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/verifier"
)

var at = time.Date(2024, 2, 29, 12, 0, 0, 345e6, time.UTC)

// full has something in every field.
func full() verifier.State {
	return verifier.State{
		Floor: 57_000_000,
		Spent: []verifier.Spent{
			{Step: 57_000_001, At: at, By: "vpn"},
			{Step: 57_000_009, At: at.Add(4 * time.Minute), By: ""},
		},
		Failures: 7,
		Sources: []verifier.SourceFailures{
			{Source: "vpn 192.0.2.7", Count: 3, Last: at},
			{Source: "a\x00\xff\n", Count: math.MaxUint32, Last: time.Time{}},
		},
	}
}

func TestStateComesBackAsItWas(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    verifier.State
	}{
		{"the zero State", verifier.State{}},
		{"every field", full()},
		{"a floor alone", verifier.State{Floor: 57_000_000}},
		{"a floor below 0", verifier.State{Floor: -3}},
		{"the last step there is as the floor", verifier.State{Floor: math.MaxInt64}},
		{"the widest gap between two steps", verifier.State{Floor: math.MinInt64, Spent: []verifier.Spent{{Step: math.MaxInt64}}}},
		{"the first and the last step there are", verifier.State{
			Floor: math.MinInt64, Spent: []verifier.Spent{{Step: math.MinInt64 + 1}, {Step: 0}, {Step: math.MaxInt64}},
		}},
		{"the zero time, 1970 and the year 9999", verifier.State{Sources: []verifier.SourceFailures{
			{}, {Last: time.Unix(0, 0).UTC()}, {Last: time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)},
		}}},
		{"a long name", verifier.State{Sources: []verifier.SourceFailures{{Source: strings.Repeat("x", 70_000)}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(Encode(tt.s))
			if err != nil || !reflect.DeepEqual(got, tt.s) {
				t.Errorf("Decode(Encode(s)) = %+v, %v; want %+v", got, err, tt.s)
			}
		})
	}
}

// A field added to State and forgotten in Encode would be lost without a word.
func TestNoFieldOfStateIsForgotten(t *testing.T) {
	var s verifier.State
	fill(reflect.ValueOf(&s).Elem())
	got, err := Decode(Encode(s))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("Decode(Encode(s)) = %+v, %v; want %+v", got, err, s)
	}
}

// fill sets everything that v holds to something other than its zero.
func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(at))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
		if v.Kind() == reflect.Int64 {
			// Spent steps lie above Floor, which comes first.
			steps++
			v.SetInt(steps)
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(5)
	default:
		panic("store: test cannot fill " + v.Type().String())
	}
}

var steps int64

func TestEncodeCutsTimesToMilliseconds(t *testing.T) {
	s := verifier.State{Sources: []verifier.SourceFailures{{Last: at.Add(999 * time.Microsecond).In(time.FixedZone("", 3600))}}}
	got, err := Decode(Encode(s))
	if err != nil || got.Sources[0].Last != at {
		t.Errorf("Decode(Encode(s)) = %+v, %v; want the time %v", got, err, at)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Encode(full())
	uv := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	spent := func(steps ...int64) []byte {
		s := verifier.State{Floor: 10}
		for _, n := range steps {
			s.Spent = append(s.Spent, verifier.Spent{Step: n})
		}
		return Encode(s)
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "state is empty"},
		{"format 0", []byte{0, 0, 0, 0, 0}, "format 0"},
		{"a newer format", []byte{2, 0, 0, 0, 0}, "format 2"},
		{"a byte too many", append(bytes.Clone(good), 0), "1 bytes follow"},
		{"no list of sources", []byte{1, 0, 0, 0}, "ends early"},
		{"a count of 2^60", join([]byte{1, 0}, uv(1<<60)), "longer than the record"},
		{"a count of spent steps one too high", []byte{1, 0, 2, 1, 0, 0, 0, 0}, "longer than the record"},
		{"a count of sources one too high", []byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0}, "longer than the record"},
		{"a name of 2^63", join([]byte{1, 0, 0, 0, 1}, uv(1<<63), []byte{0, 0}), "ends early"},
		{"failures over 32 bits", join([]byte{1, 0, 0}, uv(1<<32), []byte{0}), "out of range"},
		{"a source's failures over 32 bits", join([]byte{1, 0, 0, 0, 1, 0}, uv(1<<32), []byte{0}), "out of range"},
		{"a floor over 64 bits", join([]byte{1}, bytes.Repeat([]byte{0xff}, 10), []byte{1, 0, 0, 0}), "out of range"},
		{"failures over 64 bits", join([]byte{1, 0, 0}, bytes.Repeat([]byte{0xff}, 10), []byte{1, 0}), "out of range"},
		{"a floor in a longer form", []byte{1, 0x80, 0x00, 0, 0, 0}, "longer than need be"},
		{"failures in a longer form", []byte{1, 0, 0, 0x80, 0x00, 0}, "longer than need be"},
		{"a time after 9999", Encode(verifier.State{Sources: []verifier.SourceFailures{{Last: time.UnixMilli(1 << 60)}}}), "time is out of range"},
		{"a time before the year 1", Encode(verifier.State{Sources: []verifier.SourceFailures{{Last: time.Time{}.Add(-time.Second)}}}), "time is out of range"},
		{"a step twice", spent(11, 11), "ascending"},
		{"steps that descend", spent(12, 11), "ascending"},
		{"a spent step at the floor", spent(10), "ascending"},
		{"a spent step below the floor", spent(9), "ascending"},
		{"over a megabyte", make([]byte, MaxRecord+1), "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Decode(tt.b)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !reflect.DeepEqual(s, verifier.State{}) {
				t.Errorf("Decode(%.40x) = %+v, %v; want the zero State and %q", tt.b, s, err, tt.want)
			}
		})
	}
	for n := range good {
		if s, err := Decode(good[:n]); err == nil || !reflect.DeepEqual(s, verifier.State{}) {
			t.Errorf("Decode of the first %d of %d bytes = %+v, %v; want an error", n, len(good), s, err)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, tt := range []struct {
		id string
		ok bool
	}{
		{"", false}, {"a", true}, {"\x00", true},
		{strings.Repeat("x", MaxID), true}, {strings.Repeat("x", MaxID+1), false},
	} {
		if err := CheckID(tt.id); (err == nil) != tt.ok {
			t.Errorf("CheckID(%d bytes) = %v; want ok %v", len(tt.id), err, tt.ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(verifier.State{}))
	f.Add(Encode(full()))
	f.Add([]byte{1, 0x80, 0x00, 0, 0, 0})
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			if !reflect.DeepEqual(s, verifier.State{}) {
				t.Errorf("Decode(%x) fails with %v and returns part of a State: %+v", b, err, s)
			}
			return
		}
		if again := Encode(s); !bytes.Equal(again, b) {
			t.Errorf("Encode(Decode(%x)) = %x", b, again)
		}
		last := s.Floor
		for _, sp := range s.Spent {
			if sp.Step <= last {
				t.Errorf("Decode(%x): step %d follows %d", b, sp.Step, last)
			}
			last = sp.Step
		}
	})
}

// FuzzEncode goes the other way: a State that keeps its rules comes back.
func FuzzEncode(f *testing.F) {
	f.Add(uint32(0), int64(0), uint64(1), int64(0), "", uint32(0))
	f.Add(uint32(9), int64(-5), uint64(1<<40), int64(1_700_000_000_123), "vpn", uint32(1<<31))
	f.Fuzz(func(t *testing.T, failures uint32, floor int64, delta uint64, ms int64, name string, count uint32) {
		ms = min(max(ms, minMilli), maxMilli)
		s := verifier.State{Floor: floor, Failures: failures, Sources: []verifier.SourceFailures{{Source: name, Count: count, Last: time.UnixMilli(ms).UTC()}}}
		if step := int64(uint64(floor) + delta); step > floor {
			s.Spent = []verifier.Spent{{Step: step, At: time.UnixMilli(ms).UTC(), By: name}}
		}
		got, err := Decode(Encode(s))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("Decode(Encode(%+v)) = %+v, %v", s, got, err)
		}
	})
}
