package sealed

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func TestSealRefuses(t *testing.T) {
	p := generate(t).Public()
	for _, tt := range []struct {
		name   string
		change func(*Content)
		want   string
	}{
		{"nothing", func(c *Content) { *c = Content{} }, "key of 0 octets"},
		{"a short key", func(c *Content) { c.Key = opaque.Text("123456789") }, "key of 9 octets: want 10 to 128"},
		{"a long key", func(c *Content) { c.Key = opaque.Of(make([]byte, 129)) }, "key of 129 octets"},
		{"no algorithm", func(c *Content) { c.Algorithm = "" }, `algorithm ""`},
		{"another algorithm", func(c *Content) { c.Algorithm = "MD5" }, `algorithm "MD5": want SHA1, SHA256 or SHA512`},
		{"7 digits", func(c *Content) { c.Digits = 7 }, "7 digits: want 6 or 8"},
		{"digits that wrap round to 6", func(c *Content) { c.Digits = 256 + 6 }, "262 digits"},
		{"no period", func(c *Content) { c.Period = 0 }, "period 0s: want 15 s to 120 s"},
		{"a short period", func(c *Content) { c.Period = 14 * time.Second }, "period 14s"},
		{"a long period", func(c *Content) { c.Period = 121 * time.Second }, "period 2m1s"},
		{"a period that wraps round to 30 s", func(c *Content) { c.Period = (1<<16 + 30) * time.Second }, "period 18h"},
		{"a part of a second", func(c *Content) { c.Period += time.Millisecond }, "whole seconds"},
		{"no time", func(c *Content) { c.Created = time.Time{} }, "time of creation"},
		{"a time before 1970", func(c *Content) { c.Created = time.Unix(-1, 0) }, "time of creation"},
		{"a time after 9999", func(c *Content) { c.Created = time.Unix(maxCreated+1, 0) }, "time of creation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			v, err := p.Seal(alice, c)
			if v != "" || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("sealed %q, %v; want error %q", v, err, tt.want)
			}
		})
	}
}

// Whoever has the public key can seal any octets.
func TestOpenRefuses(t *testing.T) {
	k := generate(t)
	r := ring(t, k)
	set := func(octets ...byte) []byte { // octets from the first on, then those of good
		b := good.encode()
		copy(b, octets)
		return b
	}
	for _, tt := range []struct {
		name  string
		plain []byte
		want  error
		text  string
	}{
		{"what Seal makes", set(), nil, ""},
		{"a short key", good.encode()[:header+9], ErrMalformed, ""},
		{"a long key", append(good.encode(), make([]byte, 109)...), ErrMalformed, ""},
		{"version 0", set(0), ErrVersion, "1.0"},
		{"version 2", set(2), ErrVersion, "1.2"},
		{"algorithm 0", set(1, 0), ErrMalformed, "algorithm"},
		{"algorithm 4", set(1, 4), ErrMalformed, "algorithm"},
		{"algorithm 255", set(1, 255), ErrMalformed, "algorithm"},
		{"no digits", set(1, 1, 0), ErrMalformed, "0 digits"},
		{"7 digits", set(1, 1, 7), ErrMalformed, "7 digits"},
		{"a period of 0", set(1, 1, 6, 0, 0), ErrMalformed, "period 0s"},
		{"a period of 65535 s", set(1, 1, 6, 255, 255), ErrMalformed, "period 18h12m15s"},
		{"a time after 9999", set(1, 1, 6, 0, 30, 0, 0, 1), ErrMalformed, "creation"},
		{"a time that is negative as an int64", set(1, 1, 6, 0, 30, 255, 255, 255), ErrMalformed, "creation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := hpke.Seal(k.Public().key, kdf, aead, alice.info(k.ID()), tt.plain)
			if err != nil {
				t.Fatal(err)
			}
			c, err := r.Open(alice, prefixV1+k.ID()+"$"+text.EncodeToString(body))
			if !errors.Is(err, tt.want) || err != nil && (c.Key.Len() != 0 || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), canary)) {
				t.Errorf("opened %+v, %v; want %v", c, err, tt.want)
			}
		})
	}
}

// Every content has one form, and what is not in its ranges is refused.
func FuzzDecodeContent(f *testing.F) {
	f.Add(good.encode())
	f.Add([]byte{})
	f.Add(append([]byte{1, 3, 8, 0, 120, 0, 0, 0, 58, 255, 244, 65, 127}, make([]byte, 128)...))
	f.Add(make([]byte, header+minKey))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeContent(bytes.Clone(b))
		if err != nil {
			if c.Key.Len() != 0 || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Errorf("%+v, %v", c, err)
			}
			return
		}
		if err := c.check(); err != nil || !bytes.Equal(c.encode(), b) {
			t.Errorf("%x became %+v, %v, and then %x", b, c, err, c.encode())
		}
	})
}
