package opaque

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hunter2-canary"

type holder struct {
	Public  Bytes
	private Bytes
	list    []Bytes
	byName  map[string]Bytes
	any     any
	pointer *Bytes
}

func TestBytesNeverPrint(t *testing.T) {
	b := Text(canary)
	h := holder{b, b, []Bytes{b}, map[string]Bytes{"x": b}, b, &b}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%c", "%08b", "%T"} {
		for _, v := range []any{b, &b, h, &h, []any{b, h}, fmt.Errorf("wrapped: %v", b), errors.Join(fmt.Errorf("x %+v", h))} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "b", b, "ptr", &b, "holder", h, "group", slog.GroupValue(slog.Any("b", b)))
	}
	for _, v := range []any{b, h, map[string]any{"b": b}} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
	}

	for _, leak := range []string{canary, hex.EncodeToString([]byte(canary)), fmt.Sprint([]byte(canary)), "104 117 110", "0x68, 0x75"} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
			t.Errorf("output holds %q:\n%s", leak, out.String())
		}
	}
}

func TestReveal(t *testing.T) {
	for _, want := range []string{"", "x", canary, "a\x00b"} {
		b := Text(want)
		if got := string(b.Reveal()); got != want || b.Len() != len(want) {
			t.Errorf("Text(%q) reveals %q, length %d", want, got, b.Len())
		}
	}
	if got := (Bytes{}).Reveal(); got != nil {
		t.Errorf("zero Bytes reveals %q, want nil", got)
	}
}
