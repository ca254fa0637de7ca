package verifier

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func TestConfirm(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		code string
		want string
	}{
		{w.code(0), ""}, {w.code(-1), ""}, {w.code(20), ""}, {w.code(-20), ""},
		{w.code(21), "out of step: device is 10 min 30 s ahead"}, {"000000", "code wrong"}, {"", "no code of 6 digits in what was typed"},
	} {
		if got, err := Confirm(testKey, Far{}, opaque.Text(tt.code), w.now); err != nil || got.Reason.String() != tt.want || (got.Step != 0) != (tt.want == "") {
			t.Errorf("Confirm(%q) = %+v, %v; want %q", tt.code, got, err, tt.want)
		}
	}
	if _, err := Confirm(Key{}, Far{}, opaque.Text("123456"), w.now); err == nil {
		t.Error("a key that cannot be used was confirmed")
	}
}

func TestConfirmByTwoCodes(t *testing.T) {
	w := newWorld(t)
	first, err := Confirm(testKey, Far{}, opaque.Text(w.code(600)), w.now)
	if err != nil || first.Reason.Kind != OutOfStep || len(first.Far.Steps) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	wrong, err := Confirm(testKey, first.Far, opaque.Text("000000"), w.now)
	if err != nil || !reflect.DeepEqual(wrong.Far, first.Far) {
		t.Errorf("a typing error in between: %+v, %v", wrong, err)
	}
	same, err := Confirm(testKey, wrong.Far, opaque.Text(w.code(600)), w.now)
	if err != nil || same.Reason.Kind != OutOfStep {
		t.Errorf("the same again: %+v, %v", same, err)
	}
	w.now = w.now.Add(30 * time.Second)
	second, err := Confirm(testKey, same.Far, opaque.Text(w.code(600)), w.now)
	here := testKey.Step(w.now) + 600
	if err != nil || second.Reason.Kind != None || second.Step != here {
		t.Fatalf("%+v, %v", second, err)
	}
	if err := w.Seed(t.Context(), testKey.ID(), testKey.Period, second.Step, w.now); err != nil {
		t.Fatal(err)
	}
	w.must("secret"+w.code(600), Accepted, None)
}

// What is known of a key is not changed by an enrolment that says something else.
func TestSeedIsForNewKeys(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	before := w.state()
	if err := w.Seed(t.Context(), testKey.ID(), testKey.Period, testKey.Step(w.now)+100, w.now); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(w.state(), before) {
		t.Errorf("%+v became %+v", before, w.state())
	}
	for _, id := range []string{"", "decoy:1", "alice"} {
		if err := w.Seed(t.Context(), id, testKey.Period, 1, w.now); err == nil {
			t.Errorf("%q was seeded", id)
		}
	}
	if err := w.Seed(t.Context(), "key:00", testKey.Period, 1, w.now); err == nil {
		t.Error("a step of another age was taken")
	}
	if err := w.Seed(t.Context(), "key:00", 0, 1, w.now); err == nil {
		t.Error("a period of nothing was taken")
	}
}

func TestResyncByAdmin(t *testing.T) {
	for _, ahead := range []int64{0, 15, -15, 2000, -2000} {
		w := newWorld(t)
		first, second := w.code(ahead-1), w.code(ahead)
		w.now = w.now.Add(40 * time.Second) // on the phone
		r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(first[:3]+" "+first[3:]), opaque.Text(second))
		if truth := time.Duration(ahead) * 30 * time.Second; err != nil || r.Reason.Kind != None || r.Token != "" || truth < r.Offset.Low || truth > r.Offset.High {
			t.Errorf("%d steps ahead: %+v, %v", ahead, r, err)
		}
		w.must("secret"+first, Refused, Replayed)
		w.must("secret"+second, Refused, Replayed)
		w.now = w.now.Add(time.Minute)
		w.must("secret"+w.code(ahead), Accepted, None)
	}
}

func TestResyncByAdminRefuses(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	before := w.state()
	for _, tt := range []struct {
		name, first, second string
		kind                Kind
	}{
		{"the same twice", w.code(5), w.code(5), WrongCode},
		{"the wrong way round", w.code(6), w.code(5), WrongCode},
		{"one left out", w.code(5), w.code(7), WrongCode},
		{"one spent", w.code(0), w.code(1), Replayed},
		{"the other spent", w.code(-1), w.code(0), Replayed},
		{"no codes", "", "12345", WrongCode},
		{"further than a day", w.code(2890), w.code(2891), WrongCode},
	} {
		r, err := w.Resync(t.Context(), w.dir.account, opaque.Text(tt.first), opaque.Text(tt.second))
		if err != nil || r.Reason.Kind != tt.kind || !reflect.DeepEqual(w.state(), before) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}

// After a reset the device is taken to be right, and nothing that was spent is
// good again.
func TestResetClock(t *testing.T) {
	p := &phone{newWorld(t), time.Hour}
	p.getsIn()
	code := p.shows()
	if err := p.ResetClock(t.Context(), p.dir.account); err != nil {
		t.Fatal(err)
	}
	p.must("secret"+code, Refused, Replayed)
	p.now = p.now.Add(30 * time.Second)
	p.must("secret"+p.shows(), Refused, OutOfStep)
	p.ahead = 0
	p.must("secret"+p.shows(), Accepted, None)
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	eight, slow, sha256 := testKey, testKey, testKey
	eight.Digits, slow.Period, sha256.Algorithm = 8, time.Minute, SHA256
	code := func(k Key) string {
		c, err := k.Code(k.Step(w.now))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	spent := w.code(0)
	w.must("secret"+spent, Accepted, None)
	w.now = w.now.Add(40 * time.Second)
	before := w.state()
	for _, tt := range []struct {
		name, code, want string
		offset           time.Duration
		other            Key
	}{
		{"current", w.code(0), "", 0, Key{}},
		{"current, of the step before", w.code(-1), "replayed (40 s ago, by vpn)", 0, Key{}},
		{"spent", spent, "replayed (40 s ago, by vpn)", 0, Key{}},
		{"ahead", w.code(16), "out of step: device is 8 min 0 s ahead", 8 * time.Minute, Key{}},
		{"behind", w.code(-240), "out of step: device is 2 h 0 min behind", -2 * time.Hour, Key{}},
		{"digits of another kind", code(eight), "no code of 6 digits in what was typed", 0, Key{Algorithm: SHA1, Digits: 8, Period: 30 * time.Second}},
		{"another period", code(slow), "code wrong", 0, Key{Algorithm: SHA1, Digits: 6, Period: time.Minute}},
		{"another algorithm", code(sha256), "code wrong", 0, Key{Algorithm: SHA256, Digits: 6, Period: 30 * time.Second}},
		{"unknown", "000000", "code wrong", 0, Key{}},
		{"no code", "hello", "no code of 6 digits in what was typed", 0, Key{}},
	} {
		e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(tt.code))
		if err != nil || e.Reason.String() != tt.want || e.Offset != tt.offset || !reflect.DeepEqual(e.Other, tt.other) {
			t.Errorf("%s: %+v, %v; want %q, %v, %+v", tt.name, e, err, tt.want, tt.offset, tt.other)
		}
	}
	if !reflect.DeepEqual(w.state(), before) || len(w.dir.asked) != 1 {
		t.Error("an explanation changed something")
	}
	w.mem.err = errors.New("away")
	if _, err := w.Explain(t.Context(), w.dir.account, opaque.Text("000000")); !errors.Is(err, w.mem.err) {
		t.Errorf("with the store away: %v", err)
	}
}

// A code that was out of step in a login completes with the one that is explained.
func TestExplainKnowsTheSecondCode(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	w.now = w.now.Add(30 * time.Second)
	e, err := w.Explain(t.Context(), w.dir.account, opaque.Text(w.code(120)))
	if err != nil || e.Reason.Kind != None || e.Offset != time.Hour {
		t.Errorf("%+v, %v", e, err)
	}
	w.must("secret"+w.code(120), Accepted, None)
}

func TestStanding(t *testing.T) {
	w := newWorld(t)
	w.must("secret"+w.code(0), Accepted, None)
	for i := range 4 {
		w.fail("home", i)
	}
	w.now = w.now.Add(time.Minute)
	w.fail("home", 9)
	w.must("secret"+w.code(120), Refused, OutOfStep)
	st, err := w.Standing(t.Context(), w.dir.account)
	if err != nil || st.Failures != 5 || st.Locked || len(st.Waiting) != 1 || st.Waiting[0].Source != "home" || st.Waiting[0].Failures != 4 {
		t.Errorf("%+v, %v", st, err)
	}
	if one := st.Tokens[0]; len(st.Tokens) != 1 || len(one.Recent) != 1 || len(one.Far.Steps) != 1 || one.Clock.At != start || one.Offset.Low > 0 || one.Offset.High < 0 {
		t.Errorf("%+v", st)
	}
	w.now = w.now.Add(6 * time.Minute)
	if st, err = w.Standing(t.Context(), w.dir.account); err != nil || len(st.Waiting) != 0 || len(st.Tokens[0].Far.Steps) != 0 {
		t.Errorf("later: %+v, %v", st, err)
	}
}

func TestOdds(t *testing.T) {
	for _, tt := range []struct {
		failures, digits int
		lock, year       float64
	}{{100, 6, 1.6032e-3, 0.68574}, {5, 6, 6.1138e-5, 0.034917}, {100, 8, 1.2e-5, 8.6733e-3}, {0, 6, 0, 0}} {
		got := OddsOf(tt.failures, tt.digits, 1)
		if math.Abs(got.Lock-tt.lock) > tt.lock*1e-2 {
			t.Errorf("OddsOf(%d, %d).Lock = %g, want %g", tt.failures, tt.digits, got.Lock, tt.lock)
		}
		if tt.failures > 0 && math.Abs(got.Year-tt.year) > tt.year*1e-2 {
			t.Errorf("OddsOf(%d, %d).Year = %g, want %g", tt.failures, tt.digits, got.Year, tt.year)
		}
	}
}
