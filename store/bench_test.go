package store

import (
	"testing"
	"time"

	"lockstep/verifier"
)

// typical is the State of somebody who has logged in twice a day or so for the
// best part of a year, each time with one try.
func typical() verifier.State {
	const gap = 900
	s := verifier.State{Floor: 57_000_000}
	for i := range int64(256) {
		s.Spent = append(s.Spent, s.Floor+(i+1)*gap+i*37%100-50)
	}
	for i := range 16 {
		step := s.Spent[len(s.Spent)-1-i]
		s.Recent = append(s.Recent, verifier.Spent{Step: step, At: time.Unix(step*30+7, 123e6).UTC(), By: []string{"vpn", "sshd"}[i%2]})
	}
	s.Clock = verifier.Clock{
		At: s.Recent[0].At, Offset: offsets(-4_200, 11_800), Rate: verifier.Rates{Low: -21_000, High: 17_500},
		Since: s.Recent[0].At.Add(-80 * 24 * time.Hour), Start: offsets(-37_123, 39_877),
	}
	s.Last = verifier.Login{From: 0x9d3c5a7be1f04263, Input: 0x5b1e}
	return s
}

// A record of this kind is read and written at each login.
func TestATypicalStateIsSmallAndCheap(t *testing.T) {
	const most = 800
	b := Encode(typical())
	t.Logf("%d bytes", len(b))
	if len(b) > most {
		t.Errorf("a typical State has %d bytes; want at most %d", len(b), most)
	}
	s := typical()
	if n := testing.AllocsPerRun(10, func() { Encode(s) }); n > 1 {
		t.Errorf("Encode allocates %v times; want once", n)
	}
	if n := testing.AllocsPerRun(10, func() { Check(b) }); n > 2 { // none, but the race detector makes pools forget
		t.Errorf("Check allocates %v times; want seldom", n)
	}
	if n := testing.AllocsPerRun(10, func() { Decode(b) }); n > 3 {
		t.Errorf("Decode allocates %v times; want 3, for the text and two lists", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	s := typical()
	b.ReportAllocs()
	for b.Loop() {
		Encode(s)
	}
	b.ReportMetric(float64(len(Encode(s))), "bytes")
}

func BenchmarkCheck(b *testing.B) {
	record := Encode(typical())
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	record := Encode(typical())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(record); err != nil {
			b.Fatal(err)
		}
	}
}
