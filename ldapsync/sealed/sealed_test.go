package sealed

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

const canary = "hunter2-canary-of-20"

var (
	alice = Binding{Realm: "dc=example,dc=org", User: "alice", Slot: DefaultSlot}
	then  = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	good  = Content{Key: opaque.Text(canary), Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Created: then}
)

func generate(t testing.TB) *PrivateKey {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t testing.TB, keys ...*PrivateKey) *Keyring {
	t.Helper()
	r, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t testing.TB, p *PublicKey, b Binding, c Content) string {
	t.Helper()
	v, err := p.Seal(b, c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// same compares what == cannot.
func same(a, b Content) bool {
	keys := string(a.Key.Reveal()) == string(b.Key.Reveal())
	a.Key, b.Key = opaque.Bytes{}, opaque.Bytes{}
	return keys && a.Created.Equal(b.Created) && a.Algorithm == b.Algorithm && a.Digits == b.Digits && a.Period == b.Period
}

func TestRoundTrip(t *testing.T) {
	k := generate(t)
	r := ring(t, k)
	for _, tt := range []struct {
		name string
		b    Binding
		c    Content
	}{
		{"an ordinary key", alice, good},
		{"the smallest", Binding{"r", "u", "s"}, Content{opaque.Text("0123456789"), "SHA256", 8, 15 * time.Second, time.Unix(0, 0)}},
		{"the largest", alice, Content{opaque.Text(strings.Repeat("\xff", 128)), "SHA512", 8, 120 * time.Second, time.Unix(maxCreated, 0)}},
		{"any octets in the binding", Binding{"r\x00\xff", strings.Repeat("u", 5000), "é"}, good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := seal(t, k.Public(), tt.b, tt.c)
			got, err := r.Open(tt.b, v)
			if err != nil || !same(got, tt.c) {
				t.Errorf("opened %+v, %v; want %+v", got, err, tt.c)
			}
			if got.Created.Location() != time.UTC {
				t.Errorf("created %v, want UTC", got.Created)
			}
			id, err := KeyID(v)
			if err != nil || id != k.ID() || !Sealed(v) || Check(v) != nil {
				t.Errorf("KeyID %q, %v, Sealed %v, Check %v", id, err, Sealed(v), Check(v))
			}
			if len(v) > 269 {
				t.Errorf("%d characters", len(v))
			}
			if again := seal(t, k.Public(), tt.b, tt.c); again == v {
				t.Error("sealed twice to the same value")
			}
		})
	}
}

func TestCreatedIsKeptToTheSecond(t *testing.T) {
	k, c := generate(t), good
	c.Created = then.Add(time.Second - 1).In(time.FixedZone("", 3600))
	got, err := ring(t, k).Open(alice, seal(t, k.Public(), alice, c))
	if err != nil || got.Created != then {
		t.Errorf("created %v, %v; want %v", got.Created, err, then)
	}
}

// A value that is copied to another place opens there for nobody.
func TestBinding(t *testing.T) {
	k := generate(t)
	r, v := ring(t, k), seal(t, k.Public(), Binding{"realm", "user", "1"}, good)
	for _, tt := range []struct {
		name string
		b    Binding
		want error
	}{
		{"its own", Binding{"realm", "user", "1"}, nil},
		{"another user", Binding{"realm", "other", "1"}, ErrBinding},
		{"another realm", Binding{"other", "user", "1"}, ErrBinding},
		{"another slot", Binding{"realm", "user", "2"}, ErrBinding},
		{"another case", Binding{"realm", "User", "1"}, ErrBinding},
		{"user and realm exchanged", Binding{"user", "realm", "1"}, ErrBinding},
		{"an octet moved from the realm to the user", Binding{"real", "muser", "1"}, ErrBinding},
		{"an octet moved from the user to the slot", Binding{"realm", "use", "r1"}, ErrBinding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := r.Open(tt.b, v); err != tt.want || err != nil && c.Key.Len() != 0 {
				t.Errorf("opened %+v, %v; want %v", c, err, tt.want)
			}
		})
	}
	for _, b := range []Binding{{}, {"", "u", "1"}, {"r", "", "1"}, {"r", "u", ""}} {
		if _, err := r.Open(b, v); err == nil || errors.Is(err, ErrBinding) {
			t.Errorf("%+v: opened, or took an empty part for a wrong one: %v", b, err)
		}
		if _, err := k.Public().Seal(b, good); err == nil {
			t.Errorf("%+v: sealed", b)
		}
	}
}

// refused wants every way to look at v to fail, and none to panic.
func refused(t *testing.T, r *Keyring, v, what string) {
	t.Helper()
	c, err := r.Open(alice, v)
	if err == nil || c.Key.Len() != 0 {
		t.Errorf("%s: opened %+v, %v", what, c, err)
	}
	if check := Check(v); check != nil && (err == nil || check.Error() != err.Error()) {
		t.Errorf("%s: Check says %q, Open %q", what, check, err)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	k := generate(t)
	r, v := ring(t, k), seal(t, k.Public(), alice, good)
	for i := range v {
		for bit := range 8 {
			changed := []byte(v)
			changed[i] ^= 1 << bit
			refused(t, r, string(changed), "a bit of the text changed")
		}
		refused(t, r, v[:i], "cut off")
		refused(t, r, v[:i]+"\n"+v[i:], "a line break put in")
		refused(t, r, v[:i]+v[i+1:], "a character lost")
	}
	_, body, err := parse(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		for bit := range 8 {
			body[i] ^= 1 << bit
			changed := prefixV1 + k.ID() + "$" + text.EncodeToString(body)
			if err := Check(changed); err != nil {
				t.Fatalf("well formed, but %v", err)
			}
			if c, err := r.Open(alice, changed); err != ErrBinding {
				t.Errorf("octet %d, bit %d: opened %+v, %v; want %v", i, bit, c, err, ErrBinding)
			}
			body[i] ^= 1 << bit
		}
	}
}

// Who knows what a value holds, but the key, cannot make 8 digits into 6, or a
// period of 30 s into one of 120 s: the cipher alone would let them.
func TestNoDowngrade(t *testing.T) {
	k, c := generate(t), good
	c.Digits = 8
	r, v := ring(t, k), seal(t, k.Public(), alice, c)
	for _, tt := range []struct {
		name   string
		at     int // octet of the content
		change byte
	}{
		{"algorithm", 1, 1 ^ 2}, {"digits", 2, 8 ^ 6}, {"period", 4, 30 ^ 120}, {"created", 12, 1},
	} {
		_, body, _ := parse(nil, v)
		body[encapsulated+tt.at] ^= tt.change
		if got, err := r.Open(alice, prefixV1+k.ID()+"$"+text.EncodeToString(body)); err != ErrBinding {
			t.Errorf("%s: opened %+v, %v; want %v", tt.name, got, err, ErrBinding)
		}
	}
}

func TestMalformed(t *testing.T) {
	k := generate(t)
	r, v := ring(t, k), seal(t, k.Public(), alice, good)
	body := v[len(prefixV1)+idLength+1:]
	// 81 octets are 108 characters with no bits to spare; another octet of key leaves four.
	longer := good
	longer.Key = opaque.Text(canary + "x")
	loose := seal(t, k.Public(), alice, longer)
	for _, tt := range []struct {
		name, value string
		want        error
	}{
		{"nothing", "", ErrMalformed},
		{"a key in the clear", "JBSWY3DPEHPK3PXP", ErrMalformed},
		{"the prefix alone", "{HPKE}", ErrMalformed},
		{"the prefix in other letters", strings.Replace(v, "HPKE", "hpke", 1), ErrMalformed},
		{"a space before it", " " + v, ErrMalformed},
		{"no version", strings.Replace(v, "1$", "$", 1), ErrMalformed},
		{"a version that is no number", strings.Replace(v, "1$", "x$", 1), ErrMalformed},
		{"a signed version", strings.Replace(v, "1$", "+1$", 1), ErrMalformed},
		{"a version of a thousand", strings.Replace(v, "1$", "1000$", 1), ErrMalformed},
		{"the next version", strings.Replace(v, "1$", "2$", 1), ErrVersion},
		{"version 01", strings.Replace(v, "1$", "01$", 1), ErrVersion},
		{"no ID", prefixV1 + "$" + body, ErrMalformed},
		{"a short ID", prefixV1 + k.ID()[1:] + "$" + body, ErrMalformed},
		{"a long ID", prefixV1 + k.ID() + "A$" + body, ErrMalformed},
		{"an ID that is not base64url", prefixV1 + "abcd+fgh$" + body, ErrMalformed},
		{"an ID with a line break", prefixV1 + "abcd\nfgh$" + body, ErrMalformed},
		{"an ID of NULs", prefixV1 + strings.Repeat("\x00", 8) + "$" + body, ErrMalformed},
		{"nothing after the ID", prefixV1 + k.ID() + "$", ErrMalformed},
		{"one octet too few", prefixV1 + k.ID() + "$" + text.EncodeToString(make([]byte, minBody-1)), ErrMalformed},
		{"one octet too many", prefixV1 + k.ID() + "$" + text.EncodeToString(make([]byte, maxBody+1)), ErrMalformed},
		{"a megabyte", v + strings.Repeat("A", 1<<20), ErrMalformed},
		{"padding", loose + "==", ErrMalformed},
		{"a trailing dollar sign", v + "$", ErrMalformed},
		{"a trailing line break", v + "\n", ErrMalformed},
		{"a trailing NUL", v + "\x00", ErrMalformed},
		{"a trailing space", v + " ", ErrMalformed},
		{"two values", v + v, ErrMalformed},
		{"the other base64 alphabet", v[:len(v)-1] + "+", ErrMalformed},
		{"spare bits that are set", loose[:len(loose)-1] + nextLetter(loose[len(loose)-1]), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := Check(tt.value)
			_, id := KeyID(tt.value)
			_, open := r.Open(alice, tt.value)
			for _, err := range []error{check, id, open} {
				if !errors.Is(err, tt.want) || len(err.Error()) > 200 {
					t.Errorf("got %.300v, want %v", err, tt.want)
				}
			}
		})
	}
	if _, err := r.Open(alice, loose); err != nil {
		t.Errorf("the value with spare bits: %v", err)
	}
}

// nextLetter returns the letter of base64url after c, which decodes to the same
// octets where the last bit is spare.
func nextLetter(c byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, c)+1])
}

func TestSealed(t *testing.T) {
	for v, want := range map[string]bool{"{HPKE}1$": true, "{HPKE}9$x": true, "{HPKE}": true, "{HPKE": false, "": false, "{SSHA}x": false, "x{HPKE}1$": false} {
		if got := Sealed(v); got != want {
			t.Errorf("Sealed(%q) = %v", v, got)
		}
	}
}

func TestKeyring(t *testing.T) {
	older, newer, other := generate(t), generate(t), generate(t)
	r := ring(t, newer, older)
	for _, k := range []*PrivateKey{older, newer} {
		if _, err := r.Open(alice, seal(t, k.Public(), alice, good)); err != nil {
			t.Errorf("one of two keys: %v", err)
		}
	}
	foreign := seal(t, other.Public(), alice, good)
	for name, r := range map[string]*Keyring{"two others": r, "an empty keyring": ring(t), "no keyring": nil} {
		_, err := r.Open(alice, foreign)
		if unknown, ok := errors.AsType[*UnknownKeyError](err); !ok || unknown.ID != other.ID() || !strings.Contains(err.Error(), other.ID()) {
			t.Errorf("%s: %v, want an UnknownKeyError for %s", name, err, other.ID())
		}
	}
	// A value that claims to be for one key and is for another.
	moved := strings.Replace(foreign, other.ID(), newer.ID(), 1)
	if _, err := r.Open(alice, moved); err != ErrBinding {
		t.Errorf("under another ID: %v, want %v", err, ErrBinding)
	}
	for name, keys := range map[string][]*PrivateKey{"the same twice": {older, newer, older}, "nil": {nil}, "zero": {{}}} {
		if _, err := NewKeyring(keys...); err == nil {
			t.Errorf("%s: a keyring", name)
		}
	}
}

// The ID is part of what a value is bound to, not only a way to find the key.
func TestIDIsAuthenticated(t *testing.T) {
	k := generate(t)
	v := seal(t, k.Public(), alice, good)
	const forged = "AAAAAAAA"
	r := &Keyring{keys: map[string]*PrivateKey{forged: k}}
	if c, err := r.Open(alice, strings.Replace(v, k.ID(), forged, 1)); err != ErrBinding {
		t.Errorf("opened %+v, %v; want %v", c, err, ErrBinding)
	}
}

// A public key of low order would make a key that everybody knows.
func TestLowOrderPublicKey(t *testing.T) {
	k, err := kem.NewPublicKey(make([]byte, 32))
	if err != nil {
		return
	}
	if v, err := newPublicKey(k).Seal(alice, good); err == nil {
		t.Errorf("sealed: %s", v)
	}
	mine := generate(t)
	v := prefixV1 + mine.ID() + "$" + text.EncodeToString(make([]byte, minBody))
	if _, err := ring(t, mine).Open(alice, v); err != ErrBinding {
		t.Errorf("an encapsulated key of low order: %v, want %v", err, ErrBinding)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	k := generate(t)
	r := ring(t, k)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				v, err := k.Public().Seal(alice, good)
				if err != nil {
					t.Error(err)
					return
				}
				if c, err := r.Open(alice, v); err != nil || !same(c, good) {
					t.Errorf("opened %+v, %v", c, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkOpen(b *testing.B) {
	k := generate(b)
	r, v := ring(b, k), seal(b, k.Public(), alice, good)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(alice, v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	p := generate(b).Public()
	b.ReportAllocs()
	for b.Loop() {
		seal(b, p, alice, good)
	}
}

func BenchmarkCheck(b *testing.B) {
	v := seal(b, generate(b).Public(), alice, good)
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(v); err != nil {
			b.Fatal(err)
		}
	}
}
