package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/verifier"
)

var at = time.Date(2024, 2, 29, 12, 0, 0, 345e6, time.UTC)

// full has something in every field.
func full() verifier.State {
	return verifier.State{
		Floor:  57_000_000,
		Spent:  []int64{57_000_001, 57_000_009},
		Recent: []verifier.Spent{{Step: 57_000_001, At: at, By: "vpn"}, {Step: 57_000_009, At: at.Add(-4 * time.Minute), By: ""}},
		Clock: verifier.Clock{
			At: at, Offset: offsets(-1234, 70_001), Rate: verifier.Rates{Low: -60_000, High: 59_999},
			Since: at.Add(-time.Hour), Start: offsets(-500, -499),
		},
		Former: verifier.Clock{
			At: at.Add(-time.Minute), Offset: offsets(1, 1), Rate: verifier.Rates{Low: 3, High: 3},
			Since: at.Add(-time.Minute), Start: offsets(0, 2),
		},
		Last:     verifier.Login{From: 1<<63 | 0x1234567, Server: 1<<62 | 7, Input: 0xfedc},
		Far:      verifier.Far{At: at.Add(time.Second), Source: "vpn 192.0.2.7", Steps: []int64{-7, 57_000_400}},
		Failures: 7,
		Sources: []verifier.SourceFailures{
			{Source: "vpn 192.0.2.7", Count: 3, Last: at, Input: 0x1234, Kind: verifier.WrongCode},
			{Source: "a\x00\xff\n", Count: math.MaxUint32, Last: time.Time{}, Input: math.MaxUint16, Kind: lastKind},
		},
	}
}

// offsets are from low to high, in milliseconds.
func offsets(low, high int64) verifier.Offsets {
	return verifier.Offsets{Low: time.Duration(low) * time.Millisecond, High: time.Duration(high) * time.Millisecond}
}

// crowded is a State with more than there can be in practice.
func crowded() verifier.State {
	s := full()
	s.Spent, s.Recent, s.Sources = nil, nil, nil
	for i := range int64(12_000) {
		s.Spent = append(s.Spent, s.Floor+(i+1)*1_000_000)
	}
	name := strings.Repeat("n", 255)
	for range 100 {
		s.Recent = append(s.Recent, verifier.Spent{Step: s.Floor, At: at, By: name})
		s.Sources = append(s.Sources, verifier.SourceFailures{Source: name, Last: at})
	}
	return s
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
		{"the widest gap between two steps", verifier.State{Floor: math.MinInt64, Spent: []int64{math.MaxInt64}}},
		{"the first and the last step there are", verifier.State{Floor: math.MinInt64, Spent: []int64{math.MinInt64 + 1, 0, math.MaxInt64}}},
		{"12,000 spent steps beside all else", crowded()},
		{"details in no order, of any step, twice", verifier.State{Recent: []verifier.Spent{
			{Step: math.MaxInt64}, {Step: math.MinInt64}, {Step: 5, By: "vpn"}, {Step: 5, By: "vpn"}, {Step: math.MaxInt64},
		}}},
		{"a former clock alone", verifier.State{Former: full().Clock}},
		{"the widest bounds of a clock", verifier.State{Clock: verifier.Clock{
			At: at, Offset: offsets(-maxOffset, maxOffset), Rate: verifier.Rates{Low: -maxRate, High: maxRate},
			Start: offsets(maxOffset, maxOffset),
		}}},
		{"a last login from nowhere", verifier.State{Last: verifier.Login{Input: 1}}},
		{"a last login that typed nothing", verifier.State{Last: verifier.Login{From: 1}}},
		{"a last login of a server alone", verifier.State{Last: verifier.Login{Server: 1}}},
		{"a far code without a time", verifier.State{Far: verifier.Far{Steps: []int64{0}}}},
		{"a far code without steps", verifier.State{Far: verifier.Far{At: at}}},
		{"a far code of no known time or step", verifier.State{Far: verifier.Far{Source: "vpn"}}},
		{"far steps as wide as can be", verifier.State{Far: verifier.Far{Steps: []int64{math.MinInt64, math.MaxInt64}}}},
		{"the zero time, 1970 and the year 9999", verifier.State{Sources: []verifier.SourceFailures{
			{}, {Last: time.Unix(0, 0).UTC()}, {Last: time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)},
		}}},
		{"a long name", verifier.State{Sources: []verifier.SourceFailures{{Source: strings.Repeat("x", 70_000)}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(encode(tt.s))
			if err != nil || !reflect.DeepEqual(got, tt.s) {
				t.Errorf("decode(encode(s)) = %+v, %v; want %+v", got, err, tt.s)
			}
		})
	}
}

// A field added to State and forgotten in Encode would be lost without a word.
func TestNoFieldOfStateIsForgotten(t *testing.T) {
	var s verifier.State
	new(filler).fill(reflect.ValueOf(&s).Elem())
	got, err := decode(encode(s))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("decode(encode(s)) = %+v, %v; want %+v", got, err, s)
	}
}

// filler sets everything that a value holds to something other than its zero,
// and each time to something else, so that two fields that change places show.
type filler struct{ n int64 }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case time.Time: // going back, because a Clock is observed after it began
		v.Set(reflect.ValueOf(at.Add(time.Duration(-f.n) * time.Millisecond)))
		return
	case time.Duration:
		v.SetInt(f.n * int64(time.Millisecond))
		return
	case verifier.Kind: // only a few are kinds
		v.SetInt(1 + f.n%int64(lastKind))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.String:
		v.SetString(strconv.FormatInt(f.n, 10))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(f.n) // ascending, as spent steps and bounds are
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n))
	default:
		panic("store: test cannot fill " + v.Type().String())
	}
}

// A kind that is added must be one that the store takes, or nobody whose code
// is wrong in that way gets an answer.
func TestTheLastKindIsTheLast(t *testing.T) {
	named := func(k verifier.Kind) (ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		return k.String() != ""
	}
	if !named(lastKind) || named(lastKind+1) {
		t.Errorf("kind %d has a name: %v, kind %d: %v; want true, false", lastKind, named(lastKind), lastKind+1, named(lastKind+1))
	}
}

func TestEncodeCutsToMilliseconds(t *testing.T) {
	got := full()
	c := &got.Clock
	got.Far.At = got.Far.At.Add(999 * time.Microsecond).In(time.FixedZone("", 3600))
	c.Offset.Low -= 999 * time.Microsecond
	c.Offset.High += 999 * time.Microsecond
	got, err := decode(encode(got))
	if err != nil || !reflect.DeepEqual(got, full()) {
		t.Errorf("decode(encode(s)) = %+v, %v; want %+v", got, err, full())
	}
	// What is zero after the cut is encoded as what was zero before it.
	early := time.Time{}.Add(time.Microsecond).In(time.FixedZone("", 3600))
	almost := verifier.State{
		Spent: []int64{}, Recent: []verifier.Spent{}, Sources: []verifier.SourceFailures{},
		Clock: verifier.Clock{At: early, Offset: verifier.Offsets{Low: -1, High: 1}},
		Far:   verifier.Far{At: early, Steps: []int64{}},
	}
	if got, want := encode(almost), encode(verifier.State{}); !bytes.Equal(got, want) {
		t.Errorf("encode(%+v) = %x; want %x", almost, got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := encode(full())
	uv := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	with := func(change func(*verifier.State)) []byte {
		s := full()
		change(&s)
		return encode(s)
	}
	spent := func(steps ...int64) []byte { return encode(verifier.State{Floor: 10, Spent: steps}) }
	far := func(steps ...int64) []byte { return encode(verifier.State{Far: verifier.Far{Steps: steps}}) }
	kind := func(k verifier.Kind) []byte { return with(func(s *verifier.State) { s.Sources[0].Kind = k }) }
	over := bytes.Repeat([]byte{0xff}, 10) // and a 1 after it: more than 64 bits
	longZero := []byte{0x80, 0x00}
	// The zero State is the format, then Floor, Spent, Recent, Clock, Former,
	// Far, Failures, Sources and Last, of one byte each.
	zero := encode(verifier.State{})
	if !bytes.Equal(zero, []byte{format, 0, 0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Fatalf("the zero State is %x", zero)
	}
	// at puts b in the place of the byte i of the zero State.
	at := func(i int, b ...[]byte) []byte { return join(zero[:i], join(b...), zero[i+1:]) }
	const floor, spentList, recentList, clock, former, farCode, failures, sources, last = 1, 2, 3, 4, 5, 6, 7, 8, 9
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "record is empty"},
		{"format 0", at(0, []byte{0}), "format 0"},
		{"format 1", at(0, []byte{1}), "format 1, want 2 or 3"},
		{"a newer format", at(0, []byte{4}), "format 4"},
		{"a byte too many", append(bytes.Clone(good), 0), "1 bytes follow"},
		{"no list of sources", zero[:sources], "ends early"},
		{"no last login", zero[:last], "ends early"},
		{"a last login in the format that has none", at(0, []byte{formatNoLast}), "1 bytes follow"},
		{"a last login of 17 bytes", join(zero[:last], []byte{1}, make([]byte, 17)), "ends early"},
		{"a zero last login in a longer form", join(zero[:last], []byte{1}, make([]byte, 18)), "longer than need be"},
		{"a mark of 2 for a last login", at(last, []byte{2}, make([]byte, 18)), "mark is out of range"},

		{"a count of 2^60 spent steps", at(spentList, uv(1<<60)), "longer than the record"},
		{"a count of spent steps one too high", at(spentList, []byte{8}), "longer than the record"},
		{"a count of details one too high", at(recentList, []byte{3}), "longer than the record"},
		{"a count of far steps one too high", join(zero[:farCode], []byte{1, 0, 0, 2, 0}), "longer than the record"},
		{"a count of sources one too high", join(zero[:sources], []byte{2}, make([]byte, 11)), "longer than the record"},
		{"a name of 2^63", at(sources, []byte{1}, uv(1<<63), make([]byte, 5)), "ends early"},
		{"an input of one byte", join(zero[:sources], []byte{1, 3, 'v', 'p', 'n', 0, 0, 1}), "ends early"},

		{"a floor over 64 bits", at(floor, over, []byte{1}), "out of range"},
		{"failures over 64 bits", at(failures, over, []byte{1}), "out of range"},
		{"failures over 32 bits", at(failures, uv(1<<32)), "out of range"},
		{"a source's failures over 32 bits", at(sources, []byte{1, 0}, uv(1<<32), make([]byte, 4)), "out of range"},
		{"a floor in a longer form", at(floor, longZero), "longer than need be"},
		{"a spent step in a longer form", at(spentList, []byte{1, 0x81, 0x00}), "longer than need be"},
		{"failures in a longer form", at(failures, longZero), "longer than need be"},
		{"a zero clock in a longer form", at(clock, []byte{present}, []byte(zeroClock)), "never observed"},
		{"a zero far code in a longer form", at(farCode, []byte{present}, []byte(zeroFar)), "longer than need be"},
		{"a mark of 2 for a clock", at(clock, []byte{2}, []byte(zeroClock)), "mark is out of range"},
		{"a mark of 2 for a far code", at(farCode, []byte{2}, []byte(zeroFar)), "mark is out of range"},

		{"a time after 9999", with(func(s *verifier.State) { s.Sources[0].Last = time.UnixMilli(1 << 60) }), "time is out of range"},
		{"a time before the year 1", with(func(s *verifier.State) { s.Recent[0].At = time.Time{}.Add(-time.Second) }), "time is out of range"},
		{"a step twice", spent(11, 11), "ascending"},
		{"steps that descend", spent(12, 11), "ascending"},
		{"a spent step at the floor", spent(10), "ascending"},
		{"a spent step below the floor", spent(9), "ascending"},
		{"a far step twice", far(-3, -3), "ascending"},
		{"far steps that descend", far(0, -1), "ascending"},

		{"a clock with bounds but never observed", with(func(s *verifier.State) { s.Clock.At, s.Clock.Since = time.Time{}, time.Time{} }), "never observed"},
		{"a former clock with a beginning but never observed", with(func(s *verifier.State) { s.Former.At = time.Time{} }), "never observed"},
		{"a clock observed before it began", with(func(s *verifier.State) { s.Clock.Since = s.Clock.At.Add(time.Millisecond) }), "before learning began"},
		{"an offset whose low is above its high", with(func(s *verifier.State) { s.Clock.Offset = offsets(5, 4) }), "above the high"},
		{"a start whose low is above its high", with(func(s *verifier.State) { s.Former.Start = offsets(5, -5) }), "above the high"},
		{"a rate whose low is above its high", with(func(s *verifier.State) { s.Clock.Rate = verifier.Rates{Low: math.MaxInt64, High: math.MinInt64} }), "above the high"},
		{"an offset that no duration holds", at(former, []byte{present}, uv(2),
			binary.AppendVarint(nil, 0), uv(uint64(maxOffset)+1), make([]byte, 5)), "bound is out of range"},
		{"an offset below what a duration holds", at(former, []byte{present}, uv(2),
			binary.AppendVarint(nil, -maxOffset-1), make([]byte, 6)), "bound is out of range"},

		{"a kind too many", kind(lastKind + 1), "kind is out of range"},
		{"a kind below none", kind(-1), "kind is out of range"},
		{"a kind that is none after 32 bits", kind(1 << 32), "kind is out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := decode(tt.b)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !reflect.DeepEqual(s, verifier.State{}) {
				t.Errorf("decode(%.40x) = %+v, %v; want the zero State and %q", tt.b, s, err, tt.want)
			}
			checkAsDecode(t, tt.b)
		})
	}
	for n := range good {
		if s, err := decode(good[:n]); err == nil || !reflect.DeepEqual(s, verifier.State{}) {
			t.Errorf("Decode of the first %d of %d bytes = %+v, %v; want an error", n, len(good), s, err)
		}
		checkAsDecode(t, good[:n])
	}
}

// A record that promises much and holds little must cost little.
func TestDecodeAllocatesNoMoreThanAMultipleOfTheRecord(t *testing.T) {
	const most = 20 // bytes for each of the record, which itself is copied once
	zero := encode(verifier.State{})
	long := bytes.Repeat([]byte{0xff}, MaxRecord-100) // ends after the first number of each element
	for name, before := range map[string][]byte{
		"spent steps": zero[:2], "details": zero[:3], "far steps": append(bytes.Clone(zero[:6]), present, 0, 0), "sources": zero[:8],
	} {
		for _, least := range []int{1, 3, 6, 1 << 30} {
			b := bytes.Join([][]byte{before, binary.AppendUvarint(nil, uint64(len(long)/least)), long}, nil)
			var start, end runtime.MemStats
			runtime.ReadMemStats(&start)
			_, err := decode(b)
			runtime.ReadMemStats(&end)
			if got := end.TotalAlloc - start.TotalAlloc; err == nil || got > uint64(most*len(b)) {
				t.Errorf("%s, one for %d bytes: Decode allocates %d bytes for %d, and returns %v; want at most %d for each, and an error",
					name, least, got, len(b), err, most)
			}
		}
	}
}

// What the program of before wrote: full and typical, and what has nothing in it.
// A store that is opened after an update holds such records.
func TestFormatWithoutLastIsRead(t *testing.T) {
	for name, want := range map[string]verifier.State{"full": full(), "typical": typical(), "zero": {}} {
		text, err := os.ReadFile(filepath.Join("testdata", "format2-"+name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		old, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || old[0] != formatNoLast {
			t.Fatalf("%s: format %d, %v", name, old[0], err)
		}
		want.Last = verifier.Login{}
		got, err := Decode(old)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: Decode = %+v, %v; want %+v", name, got, err, want)
		}
		if again, err := Decode(Encode(got)); err != nil || !reflect.DeepEqual(again, want) || Encode(got)[0] != format {
			t.Errorf("%s, written anew: %+v, %v", name, again, err)
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

// A bit that flips on the way makes no State of another one.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	good := Encode(full())
	if s, err := Decode(good); err != nil || !reflect.DeepEqual(s, full()) {
		t.Fatalf("Decode(Encode(s)) = %+v, %v", s, err)
	}
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if s, err := Decode(b); !errors.Is(err, ErrDamaged) || !reflect.DeepEqual(s, verifier.State{}) {
			t.Errorf("bit %d: %+v, %v", i, s, err)
		}
	}
	for n := range good {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := Decode(make([]byte, MaxRecord+1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("too long: %v", err)
	}
	old := bytes.Clone(good)
	old[0] = 1
	if _, err := Decode(old); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "format 1, want 2 or 3") {
		t.Errorf("another format: %v", err)
	}
}
