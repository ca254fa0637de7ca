package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func marshal(t testing.TB, k *PrivateKey) string {
	t.Helper()
	file, err := k.Marshal(then)
	if err != nil {
		t.Fatal(err)
	}
	return string(file.Reveal())
}

func TestKeyFiles(t *testing.T) {
	older, newer := generate(t), generate(t)
	file := marshal(t, newer)
	if want := "# created: 2026-12-31T23:59:59Z\n# public key: " + newer.Public().String() + "\n" + privatePrefix; !strings.HasPrefix(file, want) {
		t.Errorf("the file does not begin with %q", want)
	}
	v := seal(t, older.Public(), alice, good)
	for name, text := range map[string]string{
		"one after the other":        file + marshal(t, older),
		"blank lines and DOS breaks": "\n " + strings.ReplaceAll(file+"\n\t\n"+marshal(t, older), "\n", "\r\n"),
		"without comments and end":   lastLine(file) + "\n" + lastLine(marshal(t, older)),
	} {
		keys, err := ParsePrivate([]byte(text))
		if err != nil || len(keys) != 2 || keys[0].ID() != newer.ID() || keys[1].ID() != older.ID() {
			t.Errorf("%s: %d keys, %v; want the newer and the older", name, len(keys), err)
			continue
		}
		if c, err := ring(t, keys...).Open(alice, v); err != nil || !same(c, good) {
			t.Errorf("%s: opened %+v, %v", name, c, err)
		}
		p, err := ParsePublic("# for the admins\n" + keys[1].Public().String() + "\n")
		if err != nil || p.ID() != older.ID() {
			t.Fatalf("%s: public key %v, %v", name, p, err)
		}
		if _, err := ring(t, older).Open(alice, seal(t, p, alice, good)); err != nil {
			t.Errorf("%s: sealed with what was parsed: %v", name, err)
		}
	}
}

func lastLine(file string) string {
	lines := strings.Split(strings.TrimSpace(file), "\n")
	return lines[len(lines)-1]
}

func TestKeyFilesRefused(t *testing.T) {
	k, other := generate(t), generate(t)
	private, public := lastLine(marshal(t, k)), k.Public().String()
	key := private[strings.LastIndex(private, ":")+1:]
	for _, tt := range []struct {
		name, text              string
		wantPrivate, wantPublic string
	}{
		{"nothing", "", "no private key in it", "no public key in it"},
		{"comments", "# x\n\n", "no private key in it", "no public key in it"},
		{"a private key", private, "", "line 1: this is a private key, which belongs to the server alone"},
		{"a private key file", marshal(t, k), "", "line 3: this is a private key"},
		{"a public key", public, "line 1: this is a public key, where the private key is wanted", ""},
		{"both", private + "\n" + public, "line 2: this is a public key", "line 1: this is a private key"},
		{"the same twice", private + "\n" + private, "two private keys have the ID " + k.ID(), "this is a private key"},
		{"two public keys", public + "\n" + other.Public().String(), "this is a public key", "line 2: a second public key"},
		{"something else", "\n" + key, "line 2: neither a comment nor a key", "line 2: neither a comment nor a key"},
		{"another version", strings.Replace(private, ":1:", ":2:", 1), "neither a comment nor a key", "neither a comment nor a key"},
		{"no ID", privatePrefix + key, "does not fit its ID", "this is a private key"},
		{"another's ID", privatePrefix + other.ID() + ":" + key, "does not fit its ID", "this is a private key"},
		{"another's ID on a public key", strings.Replace(public, k.ID(), other.ID(), 1), "this is a public key", "does not fit its ID"},
		{"a private key under the public prefix", publicPrefix + k.ID() + ":" + key, "this is a public key", "does not fit its ID"},
		{"a letter lost", private[:len(private)-1], "does not fit its ID", "this is a private key"},
		{"padding", private + "=", "does not fit its ID", "this is a private key"},
		{"a public key cut off", public[:len(public)-4], "this is a public key", "does not fit its ID"},
		{"more on the line", private + " " + key, "does not fit its ID", "this is a private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePrivate([]byte(tt.text))
			wantError(t, err, tt.wantPrivate, key)
			_, err = ParsePublic(tt.text)
			wantError(t, err, tt.wantPublic, key)
		})
	}
}

// wantError wants a text in err, and none of the key.
func wantError(t *testing.T, err error, want, key string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if err != nil && (strings.Contains(err.Error(), key[:12]) || strings.Contains(err.Error(), key[20:30])) {
		t.Errorf("the error quotes the key: %v", err)
	}
}

// Every letter of a line counts, so that nobody seals to a mistyped key.
func TestMistypedKeys(t *testing.T) {
	k := generate(t)
	public := k.Public().String()
	for i := range public {
		changed := public[:i] + string(public[i]^1) + public[i+1:]
		if p, err := ParsePublic(changed); err == nil {
			t.Errorf("character %d: %s taken for %s", i, p, public)
		}
	}
}

type holder struct {
	Public  *PrivateKey
	Value   PrivateKey
	private *PrivateKey
	inside  PrivateKey
	ring    *Keyring
	list    []*PrivateKey
	content Content
	any     any
}

func TestNothingSecretPrints(t *testing.T) {
	k := generate(t)
	r := ring(t, k)
	raw, err := k.reveal().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	line := lastLine(marshal(t, k))
	file, _ := k.Marshal(then)
	h := holder{k, *k, k, *k, r, []*PrivateKey{k}, good, k}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%c", "%08b"} {
		for _, v := range []any{k, *k, r, *r, h, &h, good, &good, file, []any{k, h, r}, fmt.Errorf("wrapped: %v", k), errors.Join(fmt.Errorf("x %+v", h))} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "key", k, "value", *k, "ring", r, "holder", h, "content", good, "file", file)
	}
	for _, v := range []any{k, *k, r, h, good, file, map[string]any{"k": k}} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
	}
	numbers := func(b []byte) string { return strings.Trim(fmt.Sprint(b[:6]), "[]") }
	hexes := func(b []byte) string { return fmt.Sprintf("%x", b[:6]) }
	goes := func(b []byte) string {
		return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b[:4]), "[]byte{"), "}")
	}
	leaks := []string{line[len(line)-20:], canary}
	for _, b := range [][]byte{raw[8:], raw[16:], []byte(canary)} {
		leaks = append(leaks, numbers(b), hexes(b), goes(b))
	}
	for _, leak := range slices.Compact(leaks) {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
			t.Errorf("the output holds %q", leak)
		}
	}
}
