package radius

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// raw builds a datagram with any Length.
func raw(length int, attributes ...byte) []byte {
	b := make([]byte, HeaderLen, HeaderLen+len(attributes))
	b[0], b[1] = byte(layeh.CodeAccessRequest), 7
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	return append(b, attributes...)
}

func TestCheck(t *testing.T) {
	var full []byte // exactly 4096 octets
	for len(full)+HeaderLen+255 <= MaxLen {
		full = append(append(full, 26, 255), make([]byte, 253)...)
	}
	rest := MaxLen - HeaderLen - len(full)
	full = append(append(full, 26, byte(rest)), make([]byte, rest-2)...)

	for _, tt := range []struct {
		name     string
		datagram []byte
		want     error
	}{
		{"C01 nothing", nil, errShort},
		{"C01 19 octets", raw(20)[:19], errShort},
		{"an empty packet", raw(20), nil},
		{"C02 Length under 20", raw(19), errLength},
		{"C03 Length over the datagram", raw(21), errShort},
		{"C04 Length 4096", raw(4096, full...), nil},
		{"C04 Length 4097", raw(4097, append(full, 1)...), errLength},
		{"C04 Length 65535", raw(65535, full...), errLength},
		{"C05 padding", raw(20, 0, 0, 0), nil},
		{"C06 attribute length 0", raw(22, 1, 0), errAttribute},
		{"C06 attribute length 1", raw(22, 1, 1), errAttribute},
		{"attribute without a value", raw(22, 1, 2), nil},
		{"C07 attribute one too long", raw(23, 1, 4, 'x'), errAttribute},
		{"C07 attribute reaches into the padding", raw(23, 1, 4, 'x', 'y'), errAttribute},
		{"C08 one octet left over", raw(24, 1, 3, 'x', 1), errAttribute},
		{"C09 type 0", raw(22, 0, 2), errType},
		{"C10 255 attributes", raw(20+510, bytes.Repeat([]byte{1, 2}, 255)...), nil},
		{"C10 256 attributes", raw(20+512, bytes.Repeat([]byte{1, 2}, 256)...), errAttributes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Check(tt.datagram)
			if err != tt.want {
				t.Errorf("Check(%x) = %v, want %v", tt.datagram, err, tt.want)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			if err == nil && len(p) != int(binary.BigEndian.Uint16(tt.datagram[2:])) {
				t.Errorf("packet has %d octets", len(p))
			}
		})
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	datagram := packetOf(t, rfc2865Telnet)
	n := testing.AllocsPerRun(100, func() {
		p, err := Check(datagram)
		if err != nil || !p.Has(rfc2865.NASPort_Type) {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzCheck compares with another parser: what passes here, passes there, and
// is the same when encoded again.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{rfc2865Telnet, rfc2865CHAP, rfc2865CardChallenge, rfc5997Status} {
		p := packetOf(f, seed)
		f.Add([]byte(p))
		f.Add(append([]byte(p), 0, 0))
		f.Add([]byte(p[:len(p)-1]))
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p, err := Check(datagram)
		if err != nil {
			return
		}
		other, err := layeh.Parse(datagram, rfcSecret)
		if err != nil {
			t.Fatalf("passes here but not there: %v", err)
		}
		again, err := other.MarshalBinary()
		if err != nil || !bytes.Equal(again, p) {
			t.Fatalf("encoded again: %x, %v; want %x", again, err, p)
		}
		p.VerifyMessageAuthenticator(rfcSecret)
		p.VerifyAccounting(rfcSecret)
		p.VerifyReply(p, rfcSecret, true)
		reply, _, err := NewReply(layeh.CodeAccessReject, p, rfcSecret)
		if err != nil {
			return // so much Proxy-State that there is no room for more
		}
		if err := reply.VerifyReply(p, rfcSecret, true); err != nil && p.Code() == layeh.CodeAccessRequest {
			t.Fatalf("own reply: %v", err)
		}
	})
}

func FuzzRevealPassword(f *testing.F) {
	f.Add([]byte("arctangent"), []byte("xyzzy5461"), make([]byte, 16))
	f.Add([]byte(""), []byte("s"), []byte("0123456789abcdef"))
	f.Add([]byte("a\x00b"), []byte("s"), []byte("0123456789abcdef"))
	f.Add(bytes.Repeat([]byte("x"), 128), []byte("s"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b, secret, random []byte) {
		authenticator := [16]byte(append(random, make([]byte, 16)...))
		if got, err := RevealPassword(b, secret, authenticator); err == nil {
			if bytes.IndexByte(got, 0) >= 0 {
				t.Fatalf("revealed %q, which holds a NUL", got)
			}
		}
		hidden, err := HidePassword(b, secret, authenticator)
		if err != nil {
			return
		}
		got, err := RevealPassword(hidden, secret, authenticator)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("hidden and revealed: %q, %v; want %q", got, err, b)
		}
	})
}

func TestPassword(t *testing.T) {
	authenticator := [16]byte([]byte("0123456789abcdef"))
	for _, n := range []int{0, 1, 15, 16, 17, 127, 128} { // C60
		password := strings.Repeat("p", n)
		hidden, err := HidePassword([]byte(password), rfcSecret, authenticator)
		if err != nil || len(hidden) != max(16, (n+15)/16*16) {
			t.Fatalf("password of %d octets is hidden in %d, %v", n, len(hidden), err)
		}
		got, err := RevealPassword(hidden, rfcSecret, authenticator)
		if err != nil || string(got) != password {
			t.Errorf("password of %d octets: %q, %v", n, got, err)
		}
	}
	if _, err := HidePassword(make([]byte, 129), rfcSecret, authenticator); !errors.Is(err, ErrPasswordLength) {
		t.Errorf("129 octets to hide: %v", err)
	}
	for n, want := range map[int]error{0: nil, 8: ErrPasswordLength, 17: ErrPasswordLength, 136: ErrPasswordLength, 144: ErrPasswordLength} {
		if _, err := RevealPassword(make([]byte, n), rfcSecret, authenticator); err != want && !(n == 0 && err == nil) {
			t.Errorf("value of %d octets: %v, want %v", n, err, want)
		}
	}
}

// hideRaw hides what HidePassword would not: octets that hold a NUL.
func hideRaw(padded [16]byte, authenticator [16]byte) []byte {
	pad := passwordPad(rfcSecret, authenticator[:])
	for i := range padded {
		padded[i] ^= pad[i]
	}
	return padded[:]
}

func TestPasswordNUL(t *testing.T) {
	var authenticator [16]byte
	if got, err := RevealPassword(hideRaw([16]byte{'a', 0, 0}, authenticator), rfcSecret, authenticator); err != nil || string(got) != "a" {
		t.Errorf("C61 NULs at the end: %q, %v; want them cut off", got, err)
	}
	if got, err := RevealPassword(hideRaw([16]byte{'a', 0, 'b'}, authenticator), rfcSecret, authenticator); err != ErrPasswordNUL {
		t.Errorf("C61 NUL inside: %q, %v; want ErrPasswordNUL", got, err)
	}
	if _, err := HidePassword([]byte("a\x00"), rfcSecret, authenticator); err != ErrPasswordNUL {
		t.Errorf("NUL to hide: %v, want ErrPasswordNUL", err)
	}
}

// signed returns a request with its Message-Authenticator after n others.
func signed(t *testing.T, n int) Packet {
	t.Helper()
	b := begin(layeh.CodeAccessRequest, 1, [16]byte([]byte("0123456789abcdef")), 128)
	for i := range 4 {
		if i == n {
			b = appendZeroMAC(b)
		}
		b = appendAttribute(b, Attribute{rfc2865.UserName_Type, []byte("alice")})
	}
	if n == 4 {
		b = appendZeroMAC(b)
	}
	p := b.finish()
	authenticator := p.Authenticator()
	p.signMAC(&authenticator, rfcSecret)
	return p
}

func TestMessageAuthenticator(t *testing.T) {
	for n := range 5 { // C30: first, in the middle, last
		p := signed(t, n)
		if err := p.VerifyMessageAuthenticator(rfcSecret); err != nil {
			t.Errorf("after %d attributes: %v", n, err)
		}
		if err := p.VerifyMessageAuthenticator([]byte("other")); err != ErrBadMessageAuthenticator {
			t.Errorf("after %d attributes, other secret: %v", n, err)
		}
		for i := range p { // C31
			for bit := range 8 {
				p[i] ^= 1 << bit
				if q, err := Check(p); err == nil && q.VerifyMessageAuthenticator(rfcSecret) == nil {
					t.Errorf("verifies with bit %d of octet %d flipped", bit, i)
				}
				p[i] ^= 1 << bit
			}
		}
	}
}

func TestMessageAuthenticatorShape(t *testing.T) {
	mac := func(n int) Attribute { return Attribute{rfc2869.MessageAuthenticator_Type, make([]byte, n)} }
	for _, tt := range []struct {
		name       string
		attributes []Attribute
		want       error
	}{
		{"C34 none", nil, ErrNoMessageAuthenticator},
		{"C32 empty", []Attribute{mac(0)}, ErrBadMessageAuthenticator},
		{"C32 too short", []Attribute{mac(15)}, ErrBadMessageAuthenticator},
		{"C32 too long", []Attribute{mac(17)}, ErrBadMessageAuthenticator},
		{"C33 two", []Attribute{mac(16), mac(16)}, ErrBadMessageAuthenticator},
	} {
		b := begin(layeh.CodeAccessRequest, 1, noAuthenticator, 128)
		for _, a := range tt.attributes {
			b = appendAttribute(b, a)
		}
		p := b.finish()
		if err := p.VerifyMessageAuthenticator(rfcSecret); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, at := range []int{HeaderLen + 2, HeaderLen + 2 + 18} {
		two := begin(layeh.CodeAccessRequest, 1, noAuthenticator, 128)
		p := append(appendZeroMAC(two), appendZeroMAC(nil)...).finish()
		p.mac(p[at:at], at, &noAuthenticator, rfcSecret)
		if err := p.VerifyMessageAuthenticator(rfcSecret); err != ErrBadMessageAuthenticator {
			t.Errorf("C33 two, the one at %d right: %v", at, err)
		}
	}
}

func TestVerifyAccounting(t *testing.T) {
	p := begin(layeh.CodeAccountingRequest, 1, noAuthenticator, 128).finish()
	p.sum(p[4:4], &noAuthenticator, rfcSecret)
	other, err := layeh.Parse(p, rfcSecret)
	if err != nil || !layeh.IsAuthenticRequest(p, rfcSecret) {
		t.Fatalf("another implementation does not take %v: %v", other, err)
	}
	if !p.VerifyAccounting(rfcSecret) {
		t.Error("right authenticator does not verify")
	}
	if p.VerifyAccounting([]byte("other")) || p.VerifyAccounting(nil) {
		t.Error("verifies with a wrong secret")
	}
	p[1] ^= 1
	if p.VerifyAccounting(rfcSecret) {
		t.Error("altered packet verifies")
	}
}
