package audit

import (
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func encode(facts ...slog.Attr) string {
	return "{" + string(appendBody(nil, time.Unix(0, 123456789), "login", facts)) + "}"
}

func TestValues(t *testing.T) {
	got := encode(slog.String("user", "a\"\\\n\x1b[31m\u202eé😀\xff"), slog.Int("i", -1), slog.Uint64("q", math.MaxUint64),
		slog.Bool("b", true), slog.Float64("f", 1.5), slog.Float64("nan", math.NaN()), slog.Duration("d", time.Second))
	want := `{"time":"1970-01-01T00:00:00.123456Z","event":"login","user":"a\"\\\u000a\u001b[31m\u202e\u00e9\ud83d\ude00\ufffd",` +
		`"i":-1,"q":18446744073709551615,"b":true,"f":1.5,"nan":"NaN","d":"1s"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzBody(f *testing.F) {
	f.Add("alice", "reason", 1)
	f.Add(strings.Repeat("\x00", 300), `","hash":"`, 12)
	f.Add(strings.Repeat("\xf0\x9f\x98\x80", 300), "\u2028", 40)
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		var facts []slog.Attr
		for range n & 63 {
			facts = append(facts, slog.String("a", a), slog.String("b", b))
		}
		line := newChain(head{}).record(nil, appendBody(nil, time.Unix(0, 0), "login", facts))
		if len(line) > MaxLine {
			t.Errorf("%d octets", len(line))
		}
		for i, c := range line[:len(line)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("octet %d is %#x", i, c)
			}
		}
		var r struct{ A, Hash string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if n&63 > 0 && utf8.ValidString(a) && len(a) < 100 && r.A != a {
			t.Errorf("%q became %q", a, r.A)
		}
		if l, err := parseLine(line[:len(line)-1]); err != nil || l.at.seq != 1 {
			t.Errorf("%q: %+v, %v", line, l, err)
		}
	})
}
