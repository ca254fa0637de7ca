package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// wide is text in UTF-16LE.
func wide(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func spaced(text string, sep string, n int) string {
	var parts []string
	for len(text) > n {
		parts, text = append(parts, text[:n]), text[n:]
	}
	return strings.Join(append(parts, text), sep)
}

// leaks are ways to let out what v is, each of which must be seen.
func leaks(v []byte) map[string]string {
	std, plain32 := base64.StdEncoding, base32.StdEncoding
	text := string(v)
	all := map[string]string{
		"as it is":               text,
		"its first half":         text[:len(text)/2],
		"its last octets":        text[len(text)-window:],
		"small letters":          strings.ToLower(text),
		"hex":                    hex.EncodeToString(v),
		"HEX":                    strings.ToUpper(hex.EncodeToString(v)),
		"% x":                    fmt.Sprintf("% x", v),
		"% #x":                   fmt.Sprintf("% #x", v),
		"%#v":                    fmt.Sprintf("%#v", v),
		"%v":                     fmt.Sprint(v),
		"%v of a struct":         fmt.Sprintf("%+v", struct{ a, b any }{1, v}),
		"hex with colons":        spaced(hex.EncodeToString(v), ":", 2),
		"hex with hyphens":       spaced(hex.EncodeToString(v), "-", 2),
		"hex in words":           spaced(hex.EncodeToString(v), " ", 4),
		"hex in words, odd":      spaced(hex.EncodeToString(append([]byte{9}, v...)), " ", 4),
		`\x`:                     `\x` + spaced(hex.EncodeToString(v), `\x`, 2),
		`\u00`:                   `\u00` + spaced(hex.EncodeToString(v), `\u00`, 2),
		"a hex dump":             hex.Dump(append([]byte("xyz"), v...)),
		"percent-encoded":        "%" + spaced(hex.EncodeToString(v), "%", 2),
		"in a query":             url.QueryEscape(text),
		"in a segment":           url.PathEscape(text),
		"in a path":              (&url.URL{Path: "/" + text}).EscapedPath(),
		"in a URL":               (&url.URL{Scheme: "ldap", User: url.UserPassword("u", text), Host: "h"}).String(),
		"%q":                     fmt.Sprintf("%q", text),
		"%+q":                    fmt.Sprintf("%+q", text),
		"%q of octets":           fmt.Sprintf("%q", v),
		"JSON of octets":         jsonOf(v),
		"JSON of numbers":        strings.ReplaceAll(fmt.Sprint(v), " ", ","),
		"JSON of numbers, wide":  strings.ReplaceAll(fmt.Sprint(v), " ", ", "),
		"base64":                 std.EncodeToString(v),
		"base64 after one":       std.EncodeToString(append([]byte("a"), v...)),
		"base64 after two":       std.EncodeToString(append([]byte("ab"), v...)),
		"base64url":              base64.RawURLEncoding.EncodeToString(v),
		"base64url after two":    base64.RawURLEncoding.EncodeToString(append([]byte("ab"), v...)),
		"base64, what follows":   std.EncodeToString(append(v[:len(v):len(v)], "tail of it"...)),
		"base32":                 plain32.EncodeToString(v),
		"base32 without padding": plain32.WithPadding(base32.NoPadding).EncodeToString(v),
		"base32, small":          strings.ToLower(plain32.EncodeToString(v)),
		"UTF-16":                 string(wide(text)),
		"base64 of UTF-16":       std.EncodeToString(wide(`"` + text + `"`)),
		"hex of UTF-16":          hex.EncodeToString(wide(text)),
		"slog's text":            logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, text),
		"slog's text of octets":  logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, v),
		"slog's JSON of octets":  logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }, v),
		"folded in LDIF":         "userPassword:: " + spaced(std.EncodeToString(append(bytes.Repeat([]byte("x"), 48), v...)), "\n ", 76),
	}
	for i := 1; i < 5; i++ {
		all[fmt.Sprint("base32 after ", i)] = plain32.EncodeToString(append(bytes.Repeat([]byte{7}, i), v...))
	}
	octal := ""
	for _, b := range v {
		octal += fmt.Sprintf(`\%03o`, b)
	}
	all["octal"] = octal
	return all
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func logged(handler func(*bytes.Buffer) slog.Handler, v any) string {
	var b bytes.Buffer
	slog.New(handler(&b)).Info("login", "password", v)
	return b.String()
}

// Whatever way a value gets out by, it is seen, wherever it is.
func TestEveryWayOutIsSeen(t *testing.T) {
	t.Parallel()
	random := make([]byte, 20)
	rand.Read(random)
	random[5], random[15] = 3, ';' // 0x3, and what not all parts of a URL escape
	random[3], random[9] = '"', 'ü'
	noise := make([]byte, 4096)
	rand.Read(noise)
	for name, v := range map[string][]byte{
		"letters": []byte(rand.Text()), "octets": random, "signs": []byte(`<"\'&%+ü{}€"<\&>=/?#`), "another script": []byte("пароль密码密码"),
		"the shortest": []byte("xK9$mQ2!pL7&"), "binary zeros": append(make([]byte, 3), rand.Text()[:9]...),
	} {
		var f Finder
		f.Value(name, v)
		ways := leaks(v)
		if name != "octets" && name != "binary zeros" {
			ways["JSON"] = jsonOf(string(v))
			ways["slog's JSON"] = logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }, string(v))
		}
		for how, leak := range ways {
			if name == "octets" && strings.Contains(how, "UTF-16") {
				continue // it is no text
			}
			if len(v) < 16 && (how == "its first half" || how == "a hex dump") {
				continue // fewer than eight in a row
			}
			if (name == "another script" || name == "octets") && how == "small letters" {
				continue // of ASCII alone, and Go would change what is no UTF-8
			}
			const before = "level=INFO msg=\"x y\" "
			for _, place := range []string{leak, before + leak + "\n", string(noise) + leak} {
				got := f.Find([]byte(place))
				if len(got) == 0 || got[0].Name != name {
					t.Errorf("%s, %s: not seen in %q", name, how, leak)
					break
				}
			}
		}
		if got := f.Find(noise); got != nil {
			t.Errorf("%s: seen in what is random: %v", name, got)
		}
	}
}

func TestKeysAsAuthenticatorsShowThem(t *testing.T) {
	t.Parallel()
	for _, size := range []int{20, 32, 64} {
		key := make([]byte, size)
		rand.Read(key)
		text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
		var f Finder
		f.Key("key", key)
		for how, leak := range map[string]string{
			"as it is":             string(key),
			"in a URI":             "otpauth://totp/a:b?secret=" + text + "&issuer=x",
			"in groups":            spaced(text, " ", 4),
			"in groups, small":     strings.ToLower(spaced(text, " ", 4)),
			"base64 of the base32": "oathSecret:: " + base64.StdEncoding.EncodeToString([]byte(text)),
			"hex of the base32":    hex.EncodeToString([]byte(text)),
			"octets of the base32": fmt.Sprint([]byte(text)),
		} {
			if f.Find([]byte(leak)) == nil {
				t.Errorf("%d octets, %s: not seen", size, how)
			}
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"12345678", "493817", "00731942"} {
		octets := []byte(code)
		var f Finder
		f.Code("code", code)
		half := len(code) / 2
		for how, leak := range map[string]string{
			"alone":                  code,
			"in a log":               "code=" + code + " user=alice",
			"behind a password":      "pw-x" + code + "\n",
			"in JSON":                `{"code":"` + code + `"}`,
			"as apps show it":        code[:half] + " " + code[half:],
			"with a hyphen":          code[:half] + "-" + code[half:],
			"hex":                    hex.EncodeToString(octets),
			"octets":                 fmt.Sprint(octets),
			"octets, %#v":            fmt.Sprintf("%#v", octets),
			"base64":                 base64.StdEncoding.EncodeToString(octets),
			"base64 with what's by":  base64.StdEncoding.EncodeToString([]byte("pw" + code + "tail")),
			"base64 with one before": base64.StdEncoding.EncodeToString([]byte("p" + code)),
			"UTF-16":                 string(wide(code)),
		} {
			if f.Find([]byte(leak)) == nil {
				t.Errorf("%s, %s: not seen in %q", code, how, leak)
			}
		}
		for how, other := range map[string]string{
			"within a longer number": "9" + code, "before more digits": code + "0", "without its end": code[:len(code)-1] + "x",
		} {
			if got := f.Find([]byte(other)); got != nil {
				t.Errorf("%s, %s: seen: %v", code, how, got)
			}
		}
	}
	var f Finder
	f.Code("code", "12345678")
	trace := []byte("goroutine 7 [running]:\nverifier.find(0xbc614e, 0x1e)\n\t/x.go:12 +0x44\n")
	if f.Find(trace) == nil {
		t.Error("not seen as a number in a traceback")
	}
}

func TestChance(t *testing.T) {
	t.Parallel()
	var f Finder
	for _, code := range []string{"12345678", "87654321", "87654321", "123456"} {
		f.Code("code", code)
	}
	const text = "11111111 22222222x333333 4444444 555555555 666666"
	if got, want := f.Chance([]byte(text)), 2*2e-8+2*1e-6; got < want*0.999 || got > want*1.001 {
		t.Errorf("%g, want %g", got, want)
	}
	if got := (&Finder{}).Chance([]byte(text)); got != 0 {
		t.Errorf("%g without codes", got)
	}
}

// One report for each form, with the first place, and none of what is like it.
func TestWhatIsReported(t *testing.T) {
	t.Parallel()
	var f Finder
	f.Value("password", []byte("pw-QWERTZUIOPASDF"))
	f.Value("secret", []byte("another-secret-of-it"))
	data := "............pw-QWERTZUIOPASDF pw-QWERTZUIOPASDF" + hex.EncodeToString([]byte("another-secret-of-it"))
	got := fmt.Sprint(f.Find([]byte(data)))
	if want := `[password as it is at octet 12 secret as hex with "" at octet 47]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := f.Find([]byte("pw-QWER TZUIOPA pw-qwer another")); got != nil {
		t.Errorf("seen in less than eight octets: %v", got)
	}
	if got := (&Finder{}).Find([]byte(data)); got != nil {
		t.Errorf("seen by who looks for nothing: %v", got)
	}
}

func BenchmarkFind(b *testing.B) {
	var f Finder
	for i := range 20 {
		f.Value(fmt.Sprint(i), []byte(rand.Text()))
	}
	data := make([]byte, 1<<20)
	rand.Read(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		f.Find(data)
	}
}
