package sealed

import (
	"errors"
	"strings"
	"testing"
)

// Only what was sealed opens, and only as it was sealed; all else is refused by an
// error that says which kind it is, in agreement with Check and KeyID.
func FuzzOpen(f *testing.F) {
	// Fixed, since every process of the fuzzer has to know them.
	const v = goldenValue
	r := goldenRing(f)
	keyID, err := KeyID(v)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		v, v[:len(v)-1], v + "A", "", "{HPKE}", "{HPKE}1$", "{HPKE}2$x", prefixV1 + "AAAAAAAA$" + v[len(prefixV1)+idLength+1:],
		prefixV1 + keyID + "$" + text.EncodeToString(make([]byte, minBody)), prefixV1 + keyID + "$\n" + strings.Repeat("A", 130),
	} {
		f.Add(alice.Realm, alice.User, alice.Slot, seed)
	}
	f.Fuzz(func(t *testing.T, realm, user, slot, value string) {
		b := Binding{realm, user, slot}
		c, err := r.Open(b, value)
		check := Check(value)
		id, idErr := KeyID(value)
		if (check == nil) != (idErr == nil) || idErr == nil && (len(id) != idLength || !Sealed(value)) {
			t.Errorf("Check %v, KeyID %q, %v", check, id, idErr)
		}
		unknown := (*UnknownKeyError)(nil)
		switch {
		case err == nil:
			if value != v || b != alice || !same(c, golden) {
				t.Errorf("%+v opened %q: %+v", b, value, c)
			}
		case c.Key.Len() != 0:
			t.Errorf("%v, and %+v", err, c)
		case b.check() != nil:
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrVersion):
			if check == nil {
				t.Errorf("%v, but Check finds nothing", err)
			}
		case err == ErrBinding, errors.As(err, &unknown):
			if check != nil {
				t.Errorf("%v, but Check says %v", err, check)
			}
		default:
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

// Keys that are parsed come back as they are; nothing of a file is in an error.
func FuzzParsePrivate(f *testing.F) {
	file := "# created: then\n" + goldenPrivate + "\n"
	for _, seed := range []string{"", file, goldenPrivate, file + marshal(f, generate(f)), goldenPrivate[1:], file[:len(file)-2], privatePrefix, privatePrefix + "::", publicPrefix, "#\r\n\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParsePrivate([]byte(text))
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("long error: %v", err)
			}
			return
		}
		var whole strings.Builder
		for _, k := range keys {
			whole.WriteString(marshal(t, k))
		}
		again, err := ParsePrivate([]byte(whole.String()))
		if err != nil || len(again) != len(keys) || len(keys) == 0 {
			t.Fatalf("%d keys, then %d, %v", len(keys), len(again), err)
		}
		for i := range keys {
			if again[i].ID() != keys[i].ID() || again[i].Public().String() != keys[i].Public().String() {
				t.Errorf("key %d: %s became %s", i, keys[i].Public(), again[i].Public())
			}
		}
	})
}

// A public key that is parsed is spelled as it was.
func FuzzParsePublic(f *testing.F) {
	for _, seed := range []string{"", goldenPublic, "# x\n " + goldenPublic + "\r\n", goldenPrivate, publicPrefix + "AAAAAAAA:" + strings.Repeat("A", 43)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePublic(text)
		if err == nil && !strings.Contains(text, p.String()) {
			t.Errorf("%q became %s", text, p)
		}
	})
}
