package tokenfile

import (
	"os"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// The figures of RFC 6030, sections 4 to 6. All their keys count logins, so that
// none can be used; what they hold is read all the same.
func TestRFC6030Figures(t *testing.T) {
	const twenty = "12345678901234567890"
	shared := Options{PreSharedKey: opaque.Text("12345678901234567890123456789012\n")} // figure 6, in hexadecimal
	for _, tt := range []struct {
		name, file string
		options    Options
		want       []Token
	}{
		{name: "2: a key and nothing else", file: "figure2", want: []Token{
			{Serial: "12345678", Key: opaque.Text("1234"), Digits: 6, Line: 4, Skip: skipHOTP}}},
		{name: "3: the user of the key, not of the device", file: "figure3", want: []Token{
			{User: "jsmith", Serial: "987654321", Key: opaque.Text(twenty), Digits: 8, Line: 12, Skip: skipHOTP}}},
		{name: "4: a key that is elsewhere", file: "figure4", want: []Token{
			{Serial: "987654321", Digits: 8, Line: 11, Skip: skipHOTP}}},
		{name: "5: a key, and the PIN of its device", file: "figure5", want: []Token{
			{Serial: "987654321", Key: opaque.Text(twenty), Digits: 8, Line: 11, Skip: skipHOTP},
			{Serial: "987654321", Key: opaque.Text("1234"), Digits: 4, Line: 39, Skip: "a kind of key other than TOTP"}}},
		{name: "6: encrypted with a shared key", file: "figure6", options: shared, want: []Token{
			{Serial: "987654321", Key: opaque.Text(twenty), Digits: 8, Line: 23, Skip: skipHOTP}}},
		{name: "7: encrypted with a password", file: "figure7", options: Options{Password: opaque.Text("qwerty")}, want: []Token{
			{Serial: "987654321", Key: opaque.Text(twenty), Digits: 8, Line: 42, Skip: skipHOTP}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := os.Open("testdata/rfc6030-" + tt.file + ".xml")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, format, err := Read(f, tt.options)
			if err != nil || format != PSKC {
				t.Fatalf("Read: format %q, %v", format, err)
			}
			for i := range tt.want {
				tt.want[i].Algorithm, tt.want[i].Period = "SHA1", 30*time.Second
			}
			same(t, got, tt.want)
		})
	}
}

// same compares tokens, keys included, which do not print.
func same(t *testing.T, got, want []Token) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tokens %+v, want %d", len(got), got, len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if string(g.Key.Reveal()) != string(w.Key.Reveal()) {
			t.Errorf("token %d: key %x, want %x", i, g.Key.Reveal(), w.Key.Reveal())
		}
		if len(g.Spent) != len(w.Spent) {
			t.Errorf("token %d: spent %v, want %v", i, g.Spent, w.Spent)
		}
		for j := range min(len(g.Spent), len(w.Spent)) {
			if g.Spent[j] != w.Spent[j] {
				t.Errorf("token %d: spent %v, want %v", i, g.Spent, w.Spent)
			}
		}
		if g.User != w.User || g.Serial != w.Serial || g.Algorithm != w.Algorithm || g.Digits != w.Digits || g.Period != w.Period ||
			g.Line != w.Line || g.Skip != w.Skip || !g.NotBefore.Equal(w.NotBefore) || !g.NotAfter.Equal(w.NotAfter) {
			t.Errorf("token %d:\n got %+v\nwant %+v", i, g, w)
		}
	}
}
